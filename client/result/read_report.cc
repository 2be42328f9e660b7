#include "client/result/read_report.h"

#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/files.h"
#include "common/base/status_macros.h"

namespace espalier {
namespace {

using Json = nlohmann::ordered_json;

// "ffn[3]": 3; -1 when it is no such name.
int LayerOf(const std::string& name) {
  const size_t open = name.find('[');
  if (open == std::string::npos || name.back() != ']' || name.size() - open > 8) return -1;
  const std::string digits = name.substr(open + 1, name.size() - open - 2);
  if (digits.empty() || digits.find_first_not_of("0123456789") != std::string::npos) return -1;
  return std::stoi(digits);
}

absl::StatusOr<std::vector<ReportUnit>> ReadUnits(const Json& mask) {
  std::vector<ReportUnit> units;
  for (const auto& [name, entry] : mask.items()) {
    ReportUnit unit;
    unit.name = name;
    unit.is_attention = absl::StartsWith(name, "attention[");
    unit.layer = LayerOf(name);
    if (unit.layer < 0) return absl::InvalidArgumentError(absl::StrCat("mask: '", name, "' is no unit"));
    unit.removed = entry.at("removed").get<int>();
    unit.level = entry.value("level", 0);
    int kept = 0;
    if (entry.contains("kept_heads")) {
      unit.kept_heads = entry["kept_heads"].get<std::vector<int>>();
      kept = static_cast<int>(unit.kept_heads.size());
    } else {
      kept = entry.at(unit.is_attention ? "kept_head_count" : "kept_neurons").get<int>();
    }
    unit.size = unit.removed + kept;
    units.push_back(std::move(unit));
  }
  return units;
}

ReportGeneration ReadGeneration(const Json& json) {
  ReportGeneration generation;
  generation.phase = json.value("phase", 0);
  generation.generation = json.value("generation", 0);
  generation.parent_digest = json.value("parent_mask_digest", "");
  generation.fitness = json.at("fitness").get<double>();
  generation.standard_error = json.at("standard_error").get<double>();
  generation.one_shot_fitness = json.value("one_shot_fitness", 0.0);
  generation.trained_tokens = json.value("trained_tokens", int64_t{0});
  generation.scored_tokens = json.value("scored_tokens", int64_t{0});
  generation.engine_seconds = json.value("engine_seconds", 0.0);
  generation.rank_agreement = json.value("rank_agreement", 0.0);
  return generation;
}

absl::Status ReadYardstick(const std::string& name, const Json& json, RunReport& report) {
  ReportYardstick yardstick;
  yardstick.name = name;
  yardstick.parameters = json.at("parameters").get<int64_t>();
  yardstick.one_shot_fitness = json.at("one_shot_fitness").get<double>();
  yardstick.one_shot_perplexity = json.value("one_shot_perplexity", 0.0);
  if (json.contains("recovered_perplexity")) yardstick.recovered_perplexity = json["recovered_perplexity"].get<double>();
  ESPALIER_ASSIGN_OR_RETURN(yardstick.units, ReadUnits(json.at("mask")));
  report.yardsticks.push_back(std::move(yardstick));
  return absl::OkStatus();
}

// The job's display name, else the model folder's name.
std::string TitleOf(const Json& provenance) {
  if (!provenance.is_object() || !provenance.contains("job")) return "";
  const std::string name = provenance["job"].value("display_name", "");
  return name.empty() ? std::filesystem::path(provenance["job"].value("model_folder", "")).filename().string() : name;
}

// Throws nlohmann's exceptions.
absl::StatusOr<RunReport> ReadChecked(const Json& json) {
  RunReport report;
  report.dense_parameters = json.at("dense_parameters").get<int64_t>();
  report.parameters = json.at("parameters").get<int64_t>();
  report.target_parameters = json.at("target_parameters").get<int64_t>();
  ESPALIER_ASSIGN_OR_RETURN(report.units, ReadUnits(json.at("mask")));
  report.mask_digest = json.value("mask_digest", "");
  report.fitness = json.at("fitness").get<double>();
  report.fitness_standard_error = json.at("fitness_standard_error").get<double>();
  report.one_shot_fitness = json.at("one_shot_fitness").get<double>();
  report.one_shot_perplexity = json.value("one_shot_perplexity", 0.0);
  report.dense_perplexity = json.value("dense_perplexity", 0.0);
  report.perplexity = json.value("perplexity", 0.0);
  for (const char* name : {"uniform", "additive"}) {
    if (json.contains(name)) ESPALIER_RETURN_IF_ERROR(ReadYardstick(name, json[name], report));
  }
  report.sequence_length = json.value("sequence_length", 0);
  report.num_generations = json.value("generations", 0);
  report.trained_tokens = json.value("trained_tokens", int64_t{0});
  report.scored_tokens = json.value("scored_tokens", int64_t{0});
  report.recovery_tokens = json.value("recovery_tokens", int64_t{0});
  report.seconds = json.value("seconds", 0.0);
  report.engine_seconds = json.value("engine_seconds", 0.0);
  if (json.contains("cost")) report.cost = CostFromJson(json["cost"]);
  report.stopped_because = json.value("stopped_because", "");
  report.chosen_because = json.value("chosen_because", "");
  for (const Json& generation : json.at("history")) report.history.push_back(ReadGeneration(generation));
  if (json.contains("provenance")) report.provenance = json["provenance"];
  report.title = TitleOf(report.provenance);
  report.evaluate_command = json.value("evaluate_command", "");
  return report;
}

}  // namespace

absl::StatusOr<RunReport> ReportFromJson(const Json& json) {
  if (!json.is_object()) return absl::InvalidArgumentError("no JSON object");
  try {
    return ReadChecked(json);
  } catch (const nlohmann::json::exception& error) {
    return absl::InvalidArgumentError(error.what());
  }
}

absl::StatusOr<RunReport> ReadReport(const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/result.json");
  ESPALIER_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, int64_t{1} << 30));
  const absl::StatusOr<RunReport> report = ReportFromJson(Json::parse(text, nullptr, false));
  if (report.ok()) return report;
  return absl::InvalidArgumentError(absl::StrCat("'", path, "' is no result of a job: ", report.status().message()));
}

}  // namespace espalier
