// Which artifacts an outcome names.
#pragma once

#include <string>
#include <vector>

#include "common/domain/task.h"

namespace espalier {

std::vector<std::string> ArtifactsOf(const TaskOutcome& outcome);

}  // namespace espalier
