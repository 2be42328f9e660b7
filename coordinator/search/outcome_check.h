// Whether an outcome can be true for its task: the right kind, sizes that fit, finite numbers, exactly the tokens asked
// for.
#pragma once

#include "absl/status/status.h"
#include "coordinator/search/search_plan.h"

namespace espalier {

// kInvalidArgument names the task, the field and the value. `bank` may be empty for bank tasks.
absl::Status CheckOutcome(const SearchPlan& plan, const Bank& bank, const Task& task, const TaskOutcome& outcome);

}  // namespace espalier
