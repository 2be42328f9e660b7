// Reads what a job needs to know of its files: config, headers, digests. Slow (it hashes whole checkpoints), so never
// under the core's lock and never in a reaction.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/domain/job.h"
#include "common/domain/job_inputs.h"
#include "common/security/path_roots.h"

namespace espalier {

// Errors name the field of the specification, the file and what is wrong with it. Nothing outside of the roots is opened.
absl::StatusOr<JobInputs> ReadJobInputs(const JobSpec& spec, const PathRoots& roots = {});

// What a user should know of those files before anything is spent, and what is no reason to refuse the job: a tokenizer
// that the job's runtime does not take.
std::vector<std::string> WarningsOfFiles(const JobSpec& spec, const JobInputs& inputs);

}  // namespace espalier
