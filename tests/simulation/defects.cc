#include "tests/simulation/defects.h"

#include <iterator>

namespace espalier::simulation {
namespace {

constexpr const char* kNames[] = {"none",
                                  "lease-not-fenced",
                                  "acknowledged-early",
                                  "attempt-counted-twice",
                                  "result-of-another-task",
                                  "second-job",
                                  "other-order-after-restart",
                                  "paused-job-granted",
                                  "cancel-forgotten",
                                  "acknowledged-unstored",
                                  "lease-never-expires",
                                  "worker-does-not-fence",
                                  "artifact-collected",
                                  "measurement-altered",
                                  "references-unread"};
static_assert(std::size(kNames) == static_cast<size_t>(Defect::kCount));

}  // namespace

const char* Name(Defect defect) { return kNames[static_cast<int>(defect)]; }

std::optional<Defect> FindDefect(std::string_view name) {
  for (int i = 0; i < static_cast<int>(Defect::kCount); ++i) {
    if (name == kNames[i]) return static_cast<Defect>(i);
  }
  return std::nullopt;
}

}  // namespace espalier::simulation
