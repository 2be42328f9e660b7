// Random identities.
#pragma once

#include <string>

namespace espalier {

// Version 4, from the system's random device.
std::string NewUuid();

}  // namespace espalier
