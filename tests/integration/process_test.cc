// The real coordinator program, killed with SIGKILL while workers work.
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "common/base/random.h"
#include "tests/integration/remote.h"
#include "tests/support/temp_dir.h"

namespace espalier::testing {
namespace {

class CoordinatorProcess {
 public:
  CoordinatorProcess(std::string state, std::vector<std::string> flags) : state_(std::move(state)) {
    flags.insert(flags.begin(), {BuildPath("bin/espalier-coordinator"), "--state", state_, "--ready-file",
                                 state_ + "/ready", "--log-level", "off"});
    arguments_ = std::move(flags);
  }
  ~CoordinatorProcess() {
    if (pid_ > 0) End(SIGKILL);
  }

  void Start() {
    ::unlink((state_ + "/ready").c_str());
    pid_ = Spawn();
    for (int i = 0; i < 1000 && !std::ifstream(state_ + "/ready"); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    REQUIRE(std::ifstream(state_ + "/ready"));
  }
  // The exit code, or minus the signal.
  int End(int signal) {
    ::kill(pid_, signal);
    return Wait();
  }
  int Wait() {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  // Runs a second one with the same flags to its end.
  int RunSecond() {
    const pid_t running = pid_;
    pid_ = Spawn();
    const int code = Wait();
    pid_ = running;
    return code;
  }
  std::string address() const { return "unix:" + state_ + "/coordinator.sock"; }

 private:
  // Not fork: this process has threads of gRPC.
  pid_t Spawn() {
    std::vector<char*> arguments;
    for (std::string& argument : arguments_) arguments.push_back(argument.data());
    arguments.push_back(nullptr);
    pid_t pid = -1;
    REQUIRE(::posix_spawn(&pid, arguments[0], nullptr, nullptr, arguments.data(), environ) == 0);
    return pid;
  }

  std::string state_;
  std::vector<std::string> arguments_;
  pid_t pid_ = -1;
};

v1::Job RunJob(int num_workers, int num_kills, uint64_t seed) {
  const TempDir folder;
  CoordinatorProcess coordinator(folder.path(), {"--lease-seconds", "2"});
  coordinator.Start();
  const Client client(coordinator.address(), "");
  v1::CreateJobRequest request;
  *request.mutable_spec() = ShortSpec();
  request.set_job_id("a");
  v1::Job job;
  REQUIRE(client.Create(request, &job).ok());
  std::vector<std::unique_ptr<RemoteWorker>> workers;
  for (int i = 0; i < num_workers; ++i) {
    workers.push_back(std::make_unique<RemoteWorker>(coordinator.address(), absl::StrCat("w", i), InputsOf(job)));
  }
  KeyedRandom random(seed, "kills", {});
  for (int i = 0; i < num_kills; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20 + random.Below(200)));
    CHECK(coordinator.End(SIGKILL) == -SIGKILL);
    coordinator.Start();
  }
  for (int i = 0; i < 1000; ++i) {
    const Client fresh(coordinator.address(), "");
    if (fresh.Get("jobs/a", &job).ok() && job.state() >= v1::Job::SUCCEEDED) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  INFO(job.failure());
  REQUIRE(job.state() == v1::Job::SUCCEEDED);
  workers.clear();
  CHECK(coordinator.End(SIGTERM) == 0);
  return job;
}

TEST_CASE("Coordinator process: killed at any time, with any number of workers, it finds the same masks", "[integration]") {
  const v1::Job undisturbed = RunJob(1, 0, 0);
  const v1::Job disturbed = RunJob(3, 5, 11);
  CHECK(disturbed.result().mask_digest() == undisturbed.result().mask_digest());
  CHECK(disturbed.result().fitness() == undisturbed.result().fitness());
  CHECK(disturbed.result().trained_tokens() == undisturbed.result().trained_tokens());
  REQUIRE(disturbed.generations_size() == undisturbed.generations_size());
  for (int i = 0; i < undisturbed.generations_size(); ++i) {
    CHECK(disturbed.generations(i).parent_mask_digest() == undisturbed.generations(i).parent_mask_digest());
  }
}

TEST_CASE("Coordinator process: exit codes say what is wrong at the start", "[integration]") {
  const TempDir folder;
  CoordinatorProcess first(folder.path(), {});
  first.Start();
  CHECK(first.RunSecond() == 4);  // the same state
  CHECK(first.End(SIGTERM) == 0);

  const TempDir other;
  CoordinatorProcess exposed(other.path(), {"--listen", "0.0.0.0:0"});
  CHECK(exposed.RunSecond() == 3);
  CoordinatorProcess wrong(other.path(), {"--no-such-flag"});
  CHECK(wrong.RunSecond() == 2);
  std::ofstream(other / "coordinator.sqlite") << std::string(8192, 'x');
  CoordinatorProcess foreign(other.path(), {});
  CHECK(foreign.RunSecond() == 4);
}

}  // namespace
}  // namespace espalier::testing
