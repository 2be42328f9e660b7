// The Python interpreter that the client's own scripts run in.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace espalier {

// ESPALIER_PYTHON, else the interpreter that the build found (espalier-python beside this program). kNotFound: neither.
absl::StatusOr<std::string> FindPython();

}  // namespace espalier
