#include "worker/engine/progress.h"

namespace espalier {
namespace {
constexpr std::chrono::milliseconds kReportEvery(200);
}

void ProgressReporter::Begin(const std::string& step, int64_t total) { BeginAt(step, 0, total); }

void ProgressReporter::BeginAt(const std::string& step, int64_t already, int64_t total) {
  progress_ = {.step = step, .done = already, .total = total, .tokens_per_second = 0, .loss = 0};
  already_ = already;
  began_ = std::chrono::steady_clock::now();
  Report();
}

void ProgressReporter::Update(int64_t done, double loss) {
  progress_.done = done;
  progress_.loss = loss;
  const auto now = std::chrono::steady_clock::now();
  if (now - reported_ < kReportEvery && done < progress_.total) return;
  const double seconds = std::chrono::duration<double>(now - began_).count();
  progress_.tokens_per_second = seconds > 0 ? static_cast<double>(done - already_) / seconds : 0;
  Report();
}

absl::Status ProgressReporter::CheckStop() const {
  if (!stop_.stop_requested()) return absl::OkStatus();
  return absl::CancelledError("the task was asked to stop");
}

void ProgressReporter::Report() {
  reported_ = std::chrono::steady_clock::now();
  if (report_) report_(progress_);
}

}  // namespace espalier
