#include "client/result/run_report.h"

namespace espalier {
namespace {

using Json = nlohmann::ordered_json;

Json YardstickJson(const ReportYardstick& yardstick) {
  Json json;
  json["parameters"] = yardstick.parameters;
  json["one_shot_fitness"] = yardstick.one_shot_fitness;
  json["one_shot_perplexity"] = yardstick.one_shot_perplexity;
  if (yardstick.recovered_perplexity.has_value()) json["recovered_perplexity"] = *yardstick.recovered_perplexity;
  json["mask"] = MaskJson(yardstick.units);
  return json;
}

Json GenerationJson(const ReportGeneration& generation) {
  Json json;
  json["phase"] = generation.phase;
  json["generation"] = generation.generation;
  json["parent_mask_digest"] = generation.parent_digest;
  json["fitness"] = generation.fitness;
  json["standard_error"] = generation.standard_error;
  json["one_shot_fitness"] = generation.one_shot_fitness;
  json["trained_tokens"] = generation.trained_tokens;
  json["scored_tokens"] = generation.scored_tokens;
  json["engine_seconds"] = generation.engine_seconds;
  json["rank_agreement"] = generation.rank_agreement;
  return json;
}

}  // namespace

Json MaskJson(const std::vector<ReportUnit>& units) {
  Json mask = Json::object();
  for (const ReportUnit& unit : units) {
    Json& entry = mask[unit.name];
    entry["removed"] = unit.removed;
    if (!unit.is_attention) {
      entry["kept_neurons"] = unit.size - unit.removed;
    } else if (!unit.kept_heads.empty() || unit.removed == unit.size) {
      entry["kept_heads"] = unit.kept_heads;
    } else {
      entry["kept_head_count"] = unit.size - unit.removed;  // a yardstick: which heads is in its bank
    }
    entry["level"] = unit.level;
  }
  return mask;
}

Json ToJson(const RunReport& report) {
  Json json;
  json["dense_parameters"] = report.dense_parameters;
  json["parameters"] = report.parameters;
  json["target_parameters"] = report.target_parameters;
  json["mask"] = MaskJson(report.units);
  json["mask_digest"] = report.mask_digest;
  json["fitness"] = report.fitness;
  json["fitness_standard_error"] = report.fitness_standard_error;
  json["one_shot_fitness"] = report.one_shot_fitness;
  json["one_shot_perplexity"] = report.one_shot_perplexity;
  json["dense_perplexity"] = report.dense_perplexity;
  json["perplexity"] = report.perplexity;
  if (!report.evaluate_command.empty()) json["evaluate_command"] = report.evaluate_command;
  for (const ReportYardstick& yardstick : report.yardsticks) json[yardstick.name] = YardstickJson(yardstick);
  json["sequence_length"] = report.sequence_length;
  json["generations"] = report.num_generations;
  json["trained_tokens"] = report.trained_tokens;
  json["scored_tokens"] = report.scored_tokens;
  json["recovery_tokens"] = report.recovery_tokens;
  json["seconds"] = report.seconds;
  json["engine_seconds"] = report.engine_seconds;
  json["cost"] = ToJson(report.cost);
  json["stopped_because"] = report.stopped_because;
  json["chosen_because"] = report.chosen_because;
  json["history"] = Json::array();
  for (const ReportGeneration& generation : report.history) json["history"].push_back(GenerationJson(generation));
  json["provenance"] = report.provenance;
  return json;
}

}  // namespace espalier
