#include "coordinator/schedule/matcher.h"

#include <deque>

#include "absl/strings/str_cat.h"
#include "tests/support/catch.h"

namespace espalier::testing {
namespace {

const absl::Time kNow = absl::UnixEpoch() + absl::Hours(1);

class Scene {
 public:
  WorkerEntry& AddWorker(const std::string& id, int num_free) {
    WorkerEntry& worker = entries_.emplace_back();
    worker.worker_id = id;
    worker.description.numerics_class = "class A";
    slots_.push_back({&worker, num_free});
    return worker;
  }
  QueuedTask& Add(const std::string& job, const std::string& id, decltype(Task::payload) payload) {
    Task& task = tasks_.emplace_back();
    task.job_id = job;
    task.task_id = id;
    task.payload = std::move(payload);
    QueuedTask& queued = queue_.emplace_back();
    queued.task = &task;
    queued.wanted_since = kNow;
    return queued;
  }
  MatchResult Run(absl::Time now) { return Match(now, queue_, slots_, options_); }
  // "task:worker" in the order of giving.
  std::vector<std::string> Pairs(const MatchResult& result) {
    std::vector<std::string> pairs;
    for (const Assignment& given : result.assignments) {
      pairs.push_back(absl::StrCat(queue_[given.task].task->task_id, ":", given.worker_id));
    }
    return pairs;
  }

 private:
  std::deque<WorkerEntry> entries_;
  std::deque<Task> tasks_;
  std::vector<WorkerSlots> slots_;
  std::vector<QueuedTask> queue_;
  MatcherOptions options_;
};

EvaluateTask Resuming(const StateKey& state) {
  EvaluateTask task;
  task.resume = state;
  return task;
}

TEST_CASE("Match: the queue's order holds, one task a worker in turn", "[schedule]") {
  Scene scene;
  scene.AddWorker("w1", 2);
  scene.AddWorker("w2", 1);
  for (const char* id : {"a", "b", "c", "d"}) scene.Add("job", id, EvaluateTask{});
  CHECK(scene.Pairs(scene.Run(kNow)) == std::vector<std::string>{"a:w1", "b:w2", "c:w1"});
}

TEST_CASE("Match: a task goes to the worker that retains its state", "[schedule]") {
  const StateKey state{"job", "mask", "stream", 100};
  Scene scene;
  scene.AddWorker("w1", 1);
  WorkerEntry& holder = scene.AddWorker("w2", 1);
  holder.states.push_back({state, 1000, StateLocation::kHost});
  scene.Add("job", "fresh", EvaluateTask{});
  scene.Add("job", "resumed", Resuming(state));
  CHECK(scene.Pairs(scene.Run(kNow)) == std::vector<std::string>{"resumed:w2", "fresh:w1"});
}

TEST_CASE("Match: the first task waits for its busy holder, but not for ever, and the others do not", "[schedule]") {
  const StateKey one{"job", "one", "stream", 100};
  const StateKey two{"job", "two", "stream", 100};
  Scene scene;
  scene.AddWorker("w1", 2);
  WorkerEntry& holder = scene.AddWorker("w2", 0);
  holder.states = {{one, 1, StateLocation::kHost}, {two, 1, StateLocation::kHost}};
  scene.Add("job", "one", Resuming(one));
  scene.Add("job", "two", Resuming(two));
  CHECK(scene.Pairs(scene.Run(kNow)) == std::vector<std::string>{"two:w1"});
  CHECK(scene.Run(kNow + absl::Minutes(1)).assignments.size() == 2);
}

TEST_CASE("Match: a failed task goes to another worker while there is one", "[schedule]") {
  Scene scene;
  scene.AddWorker("w1", 1);
  scene.Add("job", "a", EvaluateTask{}).failed_workers = {"w1"};
  SECTION("it is alone") { CHECK(scene.Pairs(scene.Run(kNow)) == std::vector<std::string>{"a:w1"}); }
  SECTION("another one is busy: the task waits for it") {
    scene.AddWorker("w2", 0);
    CHECK(scene.Run(kNow).assignments.empty());
  }
  SECTION("another one is free") {
    scene.AddWorker("w2", 1);
    CHECK(scene.Pairs(scene.Run(kNow)) == std::vector<std::string>{"a:w2"});
  }
}

TEST_CASE("Match: a job gets one numerics class, also within one call", "[schedule]") {
  Scene scene;
  scene.AddWorker("w1", 1);
  scene.AddWorker("w2", 1).description.numerics_class = "class B";
  scene.Add("job", "a", EvaluateTask{});
  scene.Add("job", "b", EvaluateTask{});
  CHECK(scene.Pairs(scene.Run(kNow)) == std::vector<std::string>{"a:w1"});
}

TEST_CASE("Match: bank layers go in ascending runs, one a worker", "[schedule]") {
  Scene scene;
  for (int layer = 0; layer < 12; ++layer) scene.Add("job", absl::StrCat("bank/", layer), BankLayerTask{layer, {}, 1});
  WorkerEntry& first = scene.AddWorker("w1", 1);
  WorkerEntry& second = scene.AddWorker("w2", 1);
  const MatchResult begin = scene.Run(kNow);
  // The second one begins in the middle of what the first one will come to.
  CHECK(scene.Pairs(begin) == std::vector<std::string>{"bank/0:w1", "bank/6:w2"});
  first.last_layer["job/bank_layer"] = 3;
  second.last_layer["job/bank_layer"] = 7;
  CHECK(scene.Pairs(scene.Run(kNow)) == std::vector<std::string>{"bank/3:w1", "bank/7:w2"});
}

TEST_CASE("Match: it says why a job has to wait", "[schedule]") {
  Scene scene;
  QueuedTask& task = scene.Add("job", "a", EvaluateTask{});
  CHECK(scene.Run(kNow).waiting["job"] == "there are no workers");
  scene.AddWorker("w1", 0);
  CHECK(scene.Run(kNow).waiting["job"] == "all workers that fit are busy");
  task.numerics_class = "class B";
  CHECK_THAT(scene.Run(kNow).waiting["job"], Catch::Contains("class B"));
  task.device = DeviceKind::kCuda;
  CHECK(scene.Run(kNow).waiting["job"] == "no worker has a CUDA device");
}

}  // namespace
}  // namespace espalier::testing
