#include "worker/session/worker_session.h"

#include <atomic>
#include <deque>
#include <filesystem>
#include <map>

#include "tests/support/catch.h"
#include "tests/support/fake/fake_engine.h"
#include "tests/support/temp_dir.h"

namespace espalier {
namespace {

using testing::FakeEngine;

Ladder TinyLadder() {
  Ladder ladder;
  ladder.units = {{{UnitKind::kAttention, 0}, 2, {0, 1, 2}}, {{UnitKind::kFfn, 0}, 64, {0, 32, 64}}};
  return ladder;
}

Task EvaluateTaskNamed(const std::string& id) {
  Task task;
  task.job_id = "job";
  task.task_id = id;
  task.context.ladder = TinyLadder();
  EvaluateTask evaluate;
  evaluate.mask.levels = {1, 1};
  evaluate.score_windows = 2;
  task.payload = evaluate;
  return task;
}

// A coordinator with a list of tasks: grants, remembers, and can be away for a number of calls.
class FakeCoordinator final : public CoordinatorClient {
 public:
  explicit FakeCoordinator(std::vector<Task> tasks) : queue_(tasks.begin(), tasks.end()), num_tasks_(tasks.size()) {}

  absl::StatusOr<SynchronizeResponse> Synchronize(const SynchronizeRequest& request, absl::Duration limit) override {
    std::lock_guard lock(mutex_);
    if (!request.held.empty() && !first_limit_.has_value()) first_limit_ = limit;
    if (refusal_.has_value()) return *refusal_;
    if (calls_away_ > 0) {
      --calls_away_;
      return absl::UnavailableError("away");
    }
    SynchronizeResponse reply;
    reply.lease_duration = lease_;
    for (const FinishedAttempt& finished : request.finished) {
      reply.verdicts.push_back({.token = finished.token, .decision = Decision::kCommitted, .reason = ""});
      if (std::holds_alternative<TaskOutcome>(finished.result)) committed_.push_back(finished.token.task_id);
      if (std::holds_alternative<HandedBack>(finished.result)) handed_back_.push_back(finished.token.task_id);
    }
    const int free = request.description.slots - static_cast<int>(request.held.size());
    for (int slot = 0; slot < free && !queue_.empty() && !request.draining; ++slot) {
      reply.grants.push_back({.token = {.epoch = 1, .job_id = "job", .task_id = queue_.front().task_id, .attempt = 1},
                              .task = queue_.front()});
      queue_.pop_front();
    }
    reply.next_call = absl::Milliseconds(5);
    if (request.departure == Departure::kLeaves) has_left_ = true;
    if (on_call_) on_call_(request);
    return reply;
  }
  void CancelCall() override {}

  bool all_committed() {
    std::lock_guard lock(mutex_);
    return committed_.size() == num_tasks_;
  }

  std::mutex mutex_;
  std::deque<Task> queue_;
  size_t num_tasks_;
  int calls_away_ = 0;
  absl::Duration lease_ = absl::Seconds(30);
  std::optional<absl::Duration> first_limit_;  // of the first call that carried a running task
  std::optional<absl::Status> refusal_;
  std::vector<std::string> committed_;
  std::vector<std::string> handed_back_;
  bool has_left_ = false;
  std::function<void(const SynchronizeRequest&)> on_call_;
};

WorkerDescription Description(int slots) {
  WorkerDescription description;
  description.slots = slots;
  return description;
}

TEST_CASE("WorkerSession: runs every task it is granted, reports each once, drains and leaves") {
  const int slots = GENERATE(1, 3);
  FakeEngine engine({.num_slots = slots}, nullptr);
  std::vector<Task> tasks;
  for (int i = 0; i < 7; ++i) tasks.push_back(EvaluateTaskNamed("t" + std::to_string(i)));
  FakeCoordinator coordinator(tasks);
  coordinator.calls_away_ = GENERATE(0, 2);  // also when the coordinator is away at first
  const SteadyClock clock;
  WorkerSession session(engine, coordinator, clock, "w", Description(slots), {}, nullptr);
  coordinator.on_call_ = [&](const SynchronizeRequest& request) {
    // Called with the coordinator's lock held, from the session's own call: draining only sets its state.
    if (coordinator.committed_.size() == coordinator.num_tasks_ && !request.draining) session.Drain();
  };
  REQUIRE_OK(session.Run());
  REQUIRE(coordinator.all_committed());
  REQUIRE(engine.num_runs() == 7);
  REQUIRE(coordinator.has_left_);
}

TEST_CASE("WorkerSession: a forced end hands a running task back") {
  FakeEngine engine({.num_slots = 1, .task_time = absl::Seconds(30)}, nullptr);
  FakeCoordinator coordinator({EvaluateTaskNamed("long")});
  const SteadyClock clock;
  WorkerSession session(engine, coordinator, clock, "w", Description(1), {}, nullptr);
  coordinator.on_call_ = [&](const SynchronizeRequest& request) {
    if (!request.held.empty() && !request.draining) session.Force();
  };
  REQUIRE_OK(session.Run());
  REQUIRE(coordinator.handed_back_ == std::vector<std::string>{"long"});
  REQUIRE(coordinator.has_left_);
}

TEST_CASE("WorkerSession: a call never outlasts the fence of a running task, which stops when no answer comes") {
  FakeEngine engine({.num_slots = 1, .task_time = absl::Seconds(60)}, nullptr);
  FakeCoordinator coordinator({EvaluateTaskNamed("long")});
  coordinator.lease_ = absl::Seconds(1);
  const SteadyClock clock;
  WorkerSession session(engine, coordinator, clock, "w", Description(1), {}, nullptr);
  coordinator.on_call_ = [&](const SynchronizeRequest& request) {
    if (!request.held.empty()) coordinator.calls_away_ = 4;  // about as long as the lease, again and again
    if (!coordinator.handed_back_.empty() && !request.draining) session.Drain();
  };
  REQUIRE_OK(session.Run());
  REQUIRE(coordinator.handed_back_ == std::vector<std::string>{"long"});
  REQUIRE(*coordinator.first_limit_ <= absl::Milliseconds(800));
}

TEST_CASE("WorkerSession: a refusal ends it with the coordinator's sentence") {
  FakeEngine engine({}, nullptr);
  FakeCoordinator coordinator({});
  coordinator.refusal_ = absl::FailedPreconditionError("protocol 2 is needed");
  const SteadyClock clock;
  WorkerSession session(engine, coordinator, clock, "w", Description(1), {}, nullptr);
  const absl::Status status = session.Run();
  REQUIRE(absl::IsFailedPrecondition(status));
  REQUIRE(status.message() == "protocol 2 is needed");
}

TEST_CASE("WorkerSession: a task that names a file outside of the roots never reaches the engine") {
  const testing::TempDir folder;
  for (const char* name : {"/allowed/model", "/secret"}) std::filesystem::create_directories(folder.path() + name);
  std::filesystem::create_symlink(folder / "secret", folder / "allowed/escape");
  std::vector<Task> tasks = {EvaluateTaskNamed("inside"), EvaluateTaskNamed("outside"), EvaluateTaskNamed("escape")};
  for (Task& task : tasks) task.context.model_folder = task.context.tokens_path = folder / "allowed/model";
  tasks[1].context.tokens_path = folder / "secret";
  tasks[2].context.evaluation_path = folder / "allowed/escape";
  FakeEngine engine({.num_slots = 1}, nullptr);
  FakeCoordinator coordinator(tasks);
  const SteadyClock clock;
  SessionOptions options;
  const auto roots = PathRoots::Open({folder / "allowed"});
  REQUIRE_OK(roots);
  options.roots = *roots;
  WorkerSession session(engine, coordinator, clock, "w", Description(1), options, nullptr);
  std::map<std::string, absl::Status> failures;
  coordinator.on_call_ = [&](const SynchronizeRequest& request) {
    for (const FinishedAttempt& finished : request.finished) {
      const auto* failure = std::get_if<TaskFailure>(&finished.result);
      if (failure != nullptr) failures[finished.token.task_id] = failure->status;
    }
    if (failures.size() + coordinator.committed_.size() == 3 && !request.draining) session.Drain();
  };
  REQUIRE_OK(session.Run());
  REQUIRE(coordinator.committed_ == std::vector<std::string>{"inside"});
  REQUIRE(engine.num_runs() == 1);
  REQUIRE(failures.at("outside").code() == absl::StatusCode::kPermissionDenied);
  REQUIRE_THAT(std::string(failures.at("outside").message()), Catch::StartsWith("tokens_path:"));
  REQUIRE_THAT(std::string(failures.at("escape").message()), Catch::StartsWith("evaluation_path:"));
}

TEST_CASE("WorkerSession: a draining worker whose coordinator is gone leaves after its farewell time") {
  FakeEngine engine({}, nullptr);
  FakeCoordinator coordinator({});
  coordinator.calls_away_ = 1000000;
  const SteadyClock clock;
  WorkerSession session(engine, coordinator, clock, "w", Description(1), {.farewell = absl::Milliseconds(50)}, nullptr);
  session.Drain();
  REQUIRE_OK(session.Run());
  REQUIRE_FALSE(coordinator.has_left_);
}

}  // namespace
}  // namespace espalier
