#include "client/render/output.h"

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "client/render/yaml.h"

namespace espalier {

std::string FormatOutput(const std::string& format, const std::function<nlohmann::ordered_json()>& json,
                         const std::vector<std::string>& names) {
  using Json = nlohmann::ordered_json;
  // A path need not be UTF-8; what is not becomes the replacement character instead of an exception.
  const auto dump = [&json](int indent) { return json().dump(indent, ' ', false, Json::error_handler_t::replace); };
  if (format == "json") return dump(2) + "\n";
  if (format == "yaml") return ToYaml(Json::parse(dump(-1)));
  std::string text;
  if (format == "name") {
    for (const std::string& name : names) absl::StrAppend(&text, name, "\n");
  }
  return text;
}

bool PrintOutput(const std::string& format, const std::function<nlohmann::ordered_json()>& json,
                 const std::vector<std::string>& names) {
  if (format == "table") return false;
  const std::string text = FormatOutput(format, json, names);
  std::fwrite(text.data(), 1, text.size(), stdout);
  return true;
}

}  // namespace espalier
