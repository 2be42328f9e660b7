// What `espalier doctor` found, one line a check.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace espalier {

enum class Verdict { kOk, kWarning, kWrong, kSkipped };
const char* Name(Verdict verdict);  // "ok", "warning", "wrong", "skipped"

struct Check {
  std::string name;  // "disk", "certificate"
  Verdict verdict = Verdict::kOk;
  std::string found;
  std::string remedy = {};  // what to do; empty when nothing is to be done
};

bool IsAnyWrong(const std::vector<Check>& checks);

// A line for each check and, where something is to be done, one below it. `use_colours`: of the verdicts.
std::string ChecksText(const std::vector<Check>& checks, bool use_colours);
nlohmann::ordered_json ChecksJson(const std::vector<Check>& checks);

}  // namespace espalier
