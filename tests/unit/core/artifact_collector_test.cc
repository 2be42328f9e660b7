// Which artifacts go when jobs are deleted, and which never do. Time is driven, the artifacts' clock too.
#include "coordinator/core/artifact_collector.h"

#include "common/artifacts/artifact_names.h"
#include "common/base/sha256.h"
#include "tests/support/fake/memory_artifact_store.h"
#include "tests/unit/core/fleet.h"

namespace espalier::testing {
namespace {

constexpr absl::Duration kGrace = absl::Minutes(15);
constexpr absl::Duration kStrayAge = absl::Hours(24);

// A service whose artifacts are in memory, with a collector beside it.
struct World {
  World() {
    service.artifacts = std::make_unique<MemoryArtifactStore>();
    service.options.collects_artifacts = true;
    Restart();
  }
  void Restart() { Restart(std::make_unique<MemoryJobStore>(service.content)); }
  void Restart(std::unique_ptr<MemoryJobStore> store) {
    service.Restart(std::move(store));
    collector = std::make_unique<ArtifactCollector>(service.core.get(), service.artifacts.get(), "store-1",
                                                    CollectorOptions{kGrace, kStrayAge});
    Collect();  // from now on it knows what was there before
  }
  MemoryArtifactStore& artifacts() { return static_cast<MemoryArtifactStore&>(*service.artifacts); }
  void Pass(absl::Duration duration) {
    service.Pass(duration);
    artifacts().now += duration;
  }
  CollectorReport Collect() {
    const auto report = collector->Run(service.now);
    REQUIRE_OK(report);
    return *report;
  }
  // FakeEvaluator names artifacts that nobody wrote.
  void PutLayers() {
    for (int layer = 0; layer < 3; ++layer) REQUIRE_OK(artifacts().Put(absl::StrCat("layer ", layer)));
  }
  std::string RunJob(const NewJob& job) {
    const std::string id = service.Create(job).job_id;
    std::vector<FakeWorker> workers = {{"w1", CpuWorker(1)}};
    RunToEnd(service, id, workers, Evaluator());
    REQUIRE(service.Get(id).state == JobState::kSucceeded);
    return id;
  }
  // Its three layers and its result; the grace period begins now.
  void LeaveBankOfDeletedJob() {
    PutLayers();
    RunJob(SmallJob("a", 1));
    Collect();
    REQUIRE_OK(service.core->DeleteJob(service.now, "a"));
    Collect();
  }
  bool Has(const std::string& digest) { return artifacts().contents.contains(digest); }

  Service service{absl::Seconds(60)};
  std::unique_ptr<ArtifactCollector> collector;
};

TEST_CASE("Collector: a deleted job's artifacts go when the grace period is over, not before", "[core]") {
  World world;
  world.PutLayers();
  world.RunJob(SmallJob("a", 1));
  const std::string result = world.service.Get("a").result_artifact;
  world.Pass(absl::Hours(100));  // however old: the job refers to them
  CHECK(world.Collect().num_removed == 0);
  CHECK(world.artifacts().contents.size() == 4);

  REQUIRE_OK(world.service.core->DeleteJob(world.service.now, "a"));
  CHECK(world.Collect().num_removed == 0);
  world.Pass(kGrace - absl::Seconds(1));
  CHECK(world.Collect().num_removed == 0);
  CHECK(world.Has(result));
  world.Pass(absl::Seconds(2));
  const CollectorReport report = world.Collect();
  CHECK(report.num_removed == 4);
  CHECK(report.removed_bytes > 21);
  CHECK(report.num_left == 0);
  CHECK(world.artifacts().contents.empty());
}

TEST_CASE("Collector: what another job refers to stays, also when its state is final", "[core]") {
  World world;
  world.PutLayers();
  world.RunJob(SmallJob("a", 1));
  NewJob second = SmallJob("b", 1);
  second.resolved.seed = 8;
  world.RunJob(second);  // takes the layers over
  const std::string kept = world.service.Get("b").result_artifact, gone = world.service.Get("a").result_artifact;
  REQUIRE(kept != gone);
  world.Collect();
  REQUIRE_OK(world.service.core->DeleteJob(world.service.now, "a"));
  world.Collect();
  world.Pass(2 * kStrayAge);
  world.Collect();
  CHECK_FALSE(world.Has(gone));
  CHECK(world.Has(kept));
  for (int layer = 0; layer < 3; ++layer) CHECK(world.Has(Sha256Hex(absl::StrCat("layer ", layer))));
  // And after a restart, when nothing of the finished job has been looked at.
  world.Restart();
  world.Pass(2 * kStrayAge);
  CHECK(world.Collect().num_removed == 0);
  CHECK(world.Has(kept));
}

TEST_CASE("Collector: the work of a running task is not touched before it can be committed", "[core]") {
  World world;
  world.service.Create(SmallJob("a", 1));
  FakeWorker worker("w1", CpuWorker(1));
  worker.Call(world.service);
  REQUIRE(worker.held.size() == 1);
  world.PutLayers();  // written, and not reported yet
  world.Pass(kStrayAge - absl::Minutes(1));
  CHECK(world.Collect().num_removed == 0);
  world.Pass(absl::Minutes(2));
  CHECK(world.Collect().num_removed == 3);  // nobody came for a day
}

TEST_CASE("Collector: a report that names what was collected makes the task be done again", "[core]") {
  World world;
  world.service.Create(SmallJob("a", 1));
  FakeWorker worker("w1", CpuWorker(1));
  worker.Call(world.service);
  world.PutLayers();
  worker.Work(Evaluator());  // finished, and cut off from the coordinator for a day
  world.Pass(kStrayAge + absl::Minutes(1));
  REQUIRE(world.Collect().num_removed == 3);
  worker.Call(world.service);
  CHECK(worker.LastDecision() != Decision::kCommitted);
  CHECK(world.service.content->events.empty());
  world.PutLayers();
  std::vector<FakeWorker> workers = {worker};
  RunToEnd(world.service, "a", workers, Evaluator());
  CHECK(world.service.Get("a").state == JobState::kSucceeded);
}

TEST_CASE("Collector: while an artifact is being removed an outcome that names it waits", "[core]") {
  World world;
  world.service.Create(SmallJob("a", 1));
  FakeWorker worker("w1", CpuWorker(1));
  worker.Call(world.service);
  world.PutLayers();
  worker.Work(Evaluator());
  world.Pass(kStrayAge + absl::Minutes(1));
  int num_answers = 0;
  world.artifacts().before_removal = [&](const std::string& /*digest*/) {
    worker.Call(world.service);  // the report comes now, in the middle
    num_answers += static_cast<int>(worker.verdicts.size());
    world.PutLayers();           // and the worker has put the content again
  };
  CHECK(world.Collect().num_removed == 0);
  CHECK(num_answers == 0);
  world.artifacts().before_removal = nullptr;
  worker.Call(world.service);
  CHECK(worker.LastDecision() == Decision::kCommitted);
}

// Takes `num_left` more notes of layers that go, and is busy then.
struct BusyStore : MemoryJobStore {
  using MemoryJobStore::MemoryJobStore;
  absl::Status LoseBankLayers(const std::string& artifact) override {
    if (num_left-- <= 0) return absl::UnavailableError("the store is busy");
    return MemoryJobStore::LoseBankLayers(artifact);
  }
  int num_left = 0;
};

TEST_CASE("Collector: a store that is busy in the middle leaves everything, and no outcome waits for it", "[core]") {
  World world;
  auto made = std::make_unique<BusyStore>(world.service.content);
  BusyStore& store = *made;
  world.Restart(std::move(made));
  world.service.Create(SmallJob("a", 1));
  FakeWorker worker("w1", CpuWorker(1));
  worker.Call(world.service);
  world.PutLayers();
  worker.Work(Evaluator());
  world.Pass(kStrayAge + absl::Minutes(1));
  store.num_left = 2;
  CHECK(absl::IsUnavailable(world.collector->Run(world.service.now).status()));
  CHECK(world.artifacts().contents.size() == 3);
  worker.Call(world.service);
  CHECK(worker.LastDecision() == Decision::kCommitted);
}

TEST_CASE("Collector: a job that comes while its bank is being collected builds the bank again", "[core]") {
  World world;
  world.LeaveBankOfDeletedJob();
  world.Pass(kGrace + absl::Seconds(1));
  NewJob next = SmallJob("b", 1);
  next.resolved.seed = 8;
  bool is_created = false;
  world.artifacts().before_removal = [&](const std::string& /*digest*/) {
    if (!std::exchange(is_created, true)) world.service.Create(next);
  };
  CHECK(world.Collect().num_removed == 4);
  REQUIRE(is_created);
  CHECK(world.service.Get("b").progress.step == "bank");
  CHECK(world.service.content->events.empty());  // no layer was taken over from the manifest
}

TEST_CASE("Collector: a job that reuses the bank within the grace period keeps it", "[core]") {
  World world;
  world.LeaveBankOfDeletedJob();
  world.Pass(kGrace - absl::Seconds(1));
  NewJob next = SmallJob("b", 1);
  next.resolved.seed = 8;
  world.service.Create(next);
  CHECK(world.service.Get("b").progress.step != "bank");
  world.Pass(absl::Minutes(1));
  CHECK(world.Collect().num_removed == 1);  // the other job's result
  for (int layer = 0; layer < 3; ++layer) CHECK(world.Has(Sha256Hex(absl::StrCat("layer ", layer))));
}

TEST_CASE("Collector: uploads that a job names stay, those that nobody used go after a day", "[core]") {
  World world;
  const std::string used = world.artifacts().Put("tokens").value(), unused = world.artifacts().Put("others").value();
  NewJob job = SmallJob("a", 1);
  job.resolved.tokens_path = absl::StrCat("/shared/artifacts/sha256/", used.substr(0, 2), "/", used);
  world.service.Create(job);
  world.Pass(kStrayAge - absl::Minutes(1));
  CHECK(world.Collect().num_removed == 0);
  world.Pass(absl::Minutes(2));
  CHECK(world.Collect().num_removed == 1);
  CHECK(world.Has(used));
  CHECK_FALSE(world.Has(unused));
}

TEST_CASE("Collector: a recovery's checkpoint lives as long as its job", "[core]") {
  World world;
  world.service.Create(SmallJob("a", 1));
  const std::string checkpoint = world.artifacts().Put("weights and moments").value();
  const std::string name = absl::StrCat(RecoveryNamePrefix("a"), "mask");
  REQUIRE_OK(world.artifacts().SetName(name, checkpoint));
  world.Pass(3 * kStrayAge);  // paused for days
  CHECK(world.Collect().num_removed == 0);
  REQUIRE_OK(world.service.core->CancelJob(world.service.now, "a"));
  REQUIRE_OK(world.service.core->DeleteJob(world.service.now, "a"));
  world.Collect();
  CHECK_FALSE(world.artifacts().names.contains(name));
  world.Pass(kGrace + absl::Seconds(1));
  CHECK(world.Collect().num_removed == 1);
  CHECK_FALSE(world.Has(checkpoint));
}

TEST_CASE("Collector: nothing goes while another database's coordinator uses the artifacts", "[core]") {
  World world;
  world.artifacts().Put("another's").value();
  REQUIRE_OK(world.artifacts().SetName("coordinators/store-2", ""));
  REQUIRE_OK(world.artifacts().RemoveName("coordinators/store-1"));
  world.Pass(2 * kStrayAge);
  const CollectorReport report = world.Collect();
  CHECK(report.num_removed == 0);
  CHECK_THAT(report.reason, Catch::Contains("coordinators/store-2"));
  CHECK(world.artifacts().names.contains("coordinators/store-1"));  // so that the other one knows, too
  REQUIRE_OK(world.artifacts().RemoveName("coordinators/store-2"));
  CHECK(world.Collect().num_removed == 1);
}

TEST_CASE("Collector: a job that is deleted before any round saw it waits no longer than another", "[core]") {
  World world;
  world.PutLayers();
  world.RunJob(SmallJob("a", 1));
  REQUIRE_OK(world.service.core->DeleteJob(world.service.now, "a"));  // no round since it was created
  CHECK(world.Collect().num_removed == 0);
  world.Pass(kGrace + absl::Seconds(1));
  CHECK(world.Collect().num_removed == 4);
}

TEST_CASE("Collector: after a restart a late report keeps what it names, or the task is done again", "[core]") {
  World world;
  world.service.Create(SmallJob("a", 1));
  FakeWorker worker("w1", CpuWorker(1));
  worker.Call(world.service);
  const bool is_there = GENERATE(true, false);
  world.PutLayers();
  if (!is_there) {
    for (int layer = 0; layer < 3; ++layer) REQUIRE_OK(world.artifacts().Remove(Sha256Hex(absl::StrCat("layer ", layer))));
  }
  worker.Work(Evaluator());
  world.Pass(kStrayAge - absl::Minutes(1));
  world.Restart();  // this one does not know what the former one has taken away
  worker.Call(world.service);
  CHECK((worker.LastDecision() == Decision::kCommitted) == is_there);
  if (is_there) {
    world.Pass(absl::Minutes(30));
    world.Collect();
    world.Pass(kStrayAge);
    world.Collect();
    CHECK(world.Has(Sha256Hex("layer 0")));
  }
}

TEST_CASE("Collector: a former leader that wakes while it collects leaves what was put or kept since", "[core]") {
  World world;
  const std::string put = world.artifacts().Put("put again").value(), kept = world.artifacts().Put("kept").value();
  const std::string stray = world.artifacts().Put("stray").value();
  world.Pass(2 * kStrayAge);
  bool has_slept = false;
  world.artifacts().before_removal = [&](const std::string& /*digest*/) {
    if (std::exchange(has_slept, true)) return;
    world.artifacts().now += absl::Seconds(1);
    REQUIRE_OK(world.artifacts().Put("put again"));  // by a worker, whose report another coordinator commits
    REQUIRE_OK(world.artifacts().Keep(kept));
    world.artifacts().now += 3 * kStrayAge;
  };
  CHECK(world.Collect().num_removed == 1);
  CHECK(world.Has(put));
  CHECK(world.Has(kept));
  CHECK_FALSE(world.Has(stray));
}

TEST_CASE("Collector: a job is refused whose upload is being taken away", "[core]") {
  World world;
  const std::string upload = world.artifacts().Put("tokens").value();
  NewJob job = SmallJob("a", 1);
  job.resolved.tokens_path = absl::StrCat("/shared/artifacts/sha256/", upload.substr(0, 2), "/", upload);
  world.Pass(2 * kStrayAge);
  world.artifacts().before_removal = [&](const std::string& /*digest*/) {
    CHECK(absl::IsUnavailable(world.service.core->CreateJob(world.service.now, job).status()));
  };
  CHECK(world.Collect().num_removed == 1);
  CHECK(absl::IsDataLoss(world.service.core->CreateJob(world.service.now, job).status()));
  REQUIRE_OK(world.artifacts().Put("tokens"));
  REQUIRE_OK(world.service.core->CreateJob(world.service.now, job));
}

TEST_CASE("Collector: a coordinator that leads no longer removes nothing", "[core]") {
  World world;
  const std::string stray = world.artifacts().Put("stray").value();
  world.Pass(2 * kStrayAge);
  MemoryJobStore successor(world.service.content);  // a newer epoch
  CHECK(absl::IsAborted(world.collector->Run(world.service.now).status()));
  CHECK(world.Has(stray));
  CHECK(absl::IsAborted(world.service.core->Fatal()));
}

}  // namespace
}  // namespace espalier::testing
