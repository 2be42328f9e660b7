// The only way to include Catch2. LibTorch defines a CHECK of its own, which would silently replace Catch2's (a failing
// check would then abort the whole program), so in tests with LibTorch its headers come first and lose their macro.
#pragma once

#ifdef ESPALIER_TEST_WITH_TORCH
#include <c10/util/Logging.h>
#include <torch/types.h>
#undef CHECK
#endif

#include <catch2/catch.hpp>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Shows the message of a status that was meant to be OK.
#define REQUIRE_OK(expression)                                  \
  do {                                                          \
    const auto& espalier_result = (expression);                 \
    INFO(::espalier::testing::StatusText(espalier_result));     \
    REQUIRE(espalier_result.ok());                              \
  } while (false)

namespace espalier::testing {

inline std::string StatusText(const absl::Status& status) { return status.ToString(); }
template <typename T>
std::string StatusText(const absl::StatusOr<T>& result) {
  return result.status().ToString();
}

}  // namespace espalier::testing
