// Measurements that decide nothing: one-shot fitness of every new parent for the curve, of the yardsticks and of the
// result with perplexities, and recovered yardsticks. They are wanted after everything that the search waits for, each
// mask once, and only the end of the job waits for them.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "coordinator/search/search_plan.h"
#include "coordinator/search/task_factory.h"
#include "coordinator/search/wanted_tasks.h"

namespace espalier {

class Curves {
 public:
  explicit Curves(const SearchPlan* plan) : plan_(plan) {}

  void WantOneShot(const Bank& bank, OneShotKind kind, const Mask& mask);
  void WantRecovered(const Bank& bank, const Mask& mask);

  // After a new bank revision: what is still wanted is wanted of the new one, what was measured stays.
  void Rebase(const Bank& bank);

  const WantedTasks& wanted() const { return wanted_; }
  void Tell(const Task& task, const Measurement& measurement);

  // By mask digest; nullptr when not measured or not feasible. A yardstick's measurement serves as a curve's too.
  const Measurement* OneShot(const std::string& mask_digest) const;
  const Measurement* Yardstick(const std::string& mask_digest) const;
  const Measurement* Recovered(const std::string& mask_digest) const;

 private:
  enum class Kind { kCurve, kYardstick, kRecovered };
  struct Entry {
    Mask mask;
    std::string task_id;
    std::optional<Measurement> measurement;
  };
  using Key = std::pair<Kind, std::string>;

  void Want(const Bank& bank, Kind kind, const Mask& mask);
  Task MakeTask(const Bank& bank, Kind kind, const Mask& mask) const;
  const Measurement* Find(Kind kind, const std::string& mask_digest) const;

  const SearchPlan* plan_;
  std::map<Key, Entry> entries_;
  WantedTasks wanted_;
};

}  // namespace espalier
