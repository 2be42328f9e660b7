// Every candidate of one generation through its stages.
#pragma once

#include "common/picture/markup.h"
#include "coordinator/core/page_snapshots.h"

namespace espalier {

Html GenerationSection(const JobSnapshot& snapshot);

}  // namespace espalier
