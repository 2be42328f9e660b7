// JSON values as YAML.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace espalier {

// Block style, a line for each scalar; lists of numbers on one line. Readers of YAML 1.1 and 1.2 alike read back the same
// values: a text that either could take for something else (yes, 1e5, 2026-11-22, ~) is quoted.
std::string ToYaml(const nlohmann::ordered_json& json);

}  // namespace espalier
