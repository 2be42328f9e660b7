#include "coordinator/schedule/job_queue.h"

#include "absl/strings/str_cat.h"
#include "common/base/check.h"

namespace espalier {

void JobQueue::Put(int64_t position, const ReadyTask& task) {
  const bool is_new = ready_.emplace(position, task).second;
  ESPALIER_CHECK(is_new);
  if (const StateKey* state = ResumeOf(*task.task)) by_state_[*state].insert(position);
}

void JobQueue::Remove(int64_t position) {
  const auto found = ready_.find(position);
  if (found == ready_.end()) return;
  if (const StateKey* state = ResumeOf(*found->second.task)) {
    const auto resuming = by_state_.find(*state);
    resuming->second.erase(position);
    if (resuming->second.empty()) by_state_.erase(resuming);
  }
  ready_.erase(found);
}

void JobQueue::Clear() {
  ready_.clear();
  by_state_.clear();
}

const std::set<int64_t>& JobQueue::ResumingFrom(const StateKey& state) const {
  static const std::set<int64_t> kNone;
  const auto found = by_state_.find(state);
  return found == by_state_.end() ? kNone : found->second;
}

const StateKey* ResumeOf(const Task& task) {
  if (const auto* evaluate = std::get_if<EvaluateTask>(&task.payload); evaluate != nullptr && evaluate->resume) {
    return &*evaluate->resume;
  }
  if (const auto* finish = std::get_if<FinishTask>(&task.payload); finish != nullptr && finish->start) {
    return &*finish->start;
  }
  return nullptr;
}

int LayerOf(const Task& task) {
  if (const auto* layer = std::get_if<BankLayerTask>(&task.payload)) return layer->layer;
  if (const auto* unit = std::get_if<AdditiveUnitTask>(&task.payload)) {
    const auto& units = task.context.ladder.units;
    if (unit->unit >= 0 && unit->unit < static_cast<int>(units.size())) return units[unit->unit].unit.layer;
  }
  return -1;
}

std::string RunOf(const Task& task) { return absl::StrCat(task.job_id, "/", Name(task.kind())); }

}  // namespace espalier
