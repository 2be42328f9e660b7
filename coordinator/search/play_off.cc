#include "coordinator/search/play_off.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "coordinator/search/first_parent.h"
#include "coordinator/search/task_factory.h"

namespace espalier {

void PlayOff::Start(const Bank& bank, const std::vector<Finalist>& finalists) {
  for (const Finalist& finalist : finalists) {
    const bool is_known = std::any_of(finalists_.begin(), finalists_.end(),
                                      [&](const Finalist& other) { return other.digest == finalist.digest; });
    if (!is_known) finalists_.push_back(finalist);
  }
  if (finalists_.size() < 2) return;
  for (const Finalist& finalist : finalists_) wanted_.Add(PlayOffEvaluation(*plan_, bank, finalist.mask));
}

void PlayOff::Restart(const Bank& bank) {
  std::vector<Finalist> finalists;
  finalists.swap(finalists_);
  wanted_.Clear();
  for (Finalist& finalist : finalists) {
    finalist.mask = WithinTarget(*plan_, bank, std::move(finalist.mask));
    finalist.digest = Digest(plan_->ladder, finalist.mask);
    finalist.measurement.reset();
  }
  Start(bank, finalists);
}

void PlayOff::Tell(const Task& task, const Measurement& measurement) {
  const std::string digest = std::get<EvaluateTask>(task.payload).mask_digest;
  for (Finalist& finalist : finalists_) {
    if (finalist.digest == digest) finalist.measurement = measurement;
  }
  const std::string task_id = task.task_id;  // `task` may lie in wanted_
  wanted_.Remove(task_id);
}

const Finalist* PlayOff::BestBut(const Finalist* excluded) const {
  const Finalist* best = nullptr;
  for (const Finalist& finalist : finalists_) {
    if (&finalist == excluded || !finalist.measurement.has_value() || !finalist.measurement->feasible) continue;
    const double fitness = finalist.measurement->fitness;
    if (best == nullptr || fitness < best->measurement->fitness ||
        (fitness == best->measurement->fitness && finalist.digest < best->digest)) {
      best = &finalist;
    }
  }
  return best;
}

const Finalist* PlayOff::Winner() const { return finalists_.size() == 1 ? &finalists_.front() : BestBut(nullptr); }

std::string PlayOff::Reason() const {
  if (finalists_.size() == 1) return absl::StrCat(finalists_.front().id, " is the only finalist");
  const Finalist* winner = Winner();
  if (winner == nullptr) {
    return absl::StrCat("none of the ", finalists_.size(), " finalists could be run; ", finalists_.front().id, ": ",
                        finalists_.front().measurement->infeasible_reason);
  }
  const std::string how = plan_->spec.play_off.tokens > 0
                              ? absl::StrCat(" after ", plan_->spec.play_off.tokens, " tokens of recovery")
                              : " one-shot";
  std::string text =
      absl::StrCat(winner->id, " won the play-off of ", finalists_.size(), how,
                   absl::StrFormat(": %.4f nats per token on the select windows", winner->measurement->fitness));
  if (const Finalist* second = BestBut(winner); second != nullptr) {
    const PairedDifference difference = ComparePaired(*second->measurement, *winner->measurement);
    absl::StrAppend(&text, absl::StrFormat(", %.4f (standard error %.4f) below %s", difference.mean,
                                           difference.standard_error, second->id));
  }
  return text;
}

}  // namespace espalier
