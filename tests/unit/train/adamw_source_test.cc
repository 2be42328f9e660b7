#include "worker/train/adamw_source.h"

#include "tests/support/cuda_source.h"

namespace espalier {

TEST_CASE("The optimiser kernel's source compiles for every generation that LibTorch serves") {
  testing::CheckCompilesForEveryGeneration(kAdamWSource);
}

}  // namespace espalier
