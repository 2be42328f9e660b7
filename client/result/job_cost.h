// What a job was expected to take before it began, beside what it has taken.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace espalier {

struct JobWork {
  int64_t trained_tokens = 0;  // of the search and of recovery
  int64_t scored_tokens = 0;
  int64_t num_evaluations = 0;
  std::optional<double> device_seconds;  // over all devices; nullopt: nothing was measured to estimate it from
  std::optional<double> seconds;         // of running time
  std::optional<int64_t> device_bytes;   // of a candidate in training; nullopt: not measured (on CPUs)
  bool operator==(const JobWork&) const = default;
};

struct JobCost {
  JobWork expected;  // at most
  std::string basis;  // of the expected times; a sentence for people
  JobWork taken;      // so far, while the job runs
  bool operator==(const JobCost&) const = default;
};

// Rows "what, expected at most, taken", below a head with `taken_title`; empty when nothing was expected (a job whose
// files are still being read, a result.json of an earlier version).
std::vector<std::vector<std::string>> JobCostTable(const JobCost& cost, const std::string& taken_title);

nlohmann::ordered_json ToJson(const JobCost& cost);
// Throws nlohmann's exceptions where a value is of another type; what is missing is nothing.
JobCost CostFromJson(const nlohmann::ordered_json& json);

}  // namespace espalier
