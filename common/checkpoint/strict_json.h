// JSON from untrusted files: duplicate keys and deep nesting are refused, errors become a status with the file's name.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace espalier::checkpoint {

// kInvalidArgument: "'<name>': ...".
absl::StatusOr<nlohmann::json> ParseStrictJson(std::string_view text, const std::string& name, int max_depth);

// A value as it stands in a message, cut when long.
std::string ShortText(const nlohmann::json& value);

}  // namespace espalier::checkpoint
