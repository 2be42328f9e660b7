#include "worker/model/torch_status.h"

#include <c10/util/Exception.h>

#include <new>

#include "absl/strings/str_cat.h"

namespace espalier {

absl::Status TorchError(const std::string& what, const std::exception& error) {
  const auto* torch_error = dynamic_cast<const c10::Error*>(&error);
  std::string message = torch_error != nullptr ? torch_error->what_without_backtrace() : error.what();
  const bool out_of_memory = dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr ||
                             dynamic_cast<const std::bad_alloc*>(&error) != nullptr ||
                             message.find("not enough memory") != std::string::npos;  // the CPU allocator's words
  message = message.substr(0, message.find('\n'));
  if (out_of_memory) return absl::ResourceExhaustedError(absl::StrCat(what, ": out of memory: ", message));
  return absl::InternalError(absl::StrCat(what, ": ", message));
}

absl::Status WithContext(const std::string& what, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(what, ": ", status.message()));
}

}  // namespace espalier
