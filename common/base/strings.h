// Debian's Abseil has its own string_view, which does not convert from std::string_view.
#pragma once

#include <string>
#include <string_view>

#include "absl/strings/string_view.h"

namespace espalier {

inline absl::string_view ToAbsl(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view ToStd(absl::string_view text) { return {text.data(), text.size()}; }

// Status::message() as a std::string, for messages that wrap another.
inline std::string ToString(absl::string_view text) { return std::string(text.data(), text.size()); }

}  // namespace espalier
