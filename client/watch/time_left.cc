#include "client/watch/time_left.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "client/render/format.h"

namespace espalier {
namespace {

constexpr size_t kMostGenerations = 5;  // the last ones tell the present pace
constexpr char kOnTop[] = "; play-off, recovery and export come on top";

double StageShare(const ProgressSample& sample) {
  if (sample.num_stages <= 0) return 0;
  const double within =
      sample.tasks_total > 0 ? static_cast<double>(sample.tasks_done) / static_cast<double>(sample.tasks_total) : 0;
  return std::clamp((sample.stage + within) / sample.num_stages, 0.0, 1.0);
}

std::string Generations(int count) { return absl::StrCat(count, count == 1 ? " generation" : " generations"); }

}  // namespace

double SearchShare(const ProgressSample& sample) {
  if (sample.num_generations <= 0) return 0;
  return std::clamp((sample.generation + StageShare(sample)) / sample.num_generations, 0.0, 1.0);
}

void TimeLeftEstimator::Add(const ProgressSample& sample) {
  const bool is_new_step = is_empty_ || sample.step != last_.step;
  if (is_new_step) {
    first_of_step_ = sample;
    starts_.clear();
  }
  // The first state seen may be amid a generation; the begin of the first one is seen when the step changes.
  const bool begins = sample.step == "search" && ((is_new_step && !is_empty_) || (!is_new_step && sample.generation > last_.generation));
  if (begins) {
    // Several may have gone by between two states: their pace is not known one by one.
    if (!is_new_step && sample.generation != last_.generation + 1) starts_.clear();
    starts_.push_back(sample.elapsed);
    if (starts_.size() > kMostGenerations + 1) starts_.pop_front();
  }
  last_ = sample;
  is_empty_ = false;
}

TimeLeft TimeLeftEstimator::Estimate() const {
  if (is_empty_) return {-1, "nothing has been seen yet"};
  return last_.step == "search" ? OfSearch() : OfStep();
}

TimeLeft TimeLeftEstimator::OfSearch() const {
  const double left = last_.num_generations * (1 - SearchShare(last_));
  if (starts_.size() >= 2) {
    const int count = static_cast<int>(starts_.size()) - 1;
    const double each = (starts_.back() - starts_.front()) / count;
    return {left * each, absl::StrCat(FormatNumber(left, 1), " generations more, ", FormatSeconds(each), " each as the last ",
                                      Generations(count), " took", kOnTop)};
  }
  const std::vector<double>& engine = last_.engine_seconds;
  if (engine.size() >= 2) {
    const size_t count = std::min(kMostGenerations, engine.size() - 1);
    const double each = (engine.back() - engine[engine.size() - 1 - count]) / static_cast<double>(count);
    const int parallel = std::max(1, last_.tasks_running);
    return {left * each / parallel,
            absl::StrCat(FormatNumber(left, 1), " generations more, ", FormatSeconds(each), " of device time each as the last ",
                         Generations(static_cast<int>(count)), " took, ", parallel, parallel == 1 ? " task" : " tasks",
                         " at once", kOnTop)};
  }
  const double done = SearchShare(last_) - SearchShare(first_of_step_);
  const double took = last_.elapsed - first_of_step_.elapsed;
  if (done > 0.02 && took > 0) {
    return {took * (1 - SearchShare(last_)) / done,
            absl::StrCat("from ", FormatPercent(done), " of the search in ", FormatSeconds(took), kOnTop)};
  }
  return {-1, "not known before a generation is done"};
}

TimeLeft TimeLeftEstimator::OfStep() const {
  const int done = last_.tasks_done - first_of_step_.tasks_done;
  const double took = last_.elapsed - first_of_step_.elapsed;
  if (last_.tasks_total <= 0 || done <= 0 || took <= 0) return {-1, "not known before some of this step's tasks are done"};
  return {took / done * (last_.tasks_total - last_.tasks_done),
          absl::StrCat("for this step alone, from ", done, " of its ", last_.tasks_total, " tasks in ", FormatSeconds(took))};
}

}  // namespace espalier
