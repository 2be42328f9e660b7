// What a benchmark has done so far, on the standard error: its table comes at the end, and large models take minutes until then.
#pragma once

#include <string>

namespace espalier::bench {

// Prints the seconds since the first call of the process and what is done by now.
void SayDone(const std::string& what);

}  // namespace espalier::bench
