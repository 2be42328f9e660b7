#include "worker/score/loss_source.h"

#include "tests/support/cuda_source.h"

namespace espalier {

TEST_CASE("The loss kernel's source compiles for every generation that LibTorch serves") {
  testing::CheckCompilesForEveryGeneration(kLossSource);
}

}  // namespace espalier
