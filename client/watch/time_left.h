// How long a job will still take, and from what that is known: an estimate without its basis is a guess.
#pragma once

#include <deque>
#include <string>
#include <vector>

namespace espalier {

// Where a job stands at one moment, in its own running time.
struct ProgressSample {
  std::string step;  // "bank", "additive", "search", "play_off", "finish"
  double elapsed = 0;
  int generation = 0;  // from 0
  int num_generations = 0;
  int stage = 0;
  int num_stages = 0;
  int tasks_done = 0;
  int tasks_total = 0;
  int tasks_running = 0;
  std::vector<double> engine_seconds = {};  // by generation that is done, of the job so far: ever larger
};

struct TimeLeft {
  double seconds = -1;  // negative: not known
  std::string basis;    // in words; says why when it is not known
};

// The share of the search's generations that is done, from 0 to 1.
double SearchShare(const ProgressSample& sample);

// Fed with every state seen of one job.
class TimeLeftEstimator {
 public:
  void Add(const ProgressSample& sample);
  TimeLeft Estimate() const;

 private:
  TimeLeft OfSearch() const;
  TimeLeft OfStep() const;

  bool is_empty_ = true;
  ProgressSample first_of_step_;
  ProgressSample last_;
  std::deque<double> starts_;  // when the last generations began, of those whose begin was seen
};

}  // namespace espalier
