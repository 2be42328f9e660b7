// Criteria: in which order groups go. A new one is one file with a class and one line in the table of criterion.cc.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/prune/unit_problem.h"

namespace espalier {

class Criterion {
 public:
  virtual ~Criterion() = default;
  virtual std::vector<Statistic> Needs() const = 0;

  // All groups in the order in which they go: one order serves every level, so levels are nested. `progress` is told how
  // many groups are gone. kCancelled; kInvalidArgument when the statistics cannot be used (singular without damping).
  virtual absl::StatusOr<std::vector<int>> Order(const UnitProblem& problem, const std::function<void(int64_t)>& progress,
                                                 std::stop_token stop) const = 0;
};

struct CriterionEntry {
  const char* name;
  const char* description;
  std::unique_ptr<Criterion> (*make)();
};
const std::vector<CriterionEntry>& Criteria();

// kInvalidArgument names what exists.
absl::StatusOr<std::unique_ptr<Criterion>> MakeCriterion(const std::string& name);

}  // namespace espalier
