// At most so many of something at once, over all callers and for each.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"

namespace espalier {

class Quota {
 public:
  // Given back with its last copy; may outlive the quota.
  using Ticket = std::shared_ptr<void>;

  // `what` in words, for the refusal: "uploads".
  Quota(std::string what, int max_total, int max_per_caller);

  // kResourceExhausted says which limit was met and what to do.
  absl::StatusOr<Ticket> Take(const std::string& caller);
  int num_taken() const;

 private:
  struct Counts {
    std::mutex mutex;
    int total = 0;                         // guarded by mutex, as by_caller
    std::map<std::string, int> by_caller;
  };
  const std::string what_;
  const int max_total_;
  const int max_per_caller_;
  std::shared_ptr<Counts> counts_;
};

}  // namespace espalier
