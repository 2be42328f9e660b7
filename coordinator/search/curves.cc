#include "coordinator/search/curves.h"

#include <utility>

#include "common/base/check.h"

namespace espalier {

void Curves::WantOneShot(const Bank& bank, OneShotKind kind, const Mask& mask) {
  const std::string digest = Digest(plan_->ladder, mask);
  if (kind == OneShotKind::kCurve && entries_.contains({Kind::kYardstick, digest})) return;
  Want(bank, kind == OneShotKind::kCurve ? Kind::kCurve : Kind::kYardstick, mask);
}

void Curves::WantRecovered(const Bank& bank, const Mask& mask) { Want(bank, Kind::kRecovered, mask); }

void Curves::Want(const Bank& bank, Kind kind, const Mask& mask) {
  const Key key = {kind, Digest(plan_->ladder, mask)};
  if (entries_.contains(key)) return;
  Task task = MakeTask(bank, kind, mask);
  entries_[key] = {mask, task.task_id, std::nullopt};
  wanted_.Add(std::move(task));
}

Task Curves::MakeTask(const Bank& bank, Kind kind, const Mask& mask) const {
  switch (kind) {
    case Kind::kCurve: return OneShotEvaluation(*plan_, bank, OneShotKind::kCurve, mask);
    case Kind::kYardstick: return OneShotEvaluation(*plan_, bank, OneShotKind::kYardstick, mask);
    case Kind::kRecovered: return RecoveredEvaluation(*plan_, bank, mask);
  }
  return Task();
}

void Curves::Rebase(const Bank& bank) {
  wanted_.Clear();
  for (auto& [key, entry] : entries_) {
    if (entry.measurement.has_value()) continue;
    Task task = MakeTask(bank, key.first, entry.mask);
    entry.task_id = task.task_id;
    wanted_.Add(std::move(task));
  }
}

void Curves::Tell(const Task& task, const Measurement& measurement) {
  const std::string task_id = task.task_id;  // `task` may lie in wanted_
  for (auto& [key, entry] : entries_) {
    if (entry.task_id == task_id) entry.measurement = measurement;
  }
  wanted_.Remove(task_id);
}

const Measurement* Curves::Find(Kind kind, const std::string& mask_digest) const {
  const auto found = entries_.find({kind, mask_digest});
  if (found == entries_.end() || !found->second.measurement.has_value() || !found->second.measurement->feasible)
    return nullptr;
  return &*found->second.measurement;
}

const Measurement* Curves::OneShot(const std::string& mask_digest) const {
  const Measurement* yardstick = Find(Kind::kYardstick, mask_digest);
  return yardstick != nullptr ? yardstick : Find(Kind::kCurve, mask_digest);
}

const Measurement* Curves::Yardstick(const std::string& mask_digest) const {
  return Find(Kind::kYardstick, mask_digest);
}

const Measurement* Curves::Recovered(const std::string& mask_digest) const {
  return Find(Kind::kRecovered, mask_digest);
}

}  // namespace espalier
