#include "tests/support/catch.h"
#include "worker/model/kernel_source.h"
#include "worker/model/runtime_kernel.h"
#include "worker/score/loss_source.h"

namespace espalier {
namespace {

TEST_CASE("The loss kernel's source compiles for every generation that LibTorch serves") {
  for (const char* architecture : {"sm_80", "sm_90", "sm_100"}) {
    const auto code = CompileCuda(WithBf16(kLossSource).c_str(), architecture);
    if (absl::IsUnavailable(code.status())) {
      WARN("not tried: " << std::string(code.status().message()));
      return;
    }
    REQUIRE_OK(code);
    CHECK(code->size() > 1000);
  }
}

}  // namespace
}  // namespace espalier
