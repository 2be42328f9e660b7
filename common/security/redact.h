// What goes into a log has no paths.
#pragma once

#include <string>
#include <string_view>

namespace espalier {

// The text with every absolute path replaced by "<path>", and cut to `max_bytes`. A path begins with '/' at the start or
// after a blank, quote, bracket, '=', ':' or ',' and ends at the closing quote if it began after one, else at a blank,
// quote, bracket, ',' or ';'. Control characters become blanks, so that no text makes a second line.
std::string WithoutPaths(std::string_view text, size_t max_bytes = 2000);

}  // namespace espalier
