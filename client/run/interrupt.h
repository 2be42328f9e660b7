// Ctrl-C, SIGTERM and SIGHUP as a flag that long work looks at, so that everything is torn down in order.
#pragma once

namespace espalier {

// From now on the three signals only set the flag, and a closed pipe is an error of the write.
void CatchInterrupts();
bool IsInterrupted();

}  // namespace espalier
