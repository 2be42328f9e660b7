#include "common/picture/task_words.h"

#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace espalier {
namespace {

using Parts = std::vector<std::string>;

bool ReadAfter(char letter, const std::string& part, int* number) {
  return !part.empty() && part[0] == letter && absl::SimpleAtoi(part.substr(1), number);
}

std::string OfMask(const std::string& what, const std::string& digest) {
  return absl::StrCat(what, ", mask ", digest.substr(0, 12));
}

std::string Evaluation(const Parts& parts, const std::string& task_id) {
  static const auto& kNames = *new std::vector<std::pair<std::string, std::string>>{
      {"one-shot", "result before training"}, {"yardstick", "yardstick"},
      {"play-off", "play-off"},               {"recovered", "recovery of a yardstick"}};
  int generation = 0, stage = 0;
  if (parts.size() >= 5 && ReadAfter('g', parts[2], &generation) && ReadAfter('s', parts[3], &stage))
    return OfMask(absl::StrCat("generation ", generation + 1, ", stage ", stage + 1), parts[4]);
  if (parts.size() >= 4 && parts[1] == "select") return OfMask("choice of the next phase's parent", parts[3]);
  for (const auto& [name, words] : kNames) {
    if (parts.size() >= 3 && parts[1] == name) return OfMask(words, parts[2]);
  }
  return task_id;
}

}  // namespace

std::string TaskInWords(const std::string& task_id) {
  const Parts parts = absl::StrSplit(task_id, '/');
  if (parts[0] == "evaluate") return Evaluation(parts, task_id);
  if (parts[0] == "bank" && parts.size() >= 2) return absl::StrCat("level bank, layer ", parts[1]);
  if (parts[0] == "additive" && parts.size() >= 3) return absl::StrCat("scoring of ", parts[1], " in layer ", parts[2]);
  if (parts[0] == "finish") return "recovery, export and proof";
  return task_id;
}

}  // namespace espalier
