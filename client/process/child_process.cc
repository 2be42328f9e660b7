#include "client/process/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "common/base/files.h"
#include "common/base/status_macros.h"

extern char** environ;

namespace espalier {
namespace {

class Pipe {
 public:
  Pipe() {
    if (::pipe2(ends_, O_CLOEXEC) != 0) ends_[0] = ends_[1] = -1;
  }
  ~Pipe() {
    Close(0);
    Close(1);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  int read_end() const { return ends_[0]; }
  int write_end() const { return ends_[1]; }
  void Close(int which) {
    if (ends_[which] >= 0) ::close(ends_[which]);
    ends_[which] = -1;
  }

 private:
  int ends_[2];
};

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

struct Prepared {
  std::vector<std::string> argument_texts;
  std::vector<std::string> environment_texts;
  std::vector<char*> arguments;
  std::vector<char*> environment;
  int output = -1;  // for standard output and error; -1: inherited
  int error = -1;
};

// Between fork and exec only async-signal-safe calls are allowed: other threads (gRPC's) may hold any lock. _Fork runs
// no fork handlers, so it is safe with them as well.
[[noreturn]] void BecomeProgram(const Prepared& prepared, pid_t parent, int report) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  struct sigaction initial = {};
  initial.sa_handler = SIG_DFL;
  for (int signal : {SIGINT, SIGTERM, SIGPIPE, SIGHUP}) ::sigaction(signal, &initial, nullptr);
  const int null = ::open("/dev/null", O_RDONLY);
  if (null >= 0) ::dup2(null, 0);
  if (prepared.output >= 0) ::dup2(prepared.output, 1);
  if (prepared.error >= 0) ::dup2(prepared.error, 2);
  ::execve(prepared.arguments[0], prepared.arguments.data(), prepared.environment.data());
  const int error = errno;
  [[maybe_unused]] const ssize_t ignored = ::write(report, &error, sizeof(error));
  ::_exit(127);
}

absl::StatusOr<pid_t> Spawn(const ChildCommand& command, int output, int error) {
  Prepared prepared;
  prepared.argument_texts.push_back(command.program);
  for (const std::string& argument : command.arguments) prepared.argument_texts.push_back(argument);
  prepared.environment_texts = command.environment;
  for (char** entry = environ; *entry != nullptr; ++entry) prepared.environment_texts.push_back(*entry);
  prepared.arguments = Pointers(prepared.argument_texts);
  prepared.environment = Pointers(prepared.environment_texts);
  prepared.output = output;
  prepared.error = error;

  Pipe report;
  if (report.read_end() < 0) return ErrnoStatus("cannot make a pipe for", command.program);
  const pid_t parent = ::getpid();
  const pid_t pid = ::_Fork();
  if (pid < 0) return ErrnoStatus("cannot start", command.program);
  if (pid == 0) BecomeProgram(prepared, parent, report.write_end());
  report.Close(1);
  int exec_error = 0;
  ssize_t count;
  do {
    count = ::read(report.read_end(), &exec_error, sizeof(exec_error));
  } while (count < 0 && errno == EINTR);
  if (count > 0) {
    ::waitpid(pid, nullptr, 0);
    errno = exec_error;
    return ErrnoStatus("cannot start", command.program);
  }
  return pid;
}

// -1 when the command names none.
absl::StatusOr<int> OpenLog(const ChildCommand& command) {
  if (command.log_path.empty()) return -1;
  const int log = ::open(command.log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (log < 0) return ErrnoStatus("cannot open the log", command.log_path);
  return log;
}

ExitStatus FromWait(int raw) {
  if (WIFSIGNALED(raw)) return {.code = 0, .signal = WTERMSIG(raw)};
  return {.code = WEXITSTATUS(raw), .signal = 0};
}

}  // namespace

std::string ToText(const ExitStatus& status) {
  if (status.signal != 0) return absl::StrCat("signal ", status.signal, " (", ::strsignal(status.signal), ")");
  return absl::StrCat("exit code ", status.code);
}

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::Start(const ChildCommand& command) {
  ESPALIER_ASSIGN_OR_RETURN(const int log, OpenLog(command));
  absl::StatusOr<pid_t> pid = Spawn(command, log, log);
  if (log >= 0) ::close(log);
  if (!pid.ok()) return pid.status();
  return std::unique_ptr<ChildProcess>(new ChildProcess(*pid));
}

ChildProcess::~ChildProcess() {
  if (Poll().has_value()) return;
  Signal(SIGKILL);
  Wait();
}

std::optional<ExitStatus> ChildProcess::Poll() {
  if (status_.has_value()) return status_;
  int raw = 0;
  if (::waitpid(pid_, &raw, WNOHANG) == pid_) status_ = FromWait(raw);
  return status_;
}

ExitStatus ChildProcess::Wait() {
  while (!status_.has_value()) {
    int raw = 0;
    const pid_t ended = ::waitpid(pid_, &raw, 0);
    if (ended == pid_) status_ = FromWait(raw);
    if (ended < 0 && errno != EINTR) status_ = ExitStatus{.code = 127, .signal = 0};
  }
  return *status_;
}

void ChildProcess::Signal(int signal) {
  if (status_.has_value()) return;
  if (::kill(-pid_, signal) != 0) ::kill(pid_, signal);  // the group may not exist yet right after the start
}

absl::StatusOr<CapturedRun> RunAndCapture(const ChildCommand& command, const std::function<bool()>& keep_going) {
  Pipe pipe;
  if (pipe.read_end() < 0) return ErrnoStatus("cannot make a pipe for", command.program);
  ESPALIER_ASSIGN_OR_RETURN(const int log, OpenLog(command));
  const absl::StatusOr<pid_t> pid = Spawn(command, pipe.write_end(), log);
  if (log >= 0) ::close(log);
  if (!pid.ok()) return pid.status();
  pipe.Close(1);
  ChildProcess child(*pid);
  CapturedRun run;
  char buffer[1 << 14];
  while (true) {
    if (!keep_going()) return absl::CancelledError("interrupted");  // the child's destructor kills it
    pollfd waited = {.fd = pipe.read_end(), .events = POLLIN, .revents = 0};
    if (::poll(&waited, 1, 50) <= 0) continue;
    const ssize_t count = ::read(pipe.read_end(), buffer, sizeof(buffer));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    run.output.append(buffer, static_cast<size_t>(count));
  }
  run.status = child.Wait();
  return run;
}

absl::StatusOr<std::string> FindSiblingProgram(const std::string& name, const char* environment_variable) {
  if (const char* chosen = std::getenv(environment_variable); chosen != nullptr && *chosen != '\0') {
    if (::access(chosen, X_OK) == 0) return std::string(chosen);
    return absl::NotFoundError(absl::StrCat(environment_variable, " names '", chosen, "', which is no program"));
  }
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::string path = (self.parent_path() / name).string();
  if (!error && ::access(path.c_str(), X_OK) == 0) return path;
  return absl::NotFoundError(
      absl::StrCat("there is no ", name, " at '", path, "'; build it, or set ", environment_variable));
}

}  // namespace espalier
