// Threads that do what a gRPC reaction must not: wait for the store, read files. Work is done in the order of posting
// (with one thread).
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/time/time.h"

namespace espalier {

class Executor {
 public:
  // `tick`, when given, runs on one of the threads about every `tick_every`.
  Executor(int num_threads, std::function<void()> tick, absl::Duration tick_every);
  ~Executor();  // runs what was posted, then ends
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  void Post(std::function<void()> work);
  // For work that callers cause: refuses it when as much is waiting already as SetLimit says.
  bool TryPost(std::function<void()> work);
  void SetLimit(int max_queued);  // before the first call

 private:
  void Run(bool ticks);

  std::function<void()> tick_;
  absl::Duration tick_every_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;  // guarded by mutex_, as is_ending_
  bool is_ending_ = false;
  size_t max_queued_ = 1024;
  std::vector<std::thread> threads_;
};

}  // namespace espalier
