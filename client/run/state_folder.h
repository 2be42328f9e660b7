// The folder in which a local run keeps its job: the coordinator's state, the artifacts, the logs, and what is needed
// to go on with the same job later. One run at a time.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "espalier/v1/job.pb.h"

namespace espalier {

class StateFolder {
 public:
  // `path` empty: a new temporary folder, removed at the end. kFailedPrecondition when another run holds it.
  static absl::StatusOr<std::unique_ptr<StateFolder>> Open(const std::string& path);
  ~StateFolder();
  StateFolder(const StateFolder&) = delete;
  StateFolder& operator=(const StateFolder&) = delete;

  // The request id of the job that lives here: made and saved (with the specification) the first time.
  // kFailedPrecondition when the folder belongs to another specification, with the first line that differs.
  absl::StatusOr<std::string> RequestIdFor(const v1::JobSpec& spec);

  // The job that RequestIdFor was asked for has been refused and never existed: when it was this call that brought it here,
  // the folder is open to another one again, and goes when it was made for it.
  void Forget();

  const std::string& path() const { return path_; }
  std::string coordinator_state() const { return path_ + "/coordinator"; }
  std::string artifacts() const { return path_ + "/artifacts"; }
  std::string log(const std::string& name) const { return path_ + "/" + name + ".log"; }
  // Of the Unix socket; short enough for the system's limit of 108 bytes, so perhaps not in the folder itself.
  const std::string& socket_path() const { return socket_path_; }

 private:
  StateFolder() = default;

  std::string path_;
  std::string socket_path_;
  std::string socket_folder_;  // made for a short path; removed at the end
  bool is_temporary_ = false;
  bool was_made_ = false;  // by this object
  bool has_new_request_ = false;
  int lock_ = -1;
};

}  // namespace espalier
