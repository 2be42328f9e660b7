// The level bank as it is built, damaged and rebuilt, layer by layer. The first commit of a layer wins; a layer that is
// rebuilt after its artifact was lost and differs makes a new revision of the bank.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "coordinator/search/search_plan.h"
#include "coordinator/search/wanted_tasks.h"

namespace espalier {

class BankProgress {
 public:
  explicit BankProgress(const SearchPlan* plan);

  const WantedTasks& wanted() const { return wanted_; }
  bool is_complete() const { return wanted_.empty(); }
  int num_layers() const { return static_cast<int>(layers_.size()); }
  int num_built() const;

  // `task` is one of wanted().
  void Tell(const Task& task, const BankLayerOutcome& outcome);

  // Wants every layer with this artifact again; false when there is none.
  bool TellLost(const std::string& artifact_digest);

  // Takes over what was built, once complete. True when the bank is new or differs from what it was before.
  bool Refresh(Bank* bank) const;

 private:
  struct Layer {
    std::optional<BankLayerOutcome> outcome;
    int num_lost = 0;
  };

  const SearchPlan* plan_;
  std::vector<Layer> layers_;
  WantedTasks wanted_;
};

}  // namespace espalier
