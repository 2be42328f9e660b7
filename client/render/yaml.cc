#include "client/render/yaml.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace espalier {
namespace {

using Json = nlohmann::ordered_json;

bool IsPlainYaml(const std::string& text) {
  static const std::set<std::string> kOtherMeaning = {"y",  "n",   "yes",  "no",   "on", "off",
                                                      "true", "false", "null", "nan", "inf"};
  if (text.empty() || text.size() > 200 || text.back() == ' ') return false;
  if (!absl::ascii_isalpha(text[0]) && text[0] != '_' && text[0] != '/') return false;
  const auto is_allowed = [](char c) {
    return absl::ascii_isalnum(c) || c == '_' || c == '/' || c == '.' || c == '-' || c == ' ' || c == '[' || c == ']' ||
           c == '(' || c == ')';
  };
  return std::all_of(text.begin(), text.end(), is_allowed) && !kOtherMeaning.contains(absl::AsciiStrToLower(text));
}

std::string QuotedYaml(const std::string& text) {
  std::string quoted = "\"";
  for (size_t i = 0; i < text.size(); ++i) {
    const unsigned char byte = static_cast<unsigned char>(text[i]);
    if (byte == '"' || byte == '\\') {
      quoted += '\\';
      quoted += text[i];
    } else if (byte == '\n') {
      quoted += "\\n";
    } else if (byte == '\t') {
      quoted += "\\t";
    } else if (byte < 0x20 || byte == 0x7F) {
      absl::StrAppendFormat(&quoted, "\\x%02X", byte);
    } else if (byte == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0) {
      absl::StrAppendFormat(&quoted, "\\x%02X", static_cast<unsigned char>(text[++i]));  // U+0080 to U+009F
    } else if (text.compare(i, 3, "\xE2\x80\xA8") == 0 || text.compare(i, 3, "\xE2\x80\xA9") == 0) {
      quoted += text[i + 2] == '\xA8' ? "\\L" : "\\P";  // line and paragraph separator
      i += 2;
    } else if (text.compare(i, 3, "\xEF\xBB\xBF") == 0) {
      quoted += "\\uFEFF";
      i += 2;
    } else {
      quoted += text[i];
    }
  }
  return quoted + "\"";
}

std::string NumberYaml(const Json& number) {
  if (number.is_number_float()) {
    const double value = number.get<double>();
    if (std::isnan(value)) return ".nan";
    if (std::isinf(value)) return value > 0 ? ".inf" : "-.inf";
  }
  std::string text = number.dump();
  const size_t exponent = text.find('e');  // 1e-05 is a text in YAML 1.1
  if (exponent != std::string::npos && text.find('.') == std::string::npos) text.insert(exponent, ".0");
  return text;
}

std::string ScalarYaml(const Json& json) {
  if (json.is_null()) return "null";
  if (json.is_boolean()) return json.get<bool>() ? "true" : "false";
  if (json.is_number()) return NumberYaml(json);
  const std::string text = json.get<std::string>();
  return IsPlainYaml(text) ? text : QuotedYaml(text);
}

bool IsNumbers(const Json& json) {
  return json.is_array() && std::all_of(json.begin(), json.end(), [](const Json& item) { return item.is_number(); });
}

bool IsOneLine(const Json& json) { return !json.is_structured() || json.empty() || IsNumbers(json); }

std::string OneLineYaml(const Json& json) {
  if (!json.is_structured()) return ScalarYaml(json);
  if (json.is_object()) return "{}";
  std::vector<std::string> items;
  for (const Json& item : json) items.push_back(NumberYaml(item));
  return absl::StrCat("[", absl::StrJoin(items, ", "), "]");
}

// `in_line`: the first line's indentation has been written already (behind "- ").
void AppendYaml(const Json& json, int indent, bool in_line, std::string* yaml) {
  const std::string blanks(indent, ' ');
  const auto begin_line = [&] {
    if (!in_line) *yaml += blanks;
    in_line = false;
  };
  if (json.is_array()) {
    for (const Json& item : json) {
      begin_line();
      *yaml += "- ";
      if (IsOneLine(item)) {
        absl::StrAppend(yaml, OneLineYaml(item), "\n");
      } else {
        AppendYaml(item, indent + 2, true, yaml);
      }
    }
    return;
  }
  for (const auto& [key, value] : json.items()) {
    begin_line();
    absl::StrAppend(yaml, ScalarYaml(key), ":");
    if (IsOneLine(value)) {
      absl::StrAppend(yaml, " ", OneLineYaml(value), "\n");
    } else {
      *yaml += "\n";
      AppendYaml(value, indent + 2, false, yaml);
    }
  }
}

}  // namespace

std::string ToYaml(const Json& json) {
  if (IsOneLine(json)) return OneLineYaml(json) + "\n";
  std::string yaml;
  AppendYaml(json, 0, false, &yaml);
  return yaml;
}

}  // namespace espalier
