#include "worker/prune/criterion.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace espalier {

std::unique_ptr<Criterion> MakeStructuredObs();  // structured_obs.cc

const std::vector<CriterionEntry>& Criteria() {
  static const auto* const entries = new std::vector<CriterionEntry>{
      {"structured_obs", "greedy structured Optimal Brain Surgeon on the output projection (ZipLM, DarwinLM)", &MakeStructuredObs},
  };
  return *entries;
}

absl::StatusOr<std::unique_ptr<Criterion>> MakeCriterion(const std::string& name) {
  std::vector<std::string> known;
  for (const CriterionEntry& entry : Criteria()) {
    if (name == entry.name) return entry.make();
    known.push_back(entry.name);
  }
  return absl::InvalidArgumentError(absl::StrCat("unknown criterion '", name, "'; known: ", absl::StrJoin(known, ", ")));
}

}  // namespace espalier
