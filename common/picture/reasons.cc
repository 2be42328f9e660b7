#include "common/picture/reasons.h"

namespace espalier {

std::string StoppedInWords(const std::string& because) {
  if (because.empty()) return {};
  if (because == "generations") return "All its generations were made.";
  if (because == "token_budget") return "The search stopped when its token budget was spent.";
  if (because == "wall_time") return "The search stopped when its time was over.";
  if (because == "patience") return "The search stopped because no generation had been better for long enough.";
  return "The search stopped by: " + because + ".";
}

}  // namespace espalier
