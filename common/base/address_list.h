// Addresses of coordinators that stand by for each other, as in --coordinator A,B.
#pragma once

#include <string>
#include <vector>

namespace espalier {

// "a:1, unix:/b" -> {"a:1", "unix:/b"}; empty parts are left out.
std::vector<std::string> SplitAddresses(const std::string& text);

// A peer that does not answer to a ping for so long is left for the next one, where there is one.
inline constexpr int kFollowPingEveryMs = 4000;
inline constexpr int kFollowPingTimeoutMs = 4000;

}  // namespace espalier
