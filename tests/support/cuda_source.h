// CUDA sources are compiled where they run; that they compile for the cards that LibTorch serves needs no card.
#pragma once

#include "tests/support/catch.h"
#include "worker/model/kernel_source.h"
#include "worker/model/runtime_kernel.h"

namespace espalier::testing {

inline void CheckCompilesForEveryGeneration(const char* source) {
  for (const char* architecture : {"sm_80", "sm_90", "sm_100"}) {
    const auto code = CompileCuda(WithBf16(source).c_str(), architecture);
    if (absl::IsUnavailable(code.status())) {
      WARN("not tried: " << std::string(code.status().message()));
      return;
    }
    REQUIRE_OK(code);
    CHECK(code->size() > 1000);
  }
}

}  // namespace espalier::testing
