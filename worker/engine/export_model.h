// The export of a candidate and its proof: the files go to the artifacts, and a folder of the same bytes is read back
// by the code that reads any checkpoint and compared with the candidate.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/domain/task.h"
#include "worker/engine/engine_parts.h"

namespace espalier {

inline constexpr double kMostLogitDifference = 1e-4;

struct ExportProof {
  double max_logit_difference = 0;  // in fp32, folder read back against the candidate
  double perplexity = 0;            // of the folder read back
};

// Stores the files of the candidate in the checkpoint's number format and proves them. kInternal when the folder read
// back differs from the candidate by more than kMostLogitDifference; nothing but artifacts is left behind.
absl::StatusOr<ExportProof> ExportModel(TaskRun& run, const LanguageModel& candidate,
                                        const std::string& provenance_json, std::vector<ExportedFile>& files);

}  // namespace espalier
