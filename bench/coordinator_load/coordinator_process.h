// The coordinator under load, as a process of its own: started, measured, killed, started again.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace espalier::load {

struct ProcessUsage {
  double cpu_seconds = 0;
  int64_t resident_bytes = 0;
  int64_t peak_bytes = 0;
};

class CoordinatorProcess {
 public:
  // `state`: its folder. It listens on a free loopback port, the same one after a restart.
  CoordinatorProcess(std::string program, std::string state) : program_(std::move(program)), state_(std::move(state)) {}
  ~CoordinatorProcess();
  CoordinatorProcess(const CoordinatorProcess&) = delete;
  CoordinatorProcess& operator=(const CoordinatorProcess&) = delete;

  // Returns once it answers calls.
  absl::Status Start();
  void Kill();  // SIGKILL, and waits for its end
  void Stop();  // SIGTERM, and waits

  const std::string& address() const { return address_; }
  absl::StatusOr<std::string> Token() const;
  absl::StatusOr<ProcessUsage> Usage() const;

 private:
  void End(int signal);

  const std::string program_;
  const std::string state_;
  std::string address_;
  pid_t pid_ = -1;
};

// Of this process.
ProcessUsage OwnUsage();

}  // namespace espalier::load
