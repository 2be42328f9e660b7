#include "coordinator/core/result_json.h"

#include <nlohmann/json.hpp>

#include "coordinator/search/retained_states.h"

namespace espalier {
namespace {

using Json = nlohmann::ordered_json;

Json MaskJson(const Ladder& ladder, const Mask& mask, const std::vector<KeptUnit>& kept) {
  Json by_unit = Json::object();
  for (size_t i = 0; i < ladder.units.size() && i < mask.levels.size(); ++i) {
    const UnitLadder& unit = ladder.units[i];
    const int removed = unit.removed[mask.levels[i]];
    Json entry = {{"level", mask.levels[i]}, {"removed", removed}};
    if (unit.unit.kind == UnitKind::kFfn) entry["kept_neurons"] = unit.size - removed;
    for (const KeptUnit& of : kept) {
      if (of.unit == Name(unit.unit) && unit.unit.kind == UnitKind::kAttention) entry["kept_heads"] = of.kept_heads;
    }
    by_unit[Name(unit.unit)] = std::move(entry);
  }
  return by_unit;
}

Json YardstickJson(const Ladder& ladder, const Yardstick& yardstick) {
  Json entry = {{"parameters", yardstick.parameters},
                {"one_shot_fitness", yardstick.one_shot_fitness},
                {"one_shot_perplexity", yardstick.one_shot_perplexity},
                {"mask", MaskJson(ladder, yardstick.mask, {})}};
  if (yardstick.recovered_perplexity.has_value()) entry["recovered_perplexity"] = *yardstick.recovered_perplexity;
  return entry;
}

Json ProvenanceJson(const std::string& job_id, const JobSpec& spec, const JobInputs& inputs, const JobResult& result,
                    const std::string& numerics_class) {
  Json exported = Json::object();
  if (result.finish.has_value()) {
    for (const ExportedFile& file : result.finish->files) exported[file.name] = file.digest;
  }
  return {{"job", job_id},
          {"preset", Name(spec.preset)},
          {"seed", spec.seed},
          {"mode", Name(spec.mode)},
          {"continue_state", Name(spec.continue_state)},
          {"model_folder", spec.model_folder},
          {"model_digest", inputs.model_digest},
          {"tokens_path", spec.tokens_path},
          {"tokens_digest", inputs.tokens_digest},
          {"evaluation_path", spec.evaluation_path},
          {"evaluation_digest", inputs.evaluation_digest},
          {"numerics_class", numerics_class},
          {"export", std::move(exported)}};
}

}  // namespace

std::string ResultJson(const std::string& job_id, const JobSpec& spec, const JobInputs& inputs, const Ladder& ladder,
                       const JobProgram& program, double seconds, const StageTime& stages,
                       const std::string& numerics_class) {
  const JobResult& result = program.result();
  const std::vector<KeptUnit> kept = result.finish.has_value() ? result.finish->kept : std::vector<KeptUnit>{};
  Json json = {{"dense_parameters", result.dense_parameters},
               {"parameters", result.parameters},
               {"target_parameters", result.target_parameters},
               {"fitness", result.fitness},
               {"fitness_standard_error", result.fitness_standard_error},
               {"one_shot_fitness", result.one_shot_fitness},
               {"one_shot_perplexity", result.one_shot_perplexity},
               {"dense_perplexity", result.dense_perplexity},
               {"perplexity", result.perplexity}};
  for (const auto& [name, yardstick] : result.yardsticks) json[name] = YardstickJson(ladder, yardstick);
  json["sequence_length"] = result.sequence_length;
  json["generations"] = result.generations;
  json["trained_tokens"] = result.trained_tokens;
  json["scored_tokens"] = result.scored_tokens;
  json["seconds"] = seconds;
  json["engine_seconds"] = result.engine_seconds;
  json["stage_seconds"] = stages.seconds;
  json["stage_tail_seconds"] = stages.tail_seconds;
  json["stopped_because"] = result.stopped_because;
  json["chosen_because"] = result.chosen_because;
  json["mask_digest"] = result.mask_digest;
  json["mask"] = MaskJson(ladder, result.mask, kept);
  json["provenance"] = ProvenanceJson(job_id, spec, inputs, result, numerics_class);
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace espalier
