// How far a task is, told to the session a few times a second, and whether it is to stop.
#pragma once

#include <chrono>
#include <cstdint>
#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "worker/engine/engine.h"

namespace espalier {

// One task's reporter; confined to the task's thread.
class ProgressReporter {
 public:
  // `report` may be empty.
  ProgressReporter(const ProgressFunction& report, std::stop_token stop) : report_(report), stop_(std::move(stop)) {}

  // Begins a step of `total` tokens (or columns, see TaskProgress) and reports it.
  void Begin(const std::string& step, int64_t total);
  // The same for a step of which `already` is behind: a recovery that goes on.
  void BeginAt(const std::string& step, int64_t already, int64_t total);
  // `done` of the step so far, with the latest loss (0: none). Reports at most five times a second.
  void Update(int64_t done, double loss);

  // kCancelled once a stop was asked for.
  absl::Status CheckStop() const;
  bool stop_requested() const { return stop_.stop_requested(); }
  const std::stop_token& stop() const { return stop_; }

 private:
  void Report();

  const ProgressFunction& report_;
  const std::stop_token stop_;
  TaskProgress progress_;
  int64_t already_ = 0;
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point reported_ = began_;
};

// Seconds since a moment, for measurements.
class Stopwatch {
 public:
  double Seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count(); }
  void Restart() { began_ = std::chrono::steady_clock::now(); }

 private:
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

}  // namespace espalier
