#include "bench/coordinator_load/coordinator_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/base/files.h"
#include "common/base/status_macros.h"

extern char** environ;

namespace espalier::load {
namespace {

constexpr absl::Duration kStartTime = absl::Minutes(2);

int64_t FieldOf(const std::string& status, const char* name) {
  for (absl::string_view line : absl::StrSplit(status, '\n')) {
    if (line.substr(0, std::string(name).size()) != name) continue;
    int64_t kilobytes = 0;
    for (absl::string_view part : absl::StrSplit(line, absl::ByAnyChar(" \t"))) {
      if (absl::SimpleAtoi(part, &kilobytes)) return kilobytes * 1024;
    }
  }
  return 0;
}

absl::StatusOr<ProcessUsage> UsageOf(const std::string& process) {
  ProcessUsage usage;
  ESPALIER_ASSIGN_OR_RETURN(const std::string status, ReadFile("/proc/" + process + "/status", 1 << 16));
  usage.resident_bytes = FieldOf(status, "VmRSS:");
  usage.peak_bytes = FieldOf(status, "VmHWM:");
  ESPALIER_ASSIGN_OR_RETURN(const std::string stat, ReadFile("/proc/" + process + "/stat", 1 << 16));
  // After the name, which may hold anything: state is field 3, utime 14, stime 15.
  const std::vector<std::string> fields = absl::StrSplit(stat.substr(stat.rfind(')') + 2), ' ');
  int64_t user = 0, system = 0;
  if (fields.size() < 13 || !absl::SimpleAtoi(fields[11], &user) || !absl::SimpleAtoi(fields[12], &system)) {
    return absl::InternalError("cannot read the times of process " + process);
  }
  usage.cpu_seconds = static_cast<double>(user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  return usage;
}

}  // namespace

CoordinatorProcess::~CoordinatorProcess() { End(SIGKILL); }

absl::Status CoordinatorProcess::Start() {
  const std::string ready = state_ + "/ready";
  ::unlink(ready.c_str());
  const std::string listen = address_.empty() ? "127.0.0.1:0" : address_;
  std::vector<std::string> words = {program_,       "--state",     state_, "--listen",    listen, "--ready-file", ready,
                                    "--log-level",  "warn",        "--lease-seconds", "60",
                                    // Its jobs are one caller's and each is to outlast the measurement.
                                    "--max-windows-per-caller", absl::StrCat(int64_t{1} << 50)};
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  const std::string log = state_ + "/log";
  posix_spawn_file_actions_addopen(&actions, 1, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  const int error = ::posix_spawn(&pid_, program_.c_str(), &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    pid_ = -1;
    return absl::ErrnoToStatus(error, absl::StrCat("cannot start '", program_, "'"));
  }
  const absl::Time until = absl::Now() + kStartTime;
  while (absl::Now() < until) {
    if (const absl::StatusOr<std::string> text = ReadFile(ready, 4096); text.ok()) {
      address_ = std::string(absl::StripAsciiWhitespace(*text));
      return absl::OkStatus();
    }
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) == pid_) {
      pid_ = -1;
      return absl::FailedPreconditionError(absl::StrCat("the coordinator ended at its start; see '", log, "'"));
    }
    absl::SleepFor(absl::Milliseconds(5));
  }
  return absl::DeadlineExceededError(absl::StrCat("the coordinator is not ready after ", absl::FormatDuration(kStartTime)));
}

void CoordinatorProcess::End(int signal) {
  if (pid_ <= 0) return;
  ::kill(pid_, signal);
  int status = 0;
  ::waitpid(pid_, &status, 0);
  pid_ = -1;
}

void CoordinatorProcess::Kill() { End(SIGKILL); }
void CoordinatorProcess::Stop() { End(SIGTERM); }

absl::StatusOr<std::string> CoordinatorProcess::Token() const {
  ESPALIER_ASSIGN_OR_RETURN(const std::string text, ReadFile(state_ + "/token", 4096));
  return std::string(absl::StripAsciiWhitespace(text));
}

absl::StatusOr<ProcessUsage> CoordinatorProcess::Usage() const { return UsageOf(absl::StrCat(pid_)); }

ProcessUsage OwnUsage() { return UsageOf("self").value_or(ProcessUsage{}); }

}  // namespace espalier::load
