#pragma once

#include <string>

#include "absl/time/time.h"

namespace espalier {

// For what cannot be shown: a heading and a sentence.
std::string MessagePage(const std::string& heading, const std::string& message, absl::Time now);

}  // namespace espalier
