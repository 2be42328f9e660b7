// From a mask to a candidate: checked, assembled from the resident bank, ready to be scored or trained.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/engine/engine_parts.h"
#include "worker/engine/state_store.h"

namespace espalier {

// kInvalidArgument when the mask does not fit the ladder or `mask_digest` is not its digest.
absl::Status CheckMask(const Ladder& ladder, const Mask& mask, const std::string& mask_digest);

// Shares intact tensors with the dense model and replacements with the bank: for reading, or for a trainer that copies.
absl::StatusOr<std::unique_ptr<LanguageModel>> AssembleMask(TaskRun& run, const BankReference& bank, const Mask& mask);

// What stays of each unit, in the ladder's order.
absl::StatusOr<std::vector<KeptUnit>> KeptUnits(TaskRun& run, const BankReference& bank, const Mask& mask);

}  // namespace espalier
