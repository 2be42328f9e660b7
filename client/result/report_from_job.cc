#include "client/result/report_from_job.h"

#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"
#include "common/domain/ladder.h"

namespace espalier {
namespace {

absl::StatusOr<std::vector<ReportUnit>> UnitsOf(const v1::Ladder& ladder, const v1::Mask& mask) {
  if (ladder.units_size() != mask.levels_size()) {
    return absl::InternalError(
        absl::StrCat("the job's mask has ", mask.levels_size(), " levels for ", ladder.units_size(), " units"));
  }
  std::vector<ReportUnit> units;
  for (int i = 0; i < ladder.units_size(); ++i) {
    const v1::UnitLadder& ladder_unit = ladder.units(i);
    const int level = mask.levels(i);
    if (level < 0 || level >= ladder_unit.removed_size()) {
      return absl::InternalError(absl::StrCat("the job's mask has level ", level, " for unit ", i, " of ",
                                              ladder_unit.removed_size(), " levels"));
    }
    ReportUnit unit;
    unit.is_attention = ladder_unit.kind() == v1::ATTENTION;
    unit.layer = ladder_unit.layer();
    unit.name = Name(Unit{unit.is_attention ? UnitKind::kAttention : UnitKind::kFfn, unit.layer});
    unit.size = ladder_unit.size();
    unit.level = level;
    unit.num_levels = ladder_unit.removed_size();
    unit.removed = ladder_unit.removed(level);
    units.push_back(std::move(unit));
  }
  return units;
}

void AddKeptHeads(const v1::JobResult& result, std::vector<ReportUnit>& units) {
  std::map<std::string, const v1::KeptUnit*> by_name;
  for (const v1::KeptUnit& kept : result.kept()) by_name[kept.unit()] = &kept;
  for (ReportUnit& unit : units) {
    const auto found = by_name.find(unit.name);
    if (found != by_name.end())
      unit.kept_heads.assign(found->second->kept_heads().begin(), found->second->kept_heads().end());
  }
}

double SecondsOf(const google::protobuf::Duration& duration) {
  return static_cast<double>(google::protobuf::util::TimeUtil::DurationToMilliseconds(duration)) / 1000;
}

ReportGeneration FromProto(const v1::Generation& proto) {
  return {.phase = proto.phase(),
          .generation = proto.generation(),
          .parent_digest = proto.parent_mask_digest(),
          .fitness = proto.fitness(),
          .standard_error = proto.standard_error(),
          .one_shot_fitness = proto.one_shot_fitness(),
          .trained_tokens = proto.trained_tokens(),
          .scored_tokens = proto.scored_tokens(),
          .engine_seconds = proto.engine_seconds(),
          .rank_agreement = proto.rank_agreement()};
}

// The class names the versions that the search's numbers came from: "cpu float32 engine 3 torch 2.11.0 AVX2".
void AddEngineVersions(const std::string& numerics_class, nlohmann::ordered_json& versions) {
  const std::vector<std::string> words = absl::StrSplit(numerics_class, ' ');
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    if (words[i] == "engine" || words[i] == "torch") versions[words[i]] = words[i + 1];
  }
}

nlohmann::ordered_json Provenance(const v1::Job& job) {
  nlohmann::ordered_json json;
  json["seed"] = job.spec().seed();
  json["job"] = MessageJson(job.spec());
  nlohmann::ordered_json& digests = json["digests"];
  digests["model"] = job.inputs().model_digest();
  digests["tokens"] = job.inputs().tokens_digest();
  if (!job.inputs().evaluation_digest().empty()) digests["evaluation"] = job.inputs().evaluation_digest();
  digests["result"] = job.result().result_artifact();
  for (const v1::ExportedFile& file : job.result().files()) digests["export"][file.name()] = file.digest();
  json["versions"]["espalier"] = ESPALIER_VERSION;
  AddEngineVersions(job.numerics_class(), json["versions"]);
  json["device"] = job.numerics_class();
  json["job_name"] = job.name();
  return json;
}

}  // namespace

nlohmann::ordered_json MessageJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string text;
  if (!google::protobuf::util::MessageToJsonString(message, &text, options).ok()) return nullptr;
  return nlohmann::ordered_json::parse(text, nullptr, false);
}

JobCost CostFromJob(const v1::Job& job) {
  const v1::JobPreview& preview = job.preview();
  const v1::TimeEstimate& estimate = job.inputs().first_estimate();
  const v1::JobProgress& progress = job.progress();
  JobCost cost;
  cost.expected = {.trained_tokens = preview.train_tokens() + preview.recovery_tokens(),
                   .scored_tokens = preview.score_tokens(),
                   .num_evaluations = preview.num_evaluations(),
                   .device_seconds = {},
                   .seconds = {},
                   .device_bytes = preview.device_bytes()};
  if (estimate.has_device_seconds()) cost.expected.device_seconds = estimate.device_seconds();
  if (estimate.has_seconds()) cost.expected.seconds = estimate.seconds();
  cost.basis = estimate.basis();
  cost.taken = {.trained_tokens = progress.trained_tokens(),
                .scored_tokens = progress.scored_tokens(),
                .num_evaluations = progress.num_evaluations(),
                .device_seconds = progress.engine_seconds(),
                .seconds = SecondsOf(progress.elapsed()),
                .device_bytes = {}};
  if (progress.peak_bytes() > 0) cost.taken.device_bytes = progress.peak_bytes();
  return cost;
}

absl::StatusOr<RunReport> ReportFromJob(const v1::Job& job) {
  if (job.state() != v1::Job::SUCCEEDED) return absl::InternalError(absl::StrCat("job ", job.name(), " has no result"));
  const v1::JobResult& result = job.result();
  RunReport report;
  report.title = job.spec().display_name();
  if (report.title.empty()) report.title = std::filesystem::path(job.spec().model_folder()).filename().string();
  report.dense_parameters = result.dense_parameters();
  report.parameters = result.parameters();
  report.target_parameters = result.target_parameters();
  ESPALIER_ASSIGN_OR_RETURN(report.units, UnitsOf(job.ladder(), result.mask()));
  AddKeptHeads(result, report.units);
  report.mask_digest = result.mask_digest();
  report.fitness = result.fitness();
  report.fitness_standard_error = result.fitness_standard_error();
  report.one_shot_fitness = result.one_shot_fitness();
  report.one_shot_perplexity = result.one_shot_perplexity();
  report.dense_perplexity = result.dense_perplexity();
  report.perplexity = result.perplexity();
  for (const v1::Yardstick& proto : result.yardsticks()) {
    ReportYardstick yardstick;
    yardstick.name = proto.name();
    ESPALIER_ASSIGN_OR_RETURN(yardstick.units, UnitsOf(job.ladder(), proto.mask()));
    yardstick.parameters = proto.parameters();
    yardstick.one_shot_fitness = proto.one_shot_fitness();
    yardstick.one_shot_perplexity = proto.one_shot_perplexity();
    if (proto.has_recovered_perplexity()) yardstick.recovered_perplexity = proto.recovered_perplexity();
    report.yardsticks.push_back(std::move(yardstick));
  }
  const auto rank = [](const ReportYardstick& yardstick) { return yardstick.name == "uniform" ? 0 : 1; };
  std::stable_sort(report.yardsticks.begin(), report.yardsticks.end(),
                   [&](const ReportYardstick& a, const ReportYardstick& b) { return rank(a) < rank(b); });
  report.sequence_length = result.sequence_length();
  report.num_generations = result.generations();
  report.trained_tokens = result.trained_tokens();
  report.scored_tokens = result.scored_tokens();
  report.recovery_tokens = result.measurement().trained_tokens();
  report.seconds = SecondsOf(job.progress().elapsed());
  report.cost = CostFromJob(job);
  report.engine_seconds = result.engine_seconds();
  report.stopped_because = result.stopped_because();
  report.chosen_because = result.chosen_because();
  for (const v1::Generation& generation : job.generations()) report.history.push_back(FromProto(generation));
  report.provenance = Provenance(job);
  return report;
}

}  // namespace espalier
