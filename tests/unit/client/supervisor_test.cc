#include "client/process/supervisor.h"

#include <signal.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "absl/strings/match.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace espalier {
namespace {

SupervisedProgram Shell(const std::string& name, const std::string& script, const std::string& log = "") {
  return {.name = name, .command = [script, log](int) {
            return ChildCommand{.program = "/bin/sh", .arguments = {"-c", script}, .environment = {}, .log_path = log};
          }};
}

bool WaitUntil(const std::function<bool()>& condition) {
  for (int i = 0; i < 500; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

// A zombie that nobody has reaped yet does not run any more.
bool Exists(pid_t pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string number, name, state;
  stat >> number >> name >> state;
  return !state.empty() && state != "Z";
}

pid_t ReadPid(const std::string& path) {
  pid_t pid = 0;
  std::ifstream(path) >> pid;
  return pid;
}

TEST_CASE("ChildProcess: a program that is not there is an error with its path") {
  const auto child =
      ChildProcess::Start({.program = "/no/such/program", .arguments = {}, .environment = {}, .log_path = ""});
  REQUIRE(absl::IsNotFound(child.status()));
  REQUIRE(absl::StrContains(child.status().message(), "/no/such/program"));
}

TEST_CASE("RunAndCapture: output, exit code, and an interruption") {
  const auto run = RunAndCapture(
      {.program = "/bin/sh", .arguments = {"-c", "echo hello; exit 3"}, .environment = {}, .log_path = ""},
      [] { return true; });
  REQUIRE_OK(run);
  REQUIRE(run->output == "hello\n");
  REQUIRE(run->status.code == 3);
  const auto interrupted = RunAndCapture(
      {.program = "/bin/sleep", .arguments = {"60"}, .environment = {}, .log_path = ""}, [] { return false; });
  REQUIRE(absl::IsCancelled(interrupted.status()));
}

TEST_CASE("Supervisor: a child that dies is started again and its death is told") {
  testing::TempDir folder;
  std::atomic<int> deaths = 0;
  Supervisor supervisor({Shell("worker", "echo x >> " + folder / "starts; kill -9 $$")}, {.max_quick_deaths = 3},
                        [&](const std::string&, int, const ExitStatus& status) { deaths += status.signal == 9; });
  REQUIRE(WaitUntil([&] { return !supervisor.status().ok(); }));  // given up after three quick deaths
  REQUIRE(deaths == 3);
  REQUIRE(absl::StrContains(supervisor.status().message(), "worker"));
}

TEST_CASE("Supervisor: a refusal is not tried again, and its last line is the reason") {
  testing::TempDir folder;
  std::atomic<int> deaths = 0;
  SupervisedProgram program = Shell("coordinator", "echo 'error: the port is in use' >&2; exit 3", folder / "log");
  program.permanent = {{3, absl::StatusCode::kFailedPrecondition}};
  Supervisor supervisor({program}, {}, [&](const std::string&, int, const ExitStatus&) { ++deaths; });
  REQUIRE(WaitUntil([&] { return !supervisor.status().ok(); }));
  REQUIRE(absl::IsFailedPrecondition(supervisor.status()));
  REQUIRE(absl::StrContains(supervisor.status().message(), "the port is in use"));
  REQUIRE(deaths == 1);
}

TEST_CASE("Supervisor: stopping ends the children, also those that ignore SIGTERM, with what they started") {
  testing::TempDir folder;
  const std::string script =
      "trap '' TERM; sleep 60 & echo $! > " + folder / "grandchild; echo $$ > " + folder / "child; wait; sleep 60";
  Supervisor supervisor({Shell("stubborn", script)}, {}, [](const std::string&, int, const ExitStatus&) {});
  REQUIRE(WaitUntil([&] { return ReadPid(folder / "child") > 0; }));
  const pid_t child = ReadPid(folder / "child"), grandchild = ReadPid(folder / "grandchild");
  supervisor.Stop(absl::Milliseconds(200));
  REQUIRE_FALSE(Exists(child));
  REQUIRE(WaitUntil([&] { return !Exists(grandchild); }));
}

}  // namespace
}  // namespace espalier
