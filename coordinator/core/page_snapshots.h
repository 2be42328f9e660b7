// What one page shows: copies of no more than that page needs, made under the core's lock and then free of it.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/core/views.h"

namespace espalier {

struct JobsSnapshot {
  std::vector<JobView> jobs;  // newest first, without the long parts
  int first = 0;              // of `jobs` in the whole list
  int total = 0;
  std::map<JobState, int> by_state;
};

// A lease of the job, and who has it.
struct RunningTask {
  std::string task_id;
  int attempt = 0;
  std::string worker_id;
  std::string host_name;
  std::string device_name;
  absl::Duration since_granted;
  TaskProgress progress;
};

struct JobSnapshot {
  JobView job;
  std::optional<int> generation;              // whose candidates these are: the one asked for, else the newest
  std::vector<CandidateView> candidates;      // of that generation, in order of creation
  std::map<int, int> infeasible_candidates;   // how many, by generation; not those with none
  std::optional<CandidateView> parent;        // with which that generation began
  std::optional<CandidateView> best;          // the result, else the newest parent
  std::optional<CandidateView> before;        // the parent before it that was another mask
  std::vector<RunningTask> running;
  // Waiting or running tasks of which an attempt has failed: id, and the reasons in one text.
  std::vector<std::pair<std::string, std::string>> troubles;
};

struct CandidateSnapshot {
  JobView job;
  CandidateView candidate;
  std::optional<CandidateView> parent;      // with which its generation began
  std::vector<GenerationView> won;          // generations that ended with this mask as parent
};

}  // namespace espalier
