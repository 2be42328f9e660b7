#include "worker/engine/devices.h"

#include <exception>
#include <string>

#include "common/base/strings.h"
#include "worker/model/device_runtime.h"

namespace espalier {
namespace {

void FindCudaDevices(DeviceReport* report) {
  while (true) {
    const int index = static_cast<int>(report->cuda_devices.size());
    const absl::StatusOr<torch::Device> device = OpenDevice(DeviceKind::kCuda, index);
    if (!device.ok()) {
      if (index == 0) report->cuda_problem = ToString(device.status().message());
      return;
    }
    report->cuda_devices.push_back({DeviceName(*device), DeviceMemoryBytes(*device), FreeDeviceMemory(*device)});
  }
}

}  // namespace

DeviceReport FindDevices() {
  DeviceReport report;
  try {
    InitTorch();
    report.libtorch_version = TorchVersion();
    FindCudaDevices(&report);
  } catch (const std::exception& error) {  // LibTorch's, of a driver that is half there
    const std::string what = error.what();
    report.cuda_problem = what.substr(0, what.find('\n'));
  }
  return report;
}

}  // namespace espalier
