// What the coordinator read from a job's files (headers and digests only). Stored with the job, so that a restarted
// coordinator continues without reading them again.
#pragma once

#include <cstdint>
#include <string>

#include "common/domain/cost_estimate.h"
#include "common/domain/model_config.h"

namespace espalier {

struct JobInputs {
  ModelConfig dense;
  std::string model_digest;
  std::string tokens_digest;
  int64_t num_tokens = 0;
  int row_length = 0;  // of a two-dimensional token file, else 0
  std::string evaluation_digest;
  int64_t evaluation_tokens = 0;
  TimeEstimate first_estimate;  // not of the files: made at the same moment, to be shown beside what it took
  bool operator==(const JobInputs&) const = default;
};

}  // namespace espalier
