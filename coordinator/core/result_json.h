// result.json: what came out of a job and where it came from, as text that other programs read. Deterministic: equal
// values give equal bytes.
#pragma once

#include <string>

#include "coordinator/search/job_program.h"
#include "coordinator/search/stage_times.h"

namespace espalier {

std::string ResultJson(const std::string& job_id, const JobSpec& spec, const JobInputs& inputs, const Ladder& ladder,
                       const JobProgram& program, double seconds, const StageTime& stages, const std::string& numerics_class);

}  // namespace espalier
