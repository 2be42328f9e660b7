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

// The shape of a mask's candidate before its bank is read. Which heads go says the bank, so KV heads count as many as may
// stay; all else is exact.
ModelConfig LargestShape(const ModelConfig& dense, const Ladder& ladder, const Mask& mask);

// Shares intact tensors with the dense model and replacements with the bank: for reading, or for a trainer that copies.
// What the bank has in host memory comes beside the assembly; with kShapes it does not come, and its place is not filled.
absl::StatusOr<std::unique_ptr<LanguageModel>> AssembleMask(TaskRun& run, const BankReference& bank, const Mask& mask,
                                                            BankPlace place, PieceUpload::Contents contents);

// What stays of each unit, in the ladder's order.
absl::StatusOr<std::vector<KeptUnit>> KeptUnits(TaskRun& run, const BankReference& bank, const Mask& mask);

}  // namespace espalier
