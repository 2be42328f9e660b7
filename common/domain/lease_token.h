// The fencing token of a lease.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

namespace espalier {

// The fencing token of one attempt.
struct LeaseToken {
  int64_t epoch = 0;  // the coordinator's, when the lease was granted
  std::string job_id;
  std::string task_id;
  int attempt = 0;  // counts the leases of this task from 1
  bool operator==(const LeaseToken&) const = default;
  auto operator<=>(const LeaseToken&) const = default;
};
std::string ToText(const LeaseToken& token);  // "job-1/evaluate/p0/g3/s1/ab12 attempt 2 of epoch 4"

}  // namespace espalier
