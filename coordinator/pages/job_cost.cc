#include "coordinator/pages/job_cost.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/domain/cost_estimate.h"
#include "common/picture/numbers.h"
#include "coordinator/pages/parts.h"

namespace espalier {
namespace {

constexpr double kLeastShareForPace = 0.02;

std::string SecondsOrUnknown(const std::optional<double>& seconds) {
  return seconds.has_value() ? FormatSeconds(*seconds) : "unknown";
}

std::string ClockTime(absl::Time time) { return absl::FormatTime("%Y-%m-%d %H:%M UTC", time, absl::UTCTimeZone()); }

std::string TakenBytes(int64_t bytes) { return bytes > 0 ? FormatBytes(static_cast<double>(bytes)) : "-"; }

Row EndRow(const JobView& job, absl::Time now) {
  const TimeEstimate& estimate = job.inputs.first_estimate;
  std::string expected = "unknown";
  if (estimate.seconds.has_value()) {
    expected = absl::StrCat(FormatSeconds(*estimate.seconds), " on ", estimate.num_devices,
                            estimate.num_devices == 1 ? " device" : " devices");
  }
  std::string taken = FormatSeconds(absl::ToDoubleSeconds(job.elapsed));
  if (!IsFinal(job.state)) {
    const WorkLeft left = WorkLeftOf(job);
    if (left.seconds.has_value() && job.state == JobState::kRunning) {
      absl::StrAppend(&taken, " so far; end expected ", ClockTime(now + absl::Seconds(*left.seconds)));
    } else {
      absl::StrAppend(&taken, " so far");
    }
  }
  return {{"running time", expected, taken}};
}

}  // namespace

WorkLeft WorkLeftOf(const JobView& job) {
  const JobProgress& progress = job.progress;
  const JobPreview& preview = job.preview;
  const int64_t planned_tokens = preview.train_tokens + preview.recovery_tokens;
  WorkLeft left;
  left.tokens = std::max<int64_t>(0, planned_tokens - progress.trained_tokens);
  const double planned = WorkOf(static_cast<double>(planned_tokens), static_cast<double>(preview.score_tokens), 1);
  const double done = WorkOf(static_cast<double>(progress.trained_tokens), static_cast<double>(progress.scored_tokens), 1);
  left.share_done = planned > 0 ? std::clamp(done / planned, 0.0, 1.0) : 0;
  const double elapsed = absl::ToDoubleSeconds(job.elapsed);
  if (left.share_done >= kLeastShareForPace) {
    const double ratio = (1 - left.share_done) / left.share_done;
    left.device_seconds = progress.engine_seconds * ratio;
    left.seconds = elapsed * ratio;
    left.is_own_pace = true;
    return left;
  }
  const TimeEstimate& estimate = job.inputs.first_estimate;
  if (estimate.device_seconds.has_value()) {
    left.device_seconds = std::max(0.0, *estimate.device_seconds - progress.engine_seconds);
  }
  if (estimate.seconds.has_value()) left.seconds = std::max(0.0, *estimate.seconds - elapsed);
  return left;
}

Html CostSection(const JobView& job, absl::Time now) {
  const JobPreview& preview = job.preview;
  const JobProgress& progress = job.progress;
  const TimeEstimate& estimate = job.inputs.first_estimate;
  const std::vector<Row> rows = {
      {{"trained tokens",
        absl::StrCat(CountOf(preview.train_tokens + preview.recovery_tokens), ", of them ",
                     CountOf(preview.recovery_tokens), " recovery"),
        CountOf(progress.trained_tokens)}},
      {{"scored tokens", CountOf(preview.score_tokens), CountOf(progress.scored_tokens)}},
      {{"evaluations", CountOf(preview.num_evaluations), CountOf(progress.num_evaluations)}},
      {{"level bank", FormatBytes(static_cast<double>(preview.bank_bytes)), TakenBytes(progress.bank_bytes)}},
      {{"memory of a candidate in training", FormatBytes(static_cast<double>(preview.device_bytes)),
        progress.peak_bytes > 0 ? absl::StrCat(TakenBytes(progress.peak_bytes), " at most")
        : job.spec.device == DeviceKind::kCpu ? std::string("not measured on CPUs")
                                              : std::string("-")}},
      {{"device time", SecondsOrUnknown(estimate.device_seconds), FormatSeconds(progress.engine_seconds)}},
      EndRow(job, now),
  };
  Html html = TableOf({{"", "words"}, {"expected, at most", "words"}, {IsFinal(job.state) ? "taken" : "so far", "words"}}, rows);
  if (!estimate.basis.empty()) html += LegendOf(Html("Times expected before it began: " + estimate.basis + "."));
  if (preview.warnings.empty()) return html;
  Html warnings;
  for (const std::string& warning : preview.warnings) warnings += Element("li", {}, warning);
  html += Element("details", {}, Element("summary", {}, "Notes on the specification"),
                  Element("ul", {{"class", "plain"}}, warnings));
  return html;
}

}  // namespace espalier
