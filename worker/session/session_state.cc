#include "worker/session/session_state.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "common/base/strings.h"

namespace espalier {
namespace {

// A worker stops by its own clock when this share of the lease has passed, before the coordinator can give it away.
constexpr double kFenceShare = 0.8;
// Progress, and with it the lease's renewal, is due at least this often in a term, whatever the coordinator asked for.
constexpr double kRenewShare = 0.35;
constexpr absl::Duration kFirstBackOff = absl::Milliseconds(100);

bool Contains(const std::vector<LeaseToken>& tokens, const LeaseToken& token) {
  return std::find(tokens.begin(), tokens.end(), token) != tokens.end();
}

// What the coordinator needs to know of an engine's status.
std::variant<TaskOutcome, TaskFailure, HandedBack> ResultOf(absl::StatusOr<TaskOutcome> outcome) {
  if (outcome.ok()) return *std::move(outcome);
  if (absl::IsCancelled(outcome.status())) return HandedBack{};
  TaskFailure failure{.status = outcome.status(), .lost_artifact = ""};
  if (absl::IsDataLoss(outcome.status())) failure.lost_artifact = FindDigest(ToStd(outcome.status().message()));
  return failure;
}

}  // namespace

std::string FindDigest(std::string_view text) {
  size_t length = 0;
  for (size_t i = 0; i <= text.size(); ++i) {
    const bool is_digit = i < text.size() && ((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f'));
    if (is_digit) {
      ++length;
      continue;
    }
    if (length == 64) return std::string(text.substr(i - length, length));
    length = 0;
  }
  return "";
}

SessionState::SessionState(std::string worker_id, WorkerDescription description, uint64_t jitter_seed)
    : worker_id_(std::move(worker_id)),
      description_(std::move(description)),
      jitter_(jitter_seed),
      slots_(static_cast<size_t>(description_.slots)) {}

SynchronizeRequest SessionState::NextRequest(std::vector<RetainedState> states) {
  has_unsent_news_ = false;
  SynchronizeRequest request;
  request.worker_id = worker_id_;
  request.description = description_;
  request.draining = is_draining_;
  request.departure = is_drained() ? Departure::kLeaves : Departure::kNone;
  for (const Slot& slot : slots_) {
    if (slot.is_taken && !slot.is_dropped) request.held.push_back({slot.token, slot.progress});
  }
  request.finished = unacknowledged_;
  request.states = std::move(states);
  const bool has_news = !unacknowledged_.empty() || failures_in_a_row_ > 0;
  if (is_draining_ || has_news || num_running() == description_.slots) {
    request.max_wait = absl::ZeroDuration();
  } else {
    request.max_wait = num_running() == 0 ? poll_time_ : std::min(poll_time_, kRenewShare * lease_duration_);
  }
  return request;
}

SessionActions SessionState::OnReply(absl::Time sent_at, absl::Time now, const SynchronizeRequest& request,
                                     const SynchronizeResponse& reply) {
  SessionActions actions;
  failures_in_a_row_ = 0;
  lease_duration_ = reply.lease_duration;
  poll_time_ = reply.poll_time;
  for (const Verdict& verdict : reply.verdicts) {
    std::erase_if(unacknowledged_, [&](const FinishedAttempt& task) { return task.token == verdict.token; });
  }
  for (const HeldLease& held : request.held) {
    for (Slot& slot : slots_) {
      if (slot.is_taken && slot.token == held.token) slot.fenced_at = sent_at + kFenceShare * lease_duration_;
    }
  }
  StopUnwanted(reply, actions);
  StartGranted(sent_at, reply, actions);
  absl::Duration wait = std::max(reply.next_call, absl::ZeroDuration());
  if (num_running() > 0) wait = std::min(wait, kRenewShare * lease_duration_);
  // That the tasks began is no news: the coordinator knows whose they are, and says itself when it wants to hear of them.
  next_call_ = has_unsent_news_ ? now : now + wait;
  return actions;
}

void SessionState::StopUnwanted(const SynchronizeResponse& reply, SessionActions& actions) {
  for (size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    if (!slot.is_taken || slot.is_dropped || !Contains(reply.stop, slot.token)) continue;
    slot.is_dropped = true;
    if (!slot.is_cancelled) actions.cancel.push_back(static_cast<int>(i));
    slot.is_cancelled = true;
  }
}

void SessionState::StartGranted(absl::Time sent_at, const SynchronizeResponse& reply, SessionActions& actions) {
  if (is_draining_) return;  // the next call says that it is not held and that no more is wanted
  for (const LeaseGrant& grant : reply.grants) {
    const bool is_running = std::any_of(slots_.begin(), slots_.end(),
                                        [&](const Slot& slot) { return slot.is_taken && slot.token == grant.token; });
    const bool is_finished = std::any_of(unacknowledged_.begin(), unacknowledged_.end(),
                                         [&](const FinishedAttempt& task) { return task.token == grant.token; });
    const auto free = std::find_if(slots_.begin(), slots_.end(), [](const Slot& slot) { return !slot.is_taken; });
    if (is_running || is_finished || free == slots_.end()) continue;
    free->is_taken = true;  // a free slot is as it was made
    free->token = grant.token;
    free->fenced_at = sent_at + kFenceShare * lease_duration_;
    actions.start.push_back({static_cast<int>(free - slots_.begin()), grant.task});
  }
}

void SessionState::OnCallFailed(absl::Time now) {
  const int doublings = std::min(failures_in_a_row_++, 10);
  const absl::Duration longest = std::min(longest_back_off_, kFirstBackOff * (int64_t{1} << doublings));
  const double share = 0.5 + 0.5 * static_cast<double>(jitter_() >> 11) * 0x1.0p-53;
  next_call_ = now + longest * share;
}

void SessionState::OnCallCancelled(absl::Time now) { next_call_ = now; }

void SessionState::OnProgress(int slot, const TaskProgress& progress) { slots_[slot].progress = progress; }

void SessionState::OnFinished(absl::Time now, int slot, absl::StatusOr<TaskOutcome> outcome) {
  Slot& ended = slots_[slot];
  if (!ended.is_dropped) unacknowledged_.push_back({ended.token, ResultOf(std::move(outcome))});
  ended = Slot{};
  has_unsent_news_ = true;
  if (failures_in_a_row_ == 0) next_call_ = now;  // while the coordinator is away, its back-off holds
}

void SessionState::Drain(absl::Time now, absl::Duration grace) {
  is_draining_ = true;
  hand_back_at_ = std::min(hand_back_at_, now + grace);
  has_unsent_news_ = true;
  next_call_ = std::min(next_call_, now);
}

SessionActions SessionState::Force() {
  is_draining_ = true;
  hand_back_at_ = absl::InfinitePast();
  return Tick(absl::InfinitePast());
}

SessionActions SessionState::Tick(absl::Time now) {
  SessionActions actions;
  for (size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    if (!slot.is_taken || slot.is_cancelled) continue;
    if (now < slot.fenced_at && now < hand_back_at_) continue;
    slot.is_cancelled = true;
    actions.cancel.push_back(static_cast<int>(i));
  }
  return actions;
}

absl::Time SessionState::next_tick() const {
  absl::Time next = absl::InfiniteFuture();
  for (const Slot& slot : slots_) {
    if (!slot.is_taken || slot.is_cancelled) continue;
    next = std::min({next, slot.fenced_at, hand_back_at_});
  }
  return next;
}

bool SessionState::is_drained() const { return is_draining_ && num_running() == 0 && unacknowledged_.empty(); }

int SessionState::num_running() const {
  return static_cast<int>(std::count_if(slots_.begin(), slots_.end(), [](const Slot& slot) { return slot.is_taken; }));
}

}  // namespace espalier
