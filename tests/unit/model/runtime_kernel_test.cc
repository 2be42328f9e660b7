#include "worker/model/runtime_kernel.h"

#include "tests/support/catch.h"
#include "worker/model/fused_source.h"
#include "worker/model/kernel_source.h"
#include "worker/model/norm_source.h"

namespace espalier {
namespace {

TEST_CASE("CompileCuda: the fused kernels compile for every generation that LibTorch serves, and a wrong source is refused") {
  const absl::StatusOr<std::string> first = CompileCuda("extern \"C\" __global__ void nothing() {}", "sm_80");
  if (absl::IsUnavailable(first.status())) {
    WARN("not tried: " << std::string(first.status().message()));
    return;
  }
  REQUIRE_OK(first);
  for (const char* architecture : {"sm_80", "sm_90", "sm_100"}) {
    for (const char* source : {kFusedSource, kNormSource}) {
      const auto code = CompileCuda(WithBf16(source).c_str(), architecture);
      REQUIRE_OK(code);
      CHECK(code->size() > 1000);
    }
  }
  const auto refused = CompileCuda("extern \"C\" __global__ void nothing() { undeclared(); }", "sm_90");
  CHECK(absl::IsInvalidArgument(refused.status()));
  CHECK(std::string(refused.status().message()).find("undeclared") != std::string::npos);
}

}  // namespace
}  // namespace espalier
