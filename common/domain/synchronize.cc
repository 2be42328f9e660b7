#include "common/domain/synchronize.h"

#include "absl/strings/str_cat.h"

namespace espalier {

std::string ToText(const LeaseToken& token) {
  return absl::StrCat(token.job_id, "/", token.task_id, " attempt ", token.attempt, " of epoch ", token.epoch);
}

const char* Name(Decision decision) {
  switch (decision) {
    case Decision::kCommitted:
      return "committed";
    case Decision::kSuperseded:
      return "superseded";
    case Decision::kNoted:
      return "noted";
    case Decision::kRejected:
      return "rejected";
  }
  return "unknown";
}

}  // namespace espalier
