// Everything that a finished job says, as plain values: the source of result.json, of the report page and of what the
// terminal shows.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "client/result/job_cost.h"
#include "common/picture/mask_chart.h"

namespace espalier {

using ReportUnit = PicturedUnit;

struct ReportGeneration {
  int phase = 0;
  int generation = 0;
  std::string parent_digest;
  double fitness = 0;
  double standard_error = 0;
  double one_shot_fitness = 0;
  int64_t trained_tokens = 0;
  int64_t scored_tokens = 0;
  double engine_seconds = 0;
  double rank_agreement = 0;
};

struct ReportYardstick {
  std::string name;  // "uniform", "additive"
  std::vector<ReportUnit> units;
  int64_t parameters = 0;
  double one_shot_fitness = 0;
  double one_shot_perplexity = 0;
  std::optional<double> recovered_perplexity;
};

struct RunReport {
  std::string title;  // the job's display name, else the model folder's name
  int64_t dense_parameters = 0;
  int64_t parameters = 0;
  int64_t target_parameters = 0;
  std::vector<ReportUnit> units;
  std::string mask_digest;
  double fitness = 0;
  double fitness_standard_error = 0;
  double one_shot_fitness = 0;
  double one_shot_perplexity = 0;
  double dense_perplexity = 0;
  double perplexity = 0;
  std::vector<ReportYardstick> yardsticks;
  int sequence_length = 0;
  int num_generations = 0;
  int64_t trained_tokens = 0;
  int64_t scored_tokens = 0;
  int64_t recovery_tokens = 0;
  double seconds = 0;         // of the job's running time
  double engine_seconds = 0;  // summed over tasks
  JobCost cost;               // expected before it began, and taken
  std::string stopped_because;
  std::string chosen_because;
  std::vector<ReportGeneration> history;
  nlohmann::ordered_json provenance;
  std::string evaluate_command;  // measures `perplexity` again (evaluate_command.h); empty: no file was named for it
};

// The mask by unit: {"attention[0]": {"removed": 2, "kept_heads": [..], "level": 1}, "ffn[0]": {...kept_neurons...}}.
nlohmann::ordered_json MaskJson(const std::vector<ReportUnit>& units);

// The content of result.json.
nlohmann::ordered_json ToJson(const RunReport& report);

}  // namespace espalier
