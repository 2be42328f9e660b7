#include "tests/support/paths.h"

namespace espalier::testing {

std::string SourcePath(const std::string& relative) { return std::string(ESPALIER_SOURCE_DIR) + "/" + relative; }
std::string BuildPath(const std::string& relative) { return std::string(ESPALIER_BINARY_DIR) + "/" + relative; }

}  // namespace espalier::testing
