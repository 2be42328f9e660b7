// A CoordinatorClient over several coordinators that stand by for each other: talks to the one that leads.
#pragma once

#include <memory>
#include <vector>

#include "worker/session/coordinator_client.h"

namespace espalier {

// A call that finds nobody (kUnavailable, or no answer in time) is tried at each of the others at once; the next call
// begins with the one that answered last. One is made of `clients`, which are not empty.
std::unique_ptr<CoordinatorClient> MakeFollowingClient(std::vector<std::unique_ptr<CoordinatorClient>> clients);

}  // namespace espalier
