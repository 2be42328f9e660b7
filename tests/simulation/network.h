// Messages between hosts: late, lost, twice, in another order, or not at all across a cut.
#pragma once

#include <functional>
#include <map>

#include "tests/simulation/context.h"

namespace espalier::simulation {

inline constexpr int kClientHost = -1;

class Network {
 public:
  explicit Network(Context& context) : context_(context) {}

  // A message between `host` and the coordinator's. Errors of connections go the same way.
  void Send(int host, bool is_to_coordinator, std::function<void()> deliver, std::function<void()> lost = nullptr) {
    const bool is_cut = cuts_[{host, is_to_coordinator}] > 0;
    if (is_cut || context_.Strikes(Fault::kLoss, context_.profile.loss)) {
      if (lost) lost();
      return;
    }
    if (context_.Strikes(Fault::kDuplication, context_.profile.duplication)) context_.loop.After(Delay(), deliver);
    context_.loop.After(Delay(), std::move(deliver));
  }

  void Cut(int host, bool is_to_coordinator, absl::Duration length) {
    ++cuts_[{host, is_to_coordinator}];
    context_.loop.After(length, [this, host, is_to_coordinator] { --cuts_[{host, is_to_coordinator}]; });
  }

 private:
  absl::Duration Delay() {
    if (context_.Strikes(Fault::kDelay, context_.profile.late)) return context_.Exponential(context_.profile.lease);
    return context_.profile.delay * (0.5 + context_.random.Unit());
  }

  Context& context_;
  std::map<std::pair<int, bool>, int> cuts_;
};

}  // namespace espalier::simulation
