#include "coordinator/rpc/quota.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace espalier {

Quota::Quota(std::string what, int max_total, int max_per_caller)
    : what_(std::move(what)),
      max_total_(max_total),
      max_per_caller_(max_per_caller),
      counts_(std::make_shared<Counts>()) {}

absl::StatusOr<Quota::Ticket> Quota::Take(const std::string& caller) {
  const std::lock_guard lock(counts_->mutex);
  int& mine = counts_->by_caller[caller];
  if (mine >= max_per_caller_) {
    return absl::ResourceExhaustedError(absl::StrCat("you have ", mine, " ", what_, " under way, the limit is ",
                                                     max_per_caller_, "; end one of them first"));
  }
  if (counts_->total >= max_total_) {
    if (mine == 0) counts_->by_caller.erase(caller);
    return absl::ResourceExhaustedError(absl::StrCat("the coordinator has ", counts_->total, " ", what_,
                                                     " under way, its limit; try again later"));
  }
  ++mine;
  ++counts_->total;
  return Ticket(nullptr, [counts = counts_, caller](void*) {
    const std::lock_guard giving_back(counts->mutex);
    --counts->total;
    const auto found = counts->by_caller.find(caller);
    if (--found->second == 0) counts->by_caller.erase(found);
  });
}

int Quota::num_taken() const {
  const std::lock_guard lock(counts_->mutex);
  return counts_->total;
}

}  // namespace espalier
