// What `espalier watch` shows on a terminal: plain values in, lines out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "client/watch/time_left.h"

namespace espalier {

struct WatchedStage {
  int candidates = 0;
  int64_t train_tokens = 0;
  int64_t score_tokens = 0;
  int done = 0;  // of candidates, in the present generation
  bool is_present = false;
  double best = -1;  // fitness of the best candidate so far; negative: none yet
  double best_error = 0;
};

struct WatchedJob {
  std::string name;   // "jobs/first"
  std::string title;  // display name; may be empty
  std::string state;  // "running"
  std::string target;
  std::string model;
  std::string waiting_for;  // why nothing of it can be leased
  std::string failure;
  ProgressSample progress;
  int64_t trained_tokens = 0;
  int64_t planned_train_tokens = 0;
  int64_t scored_tokens = 0;
  double tokens_per_second = 0;
  double best_fitness = 0;  // 0 before there is one
  double best_error = 0;
  std::vector<double> fitness = {};  // by generation
  std::vector<WatchedStage> stages = {};
  std::vector<std::string> given_up = {};  // tasks, with the reasons
  TimeLeft left = {};
  bool HasEnded() const { return state == "succeeded" || state == "failed" || state == "cancelled"; }
};

struct WatchedWorker {
  std::string name;
  std::string state;  // "busy"
  std::string host;
  std::string device;
  std::string doing;
  double tokens_per_second = 0;
};

struct WatchedFleet {
  bool is_known = false;
  std::string why_not;  // when it is not
  std::vector<WatchedWorker> workers;
};

struct ScreenOptions {
  int width = 80;
  int height = 24;
  bool use_colours = false;
};

// One job with all that is known of it.
std::vector<std::string> JobScreen(const WatchedJob& job, const WatchedFleet& fleet, const ScreenOptions& options);

// Many jobs, a line each, those that have not ended first as they come; then the details of the first that runs.
std::vector<std::string> JobsScreen(const std::vector<WatchedJob>& jobs, const WatchedFleet& fleet,
                                    const ScreenOptions& options);

// "3 workers: 2 busy, 1 idle; 41.2k tok/s; 2 x NVIDIA H200"
std::string FleetLine(const WatchedFleet& fleet);

// "level bank", "scoring units", "search", ...
std::string StepTitle(const std::string& step);

}  // namespace espalier
