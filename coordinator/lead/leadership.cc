#include "coordinator/lead/leadership.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace espalier {
namespace {

bool HealsByWaiting(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsResourceExhausted(status) || absl::IsInternal(status);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Leadership>> Leadership::StandBy(
    std::unique_ptr<LeaderRow> row, const TermOptions& options, const Clock* clock,
    const std::function<bool(absl::Duration)>& wait,
    const std::function<void(const std::string& address, const absl::Status& database)>& on_leader) {
  std::optional<std::pair<std::string, absl::StatusCode>> said;
  while (true) {
    const absl::Time asked_at = clock->Now();
    const absl::StatusOr<LeaderView> view = row->TryLead(options.term);
    if (view.ok() && view->epoch.has_value()) {
      return std::unique_ptr<Leadership>(new Leadership(std::move(row), options, clock, *view->epoch, asked_at));
    }
    if (!view.ok() && !HealsByWaiting(view.status())) return view.status();
    const std::pair<std::string, absl::StatusCode> now_said = {view.ok() ? view->address : "", view.status().code()};
    if (said != now_said) on_leader(now_said.first, view.status());
    said = now_said;
    if (!wait(options.ask_every())) return std::unique_ptr<Leadership>();
  }
}

Leadership::Leadership(std::unique_ptr<LeaderRow> row, const TermOptions& options, const Clock* clock, int64_t epoch,
                       absl::Time asked_at)
    : row_(std::move(row)),
      options_(options),
      clock_(clock),
      epoch_(epoch),
      term_(options, asked_at),
      thread_([this] { KeepRenewing(); }) {}

Leadership::~Leadership() {
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
  if (!Check().ok()) return;
  // Best effort: without it the next one waits for the end of the term.
  row_->Resign(epoch_).IgnoreError();
}

absl::Status Leadership::Check() const {
  const std::lock_guard lock(mutex_);
  if (!lost_.ok()) return lost_;
  const absl::Time now = clock_->Now();
  if (!term_.IsOver(now)) return absl::OkStatus();
  return absl::AbortedError(absl::StrCat("the term of epoch ", epoch_, " ended ",
                                         absl::FormatDuration(now - term_.ends_at()),
                                         " ago without a renewal; another coordinator may lead by now"));
}

void Leadership::KeepRenewing() {
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, absl::ToChronoNanoseconds(options_.renew_every()), [this] { return is_ending_; })) {
    lock.unlock();
    const absl::Time asked_at = clock_->Now();
    const absl::Status status = row_->Renew(epoch_, options_.term);
    lock.lock();
    if (status.ok()) term_.OnRenewed(asked_at);
    if (absl::IsAborted(status)) lost_ = status;
  }
}

}  // namespace espalier
