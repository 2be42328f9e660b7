// The programs of this build, LibTorch and the GPU: what the worker says of them, since only it links LibTorch.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "client/doctor/check.h"

namespace espalier {

// espalier-coordinator and espalier-worker are there, start, and are of this version.
std::vector<Check> CheckPrograms(const std::string& version);

// The driver, nvidia-smi and what `espalier-worker devices` finds. `wants_gpu`: that there is none is wrong.
std::vector<Check> CheckDevices(bool wants_gpu);

struct DriverFound {
  std::optional<std::string> version;  // of NVIDIA's kernel module; nothing: it is not loaded
  std::string gpus;                    // what nvidia-smi lists, one a line; empty: nothing
  std::string visible;                 // CUDA_VISIBLE_DEVICES, when it is set
};

// `answer`: what `espalier-worker devices` printed.
std::vector<Check> JudgeDevices(const std::string& answer, const DriverFound& driver, bool wants_gpu);

}  // namespace espalier
