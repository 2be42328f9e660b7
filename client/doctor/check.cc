#include "client/doctor/check.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/render/colours.h"
#include "client/render/text_width.h"

namespace espalier {

const char* Name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kOk:
      return "ok";
    case Verdict::kWarning:
      return "warning";
    case Verdict::kWrong:
      return "wrong";
    case Verdict::kSkipped:
      return "skipped";
  }
  return "";
}

bool IsAnyWrong(const std::vector<Check>& checks) {
  return std::any_of(checks.begin(), checks.end(), [](const Check& check) { return check.verdict == Verdict::kWrong; });
}

std::string ChecksText(const std::vector<Check>& checks, bool use_colours) {
  size_t width = 0;
  for (const Check& check : checks) width = std::max(width, check.name.size());
  std::string text;
  for (const Check& check : checks) {
    std::string verdict = absl::StrFormat("%-8s", Name(check.verdict));
    if (use_colours) verdict = Paint(verdict, ColourOfState(Name(check.verdict)));
    absl::StrAppend(&text, verdict, absl::StrFormat("%-*s  ", static_cast<int>(width), check.name), Printable(check.found), "\n");
    if (!check.remedy.empty())
      absl::StrAppend(&text, std::string(8 + width + 2, ' '), "-> ", Printable(check.remedy), "\n");
  }
  return text;
}

nlohmann::ordered_json ChecksJson(const std::vector<Check>& checks) {
  nlohmann::ordered_json json;
  json["healthy"] = !IsAnyWrong(checks);
  json["checks"] = nlohmann::ordered_json::array();
  for (const Check& check : checks) {
    json["checks"].push_back(
        {{"check", check.name}, {"verdict", Name(check.verdict)}, {"found", check.found}, {"remedy", check.remedy}});
  }
  return json;
}

}  // namespace espalier
