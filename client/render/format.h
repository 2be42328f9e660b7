// Numbers, times and tables as people read them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace espalier {

std::string FormatCount(double count);               // 950 -> "950", 2362560 -> "2.36M", 4.6e9 -> "4.60B"
std::string FormatBytes(double bytes);               // "1.5 GiB"
std::string FormatSeconds(double seconds);           // 7 -> "7s", 75 -> "1m15s", 3700 -> "1h01m"
std::string FormatNumber(double value, int digits);  // fixed; "-" for NaN
std::string FormatPercent(double share);             // 0.6003 -> "60.0%"

// Columns padded to their widest cell, two blanks between; columns whose cells all start with a digit (or are "-") are
// set flush right. The first row is the head.
std::string FormatTable(const std::vector<std::vector<std::string>>& rows);

// The number of terminal columns that a UTF-8 text takes (our block characters are one column each).
int DisplayWidth(const std::string& text);

}  // namespace espalier
