#include "worker/train/adamw_source.h"

#include <string>

#include "tests/support/cuda_source.h"
#include "worker/train/adamw_byte_source.h"

namespace espalier {

// The second source follows the first one, so that this compiles both.
TEST_CASE("The optimiser kernels' sources compile for every generation that LibTorch serves") {
  testing::CheckCompilesForEveryGeneration((std::string(kAdamWSource) + kAdamWByteSource).c_str());
}

}  // namespace espalier
