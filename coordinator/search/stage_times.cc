#include "coordinator/search/stage_times.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace espalier {
namespace {

// Of a stage's task, as task_factory.cc names it: evaluate/p<phase>/g<generation>/s<stage>/<mask>.
struct StageTaskName {
  std::string generation;
  int stage = 0;
  std::string mask;
};

std::optional<StageTaskName> ParseStageTask(const std::string& task_id) {
  const std::vector<std::string> parts = absl::StrSplit(task_id, '/');
  StageTaskName name;
  if (parts.size() < 5 || parts[0] != "evaluate" || !absl::StartsWith(parts[1], "p") || !absl::StartsWith(parts[2], "g") ||
      !absl::StartsWith(parts[3], "s") || !absl::SimpleAtoi(parts[3].substr(1), &name.stage)) {
    return std::nullopt;
  }
  name.generation = absl::StrCat(parts[1], "/", parts[2]);
  name.mask = parts[4];
  return name;
}

}  // namespace

void StageTimes::Note(const std::string& task_id, const std::string& worker_id, double elapsed) {
  const std::optional<StageTaskName> name = ParseStageTask(task_id);
  if (name.has_value()) {
    if (name->generation != generation_) {
      EndGeneration();
      generation_ = name->generation;
      begin_ = last_;
    }
    outcomes_.push_back({name->stage, name->mask, worker_id, elapsed, false});
  } else if (task_id == "finish" || absl::StartsWith(task_id, "evaluate/play-off/")) {
    EndGeneration();
  }
  last_ = elapsed;
}

void StageTimes::EndGeneration() {
  std::map<int, std::set<std::string>> masks;  // by stage
  for (const Outcome& outcome : outcomes_) masks[outcome.stage].insert(outcome.mask);
  std::map<std::string, double> busy_until;  // by worker
  for (Outcome& outcome : outcomes_) {
    const auto before = masks.find(outcome.stage - 1);
    outcome.is_early = before != masks.end() && !before->second.contains(outcome.mask);
    busy_until[outcome.worker_id] = 0;
  }
  std::optional<double> begin = begin_;
  for (const auto& [stage, members] : masks) {
    double end = 0;
    for (const Outcome& outcome : outcomes_) {
      if (outcome.stage == stage) end = std::max(end, outcome.at);
    }
    if (begin.has_value()) {
      for (auto& [worker, until] : busy_until) until = *begin;
      for (const Outcome& outcome : outcomes_) {
        if (outcome.stage != stage && !(outcome.is_early && outcome.stage > stage)) continue;
        double& until = busy_until[outcome.worker_id];
        until = std::max(until, std::min(outcome.at, end));
      }
      std::vector<double> latest;
      for (const auto& [worker, until] : busy_until) latest.push_back(until);
      std::sort(latest.rbegin(), latest.rend());
      const StageTime time = {std::max(0.0, end - *begin), latest.size() < 2 ? 0 : latest[0] - latest[1]};
      ended_.push_back(time);
      sums_.seconds += time.seconds;
      sums_.tail_seconds += time.tail_seconds;
    }
    begin = std::max(begin.value_or(end), end);
  }
  outcomes_.clear();
  generation_.clear();
}

std::vector<StageTime> StageTimes::TakeEnded() { return std::exchange(ended_, {}); }

}  // namespace espalier
