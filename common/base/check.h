// For broken invariants of this program only; bad input is an absl::Status, never a check.
#pragma once

#include <cstdio>
#include <cstdlib>

#define ESPALIER_CHECK(condition)                                                                          \
  do {                                                                                                     \
    if (!(condition)) {                                                                                    \
      std::fprintf(stderr, "%s:%d: invariant broken: %s\n", __FILE__, __LINE__, #condition);               \
      std::abort();                                                                                        \
    }                                                                                                      \
  } while (false)
