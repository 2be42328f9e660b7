// Numbers and times as people read them, in terminals and pages.
#pragma once

#include <string>

namespace espalier {

std::string FormatCount(double count);               // 950 -> "950", 2362560 -> "2.36M", 4.6e9 -> "4.60B"
std::string FormatBytes(double bytes);               // "1.5 GiB"
std::string FormatSeconds(double seconds);           // 7 -> "7s", 75 -> "1m15s", 3700 -> "1h01m"
std::string FormatNumber(double value, int digits);  // fixed; "-" for NaN
std::string FormatPercent(double share);             // 0.6003 -> "60.0%"

}  // namespace espalier
