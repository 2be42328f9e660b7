// What a search found, in words: every sentence is made of figures that the job measured, and says what was not measured.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "client/result/run_report.h"

namespace espalier {

struct ExplanationPart {
  std::string title;
  std::vector<std::string> sentences;
};

// Parameters that each unit of the report gave, in its order; empty when not known: heads and neurons are counted then.
using GivenUp = std::vector<int64_t>;

std::vector<ExplanationPart> Explain(const RunReport& report, const GivenUp& given_up);

// Each by itself.
ExplanationPart ExplainResult(const RunReport& report);
ExplanationPart ExplainWhatGave(const RunReport& report, const GivenUp& given_up);
ExplanationPart ExplainWhatWasKept(const RunReport& report);
ExplanationPart ExplainWhatTheSearchChanged(const RunReport& report);
ExplanationPart ExplainHowSure(const RunReport& report);
ExplanationPart ExplainWhatMoreMightBring(const RunReport& report);

// Paragraphs of at most `width` columns, their titles in `title_colour` (colours.h; nullptr: plain).
std::string ExplanationText(const std::vector<ExplanationPart>& parts, int width, const char* title_colour);
nlohmann::ordered_json ExplanationJson(const std::string& source, const std::vector<ExplanationPart>& parts);

}  // namespace espalier
