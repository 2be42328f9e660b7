#include "coordinator/schedule/matcher.h"

#include "tests/support/catch.h"
#include "tests/unit/schedule/scene.h"

namespace espalier::testing {
namespace {

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

EvaluateTask Training(const std::string& mask, int64_t end) {
  EvaluateTask task;
  task.mask_digest = mask;
  task.stream.end = end;
  return task;
}

TEST_CASE("Match: of a stage's tasks a worker gets those first whose masks it has trained", "[schedule]") {
  Scene scene;
  scene.AddWorker("w1", 2).NoteTrained("three");
  WorkerEntry& second = scene.AddWorker("w2", 2);
  second.NoteTrained("one");
  second.NoteTrained("late");
  scene.Add("job", "one", Training("one", 100));
  scene.Add("job", "two", Training("two", 100));
  scene.Add("job", "three", Training("three", 100));
  scene.Add("job", "late", Training("late", 200));  // of another stage: its turn comes when it is its turn
  CHECK(scene.Pairs(scene.Run(kNow)) == std::vector<std::string>{"three:w1", "one:w2", "two:w1", "late:w2"});
}

TEST_CASE("Match: masks that were trained do not hold a worker back, and only the last ones are remembered", "[schedule]") {
  Scene scene;
  WorkerEntry& worker = scene.AddWorker("w1", 2);
  worker.NoteTrained("gone");
  for (int i = 0; i < 20; ++i) worker.NoteTrained(absl::StrCat("mask ", i));
  CHECK_FALSE(worker.HasTrained("gone"));
  CHECK(worker.HasTrained("mask 0"));
  scene.Add("job", "a", Training("new", 100));
  scene.Add("job", "b", Training("gone", 100));
  CHECK(scene.Pairs(scene.Run(kNow)) == std::vector<std::string>{"a:w1", "b:w1"});
}

TEST_CASE("Match: the worker with the fewest leases gets the next task", "[schedule]") {
  Scene scene;
  scene.AddWorker("w1", 3).num_leases = 2;
  scene.AddWorker("w2", 3).num_leases = 1;
  scene.AddWorker("w3", 3).num_leases = 0;
  for (const char* id : {"a", "b", "c", "d", "e"}) scene.Add("job", id, EvaluateTask{});
  CHECK(scene.Pairs(scene.Run(kNow)) == std::vector<std::string>{"a:w3", "b:w2", "c:w3", "d:w1", "e:w2"});
}

TEST_CASE("Match: a task goes to the worker that retains its state", "[schedule]") {
  const StateKey state{"job", "mask", "stream", 100};
  Scene scene;
  scene.AddWorker("w1", 1);
  WorkerEntry& holder = scene.AddWorker("w2", 1);
  scene.workers.SetStates(holder, {{state, 1000, StateLocation::kHost}});
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
  scene.workers.SetStates(holder, {{one, 1, StateLocation::kHost}, {two, 1, StateLocation::kHost}});
  scene.Add("job", "one", Resuming(one));
  scene.Add("job", "two", Resuming(two));
  CHECK(scene.Pairs(scene.Run(kNow)) == std::vector<std::string>{"two:w1"});
  CHECK(scene.Run(kNow + absl::Minutes(1)).assignments.size() == 2);
}

TEST_CASE("Match: a failed task goes to another worker while there is one", "[schedule]") {
  Scene scene;
  scene.AddWorker("w1", 1);
  scene.Add("job", "a", EvaluateTask{});
  scene.attempts["job"].NoteFailed("a", "w1", "broken");
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
  scene.Add("job", "a", EvaluateTask{});
  Requirements& needs = scene.Job("job").requirements;
  CHECK(scene.Run(kNow).waiting["job"] == "there are no workers");
  scene.AddWorker("w1", 0).description.memory_bytes = 24'000'000'000;
  CHECK(scene.Run(kNow).waiting["job"] == "all workers that fit are busy");
  needs.numerics_class = "class B";
  CHECK_THAT(scene.Run(kNow).waiting["job"], Catch::Contains("waiting for a worker") && Catch::Contains("class B"));
  needs.device_memory = 40'000'000'000;
  CHECK_THAT(scene.Run(kNow).waiting["job"],
             Catch::Contains("waiting for a worker with at least 40.0 GB") && Catch::Contains("24.0 GB"));
  needs.device = DeviceKind::kCuda;
  CHECK_THAT(scene.Run(kNow).waiting["job"], Catch::Contains("waiting for a worker with a CUDA device"));
  CHECK(scene.Run(kNow + absl::Hours(1)).waiting["job"] == "there are no workers");  // silent for too long
}

TEST_CASE("Match: tasks go only to workers with the memory that the job needs", "[schedule]") {
  Scene scene;
  scene.AddWorker("w1", 1).description.memory_bytes = 24'000'000'000;
  scene.AddWorker("w2", 1).description.memory_bytes = 80'000'000'000;
  scene.AddMany("job", 3);
  scene.Job("job").requirements.device_memory = 40'000'000'000;
  CHECK(scene.Pairs(scene.Run(kNow)) == std::vector<std::string>{"job0:w2"});
  scene.AddWorker("w3", 1);  // does not say
  CHECK(scene.Pairs(scene.Run(kNow)) == std::vector<std::string>{"job0:w2", "job1:w3"});
}

TEST_CASE("Match: jobs of higher priority go first, also before states that others retain", "[schedule]") {
  const StateKey state{"old", "mask", "stream", 100};
  Scene scene;
  scene.workers.SetStates(scene.AddWorker("w1", 1), {{state, 1000, StateLocation::kHost}});
  scene.Add("old", "resumed", Resuming(state));
  scene.Add("urgent", "a", EvaluateTask{});
  CHECK(scene.Pairs(scene.Run(kNow)) == std::vector<std::string>{"resumed:w1"});
  scene.Job("urgent").priority = 1;
  CHECK(scene.Pairs(scene.Run(kNow)) == std::vector<std::string>{"a:w1"});
}

TEST_CASE("Match: jobs of one priority share the workers by weight and by what they had", "[schedule]") {
  Scene scene;
  for (int i = 0; i < 12; ++i) scene.AddWorker(absl::StrCat("w", i), 1);
  scene.AddMany("one", 20);
  scene.AddMany("two", 20);
  CHECK(scene.Counts(scene.Run(kNow)) == std::map<std::string, int>{{"one", 6}, {"two", 6}});
  scene.Job("two").weight = 3;
  CHECK(scene.Counts(scene.Run(kNow)) == std::map<std::string, int>{{"one", 3}, {"two", 9}});
  scene.Job("two").task_seconds = 3;  // its tasks are longer, so it gets fewer of them
  CHECK(scene.Counts(scene.Run(kNow)) == std::map<std::string, int>{{"one", 6}, {"two", 6}});
  scene.Job("one").served = 100;
  CHECK(scene.Counts(scene.Run(kNow)) == std::map<std::string, int>{{"two", 12}});
}

TEST_CASE("Match: a job has at most so many workers, all slots of which it may use", "[schedule]") {
  Scene scene;
  for (const char* id : {"w1", "w2", "w3"}) scene.AddWorker(id, 2);
  scene.AddMany("job", 9);
  scene.Job("job").max_workers = 2;
  CHECK(scene.Pairs(scene.Run(kNow)) == std::vector<std::string>{"job0:w1", "job1:w2", "job2:w1", "job3:w2"});
  scene.Job("job").workers = {"w3", "elsewhere"};
  CHECK(scene.Pairs(scene.Run(kNow)) == std::vector<std::string>{"job0:w3", "job1:w3"});
}

TEST_CASE("Match: nobody waits for a worker in quarantine", "[schedule]") {
  Scene scene;
  scene.AddWorker("w1", 1);
  scene.AddWorker("w2", 0).is_quarantined = true;
  scene.Add("job", "a", EvaluateTask{});
  scene.attempts["job"].NoteFailed("a", "w1", "broken");
  CHECK(scene.Pairs(scene.Run(kNow)) == std::vector<std::string>{"a:w1"});
}

}  // namespace
}  // namespace espalier::testing
