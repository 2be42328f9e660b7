// LibTorch's exceptions end here: they become absl::Status at the edge of the module that called the library.
#pragma once

#include <c10/util/Exception.h>

#include <exception>
#include <new>
#include <string>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace espalier {

// kResourceExhausted when the device (or the machine) is out of memory, else kInternal; `what` says what was going on. Only
// the first line of LibTorch's message is kept.
absl::Status TorchError(const std::string& what, const std::exception& error);

// Runs `function`, which returns an absl::Status or absl::StatusOr, and turns what it throws into a status.
template <typename Function>
std::invoke_result_t<Function> WithTorchStatus(const std::string& what, const Function& function) {
  try {
    return function();
  } catch (const std::exception& error) {
    return TorchError(what, error);
  }
}

}  // namespace espalier
