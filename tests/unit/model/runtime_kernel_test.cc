#include "worker/model/runtime_kernel.h"

#include "tests/support/cuda_source.h"
#include "worker/model/fused_source.h"
#include "worker/model/norm_source.h"

namespace espalier {
namespace {

TEST_CASE("CompileCuda: the forward pass's kernels compile for every generation that LibTorch serves") {
  testing::CheckCompilesForEveryGeneration(kFusedSource);
  testing::CheckCompilesForEveryGeneration(kNormSource);
}

TEST_CASE("CompileCuda: a wrong source is refused with the compiler's words") {
  const auto refused = CompileCuda("extern \"C\" __global__ void nothing() { undeclared(); }", "sm_90");
  if (absl::IsUnavailable(refused.status())) {
    WARN("not tried: " << std::string(refused.status().message()));
    return;
  }
  CHECK(absl::IsInvalidArgument(refused.status()));
  CHECK(std::string(refused.status().message()).find("undeclared") != std::string::npos);
}

}  // namespace
}  // namespace espalier
