// Keeps a set of programs running: starts them, restarts the dead with back-off, and ends them all in order. One thread
// of its own starts and reaps every child (the parent-death signal is bound to the thread that started them).
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/process/child_process.h"

namespace espalier {

struct SupervisedProgram {
  std::string name;  // for messages: "coordinator", "worker 2"
  // Makes the command of one start; `start` counts from 0, so that each start can have an identity of its own.
  std::function<ChildCommand(int start)> command;
  // Exit codes that no restart will mend (bad command line, bad input, refused version), and what they mean here.
  std::map<int, absl::StatusCode> permanent = {};
};

struct SupervisorOptions {
  absl::Duration first_delay = absl::Milliseconds(100);  // before a restart, doubled with each quick death
  absl::Duration longest_delay = absl::Seconds(5);
  absl::Duration quick = absl::Seconds(5);  // a death sooner than this after the start counts as quick
  int max_quick_deaths = 5;                 // in a row, then the program is given up
};

class Supervisor {
 public:
  // Called from the supervisor's thread when a child has died; `start` is the one that died.
  using DeathFunction = std::function<void(const std::string& name, int start, const ExitStatus& status)>;

  Supervisor(std::vector<SupervisedProgram> programs, SupervisorOptions options, DeathFunction on_death);
  ~Supervisor();  // Stop with a grace of five seconds

  // One more program, after those there are.
  void Add(SupervisedProgram program);

  // SIGTERM to all but the first program, then to the first (the coordinator outlives its workers, so that they can
  // hand back what they hold); what is left after the grace gets SIGKILL. Returns when nothing of ours runs any more.
  void Stop(absl::Duration grace);

  // Not OK once a program was given up: the end of its log, its name and how it ended. The code is the one that the
  // program's `permanent` names, kResourceExhausted when the disk is full, else kInternal.
  absl::Status status() const;

 private:
  struct Entry {
    SupervisedProgram program;
    std::unique_ptr<ChildProcess> child;
    std::string log_path;
    int num_starts = 0;
    int quick_deaths = 0;
    bool is_given_up = false;
    absl::Time started;
    absl::Time start_at;
  };

  void Run();
  void StartDue(absl::Time now);
  void ReapDead(absl::Time now);
  void AddPending();
  void GiveUp(Entry& entry, const ExitStatus& ended, const std::string& how);
  void EndAll();
  void EndEntries(size_t begin, size_t end, absl::Duration grace);

  const SupervisorOptions options_;
  const DeathFunction on_death_;
  std::vector<Entry> entries_;  // of the thread

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<SupervisedProgram> pending_;   // guarded by mutex_
  bool is_stopping_ = false;                 // guarded by mutex_
  absl::Duration grace_ = absl::Seconds(5);  // guarded by mutex_
  absl::Status status_;                      // guarded by mutex_
  std::thread thread_;
};

// The last non-empty line of a log file, at most 300 characters; empty when there is none.
std::string LastLineOf(const std::string& path);

}  // namespace espalier
