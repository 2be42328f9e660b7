#include "worker/train/adamw_source.h"

#include <string>

#include "tests/support/cuda_source.h"
#include "worker/train/adamw_byte_source.h"
#include "worker/train/adamw_lean_source.h"

namespace espalier {

// The others follow the first one, so that this compiles them all.
TEST_CASE("The optimiser kernels' sources compile for every generation that LibTorch serves") {
  testing::CheckCompilesForEveryGeneration((std::string(kAdamWSource) + kAdamWByteSource + kAdamWLeanSource + kAdamWLeanByteSource).c_str());
}

}  // namespace espalier
