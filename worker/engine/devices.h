// What LibTorch finds on this machine, for `espalier doctor`. No LibTorch types here.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace espalier {

struct FoundDevice {
  std::string name;  // "NVIDIA H200"
  int64_t memory_bytes = 0;
  int64_t free_bytes = 0;
};

struct DeviceReport {
  std::string libtorch_version;  // "2.11"
  std::vector<FoundDevice> cuda_devices;
  std::string cuda_problem;  // why there is none; empty when there are some
};

// Opens every CUDA device once: some hundred MB of its memory for a moment.
DeviceReport FindDevices();

}  // namespace espalier
