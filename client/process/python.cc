#include "client/process/python.h"

#include <cstdlib>

#include "client/process/child_process.h"

namespace espalier {

absl::StatusOr<std::string> FindPython() {
  if (const char* chosen = std::getenv("ESPALIER_PYTHON"); chosen != nullptr && *chosen != '\0') return chosen;
  return FindSiblingProgram("espalier-python", "ESPALIER_PYTHON");
}

}  // namespace espalier
