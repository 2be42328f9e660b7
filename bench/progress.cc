#include "bench/progress.h"

#include <chrono>
#include <cstdio>

namespace espalier::bench {

void SayDone(const std::string& what) {
  using Clock = std::chrono::steady_clock;
  static const Clock::time_point start = Clock::now();
  std::fprintf(stderr, "%9.1f s  %s\n", std::chrono::duration<double>(Clock::now() - start).count(), what.c_str());
}

}  // namespace espalier::bench
