// Why a runtime cannot load a model, as a status.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/domain/job.h"

namespace espalier {

// kInvalidArgument: "runtime NAME: what".
inline absl::Status RefuseForRuntime(Runtime runtime, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat("runtime ", Name(runtime), ": ", what));
}

}  // namespace espalier
