// The final choice: first parent, phase winners and last parent, each recovered for a short while (or as it is),
// compared on the fixed select windows. The best one is the result, so a search never returns worse than it started
// with there.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "coordinator/search/search_plan.h"
#include "coordinator/search/wanted_tasks.h"

namespace espalier {

struct Finalist {
  std::string id;  // of the candidate
  Mask mask;
  std::string digest;
  std::optional<Measurement> measurement;
};

class PlayOff {
 public:
  explicit PlayOff(const SearchPlan* plan) : plan_(plan) {}

  // Finalists with equal digests count once, under the first one's name. A single one wins unmeasured.
  void Start(const Bank& bank, const std::vector<Finalist>& finalists);
  // After a new bank revision: everybody is measured again.
  void Restart(const Bank& bank);

  const WantedTasks& wanted() const { return wanted_; }
  int num_finalists() const { return static_cast<int>(finalists_.size()); }
  void Tell(const Task& task, const Measurement& measurement);
  bool is_decided() const { return !finalists_.empty() && wanted_.empty(); }

  // Once decided; nullptr when no finalist could be run. Ties are broken by digest.
  const Finalist* Winner() const;
  // Which finalist won and by how much; or, without a winner, why none could be run.
  std::string Reason() const;

 private:
  const Finalist* BestBut(const Finalist* excluded) const;

  const SearchPlan* plan_;
  std::vector<Finalist> finalists_;
  WantedTasks wanted_;
};

}  // namespace espalier
