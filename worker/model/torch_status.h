// LibTorch's exceptions end here: they become absl::Status at the edge of the module that called the library.
#pragma once

#include <torch/types.h>

#include <exception>
#include <string>
#include <type_traits>

#include "absl/status/status.h"
#include "worker/model/device_runtime.h"

namespace espalier {

// kResourceExhausted when the device (or the machine) is out of memory, else kInternal; `what` says what was going on. Only
// the first line of LibTorch's message is kept.
absl::Status TorchError(const std::string& what, const std::exception& error);

// `status` with what was going on before its message.
absl::Status WithContext(const std::string& what, const absl::Status& status);

// Runs `function`, which returns an absl::Status or absl::StatusOr, and turns what it throws into a status
// (StatusOfCurrentException, which ends the process when the device is lost).
template <typename Function>
std::invoke_result_t<Function> WithTorchStatus(const std::string& what, torch::Device device, const Function& function) {
  try {
    return function();
  } catch (...) {
    return WithContext(what, StatusOfCurrentException(device));
  }
}

}  // namespace espalier
