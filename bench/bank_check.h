// The level bank of this device against the CPU's. Free of LibTorch.
#pragma once

#include "absl/status/status.h"
#include "bench/options.h"

namespace espalier::bench {

// Takes random units apart here and on the CPU and prints how they compare; then, on a GPU, what the parts of `small` and of
// 7B units take. kInternal when a choice is not the best there was or repaired weights differ.
absl::Status CheckBank(const Options& options);

}  // namespace espalier::bench
