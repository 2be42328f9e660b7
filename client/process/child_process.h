// A child process of our own: in a process group of its own (a Ctrl-C in the terminal reaches only us, we end the
// children in order), killed by the kernel when we die however we die, and reaped.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace espalier {

struct ChildCommand {
  std::string program;                   // path; no search along PATH
  std::vector<std::string> arguments;    // without the program itself
  std::vector<std::string> environment;  // additional, "NAME=value"
  std::string log_path;                  // standard output and error are appended here; empty: both are inherited
};

struct ExitStatus {
  int code = 0;    // when it exited by itself
  int signal = 0;  // when a signal ended it, else 0
  bool ok() const { return code == 0 && signal == 0; }
};
std::string ToText(const ExitStatus& status);  // "exit code 3", "signal 9 (Killed)"

// Confined to one thread, and that thread must outlive the child: the kernel's parent-death signal is bound to the
// thread that started it.
class ChildProcess {
 public:
  // kNotFound or kPermissionDenied when the program cannot be started, with its path.
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Start(const ChildCommand& command);
  ~ChildProcess();  // SIGKILL to the group when it still runs
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t pid() const { return pid_; }
  std::optional<ExitStatus> Poll();  // nothing while it runs
  ExitStatus Wait();
  void Signal(int signal);  // to the whole group; no-op after it ended

 private:
  friend absl::StatusOr<struct CapturedRun> RunAndCapture(const ChildCommand& command,
                                                          const std::function<bool()>& keep_going);
  explicit ChildProcess(pid_t pid) : pid_(pid) {}

  pid_t pid_;
  std::optional<ExitStatus> status_;
};

// Runs a program to its end and returns what it printed on standard output; its standard error goes to the log or is
// inherited. When `keep_going` says no, the program is killed (kCancelled).
struct CapturedRun {
  ExitStatus status;
  std::string output;
};
absl::StatusOr<CapturedRun> RunAndCapture(const ChildCommand& command, const std::function<bool()>& keep_going);

// The programs of one build lie side by side: `name` beside this executable. kNotFound says where it was looked for.
absl::StatusOr<std::string> FindSiblingProgram(const std::string& name, const char* environment_variable);

}  // namespace espalier
