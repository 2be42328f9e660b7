// What --format asks for.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace espalier {

inline constexpr const char* kFormats[] = {"table", "json", "yaml", "name"};

// For a program that reads it: JSON, YAML or the names, one a line. Empty for "table", which is the caller's to print.
std::string FormatOutput(const std::string& format, const std::function<nlohmann::ordered_json()>& json,
                         const std::vector<std::string>& names);

// The same to standard output; false when the format is "table".
bool PrintOutput(const std::string& format, const std::function<nlohmann::ordered_json()>& json,
                 const std::vector<std::string>& names);

}  // namespace espalier
