// A coordinator and workers on this machine, as separate processes on a Unix socket: the same binaries and the same
// protocol as a fleet. Everything it started is gone when the object is.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/process/supervisor.h"
#include "client/run/state_folder.h"
#include "espalier/v1/job.pb.h"

namespace espalier {

class LocalService {
 public:
  // Starts the coordinator. kNotFound when a program of the build is missing.
  static absl::StatusOr<std::unique_ptr<LocalService>> Start(const StateFolder& folder);
  ~LocalService();
  LocalService(const LocalService&) = delete;
  LocalService& operator=(const LocalService&) = delete;

  // `slots`: tasks that each runs at once.
  absl::Status StartWorkers(int count, v1::DeviceKind device, int slots);

  std::string address() const { return "unix:" + folder_.socket_path(); }
  // Not OK when a program cannot be kept running.
  absl::Status status() const { return supervisor_->status(); }
  // What happened since the last call, one line each: deaths and restarts.
  std::vector<std::string> TakeEvents();

 private:
  explicit LocalService(const StateFolder& folder) : folder_(folder) {}
  void OnDeath(const std::string& name, const ExitStatus& status);
  void ReportDead(const std::string& worker_id) const;

  const StateFolder& folder_;
  std::string coordinator_program_;
  std::string worker_program_;

  std::mutex mutex_;
  std::vector<std::string> events_;                       // guarded by mutex_
  std::vector<std::pair<std::string, std::string>> ids_;  // guarded by mutex_: a worker's name and its present identity

  std::unique_ptr<Supervisor> supervisor_;  // last: its thread uses what is above
};

}  // namespace espalier
