// What a resolved job will cost, before anything ran.
#pragma once

#include "coordinator/search/job_program.h"
#include "coordinator/search/search_plan.h"

namespace espalier {

// All numbers of the preview; `warnings` go into it.
JobPreview Preview(const SearchPlan& plan, std::vector<std::string> warnings);

}  // namespace espalier
