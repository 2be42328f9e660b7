#include "worker/session/worker_metrics.h"

#include <string>

#include "tests/support/catch.h"
#include "tests/support/fake/fake_engine.h"
#include "worker/session/metrics_server.h"

namespace espalier {
namespace {

WorkerDescription DescribedWorker() {
  WorkerDescription worker;
  worker.device_name = "a \"chip\"";
  worker.memory_bytes = 1000;
  worker.slots = 2;
  worker.software_version = "1.2.3";
  return worker;
}

struct MetricsScene {
  absl::Time now = absl::FromUnixSeconds(1'000'000);
  testing::FakeEngine engine{{}, nullptr};
  std::unique_ptr<WorkerMetrics> metrics = WorkerMetrics::Make(
      {&engine, DescribedWorker(), "/", [this] { return now; }});
};

Task MetricsTask() {
  Task task;
  task.job_id = "secret-job";
  task.task_id = "secret-task";
  task.payload = EvaluateTask{};
  return task;
}

void CheckLines(const std::string& text, const std::vector<std::string>& lines) {
  for (const std::string& line : lines) CHECK_THAT(text, Catch::Contains(line + "\n"));
}

TEST_CASE("WorkerMetrics: an idle worker tells what it is, its memory and its process", "[session]") {
  MetricsScene scene;
  const std::string text = scene.metrics->Text();
  CheckLines(text, {"espalier_worker_build_info{device=\"cpu\",device_name=\"a \\\"chip\\\"\",version=\"1.2.3\"} 1",
                    "espalier_worker_memory_bytes 1000", "espalier_worker_own_slots{state=\"free\"} 2",
                    "espalier_worker_connected 0", "espalier_worker_tasks_total{kind=\"evaluate\",outcome=\"failed\"} 0",
                    "espalier_worker_retained_state_bytes{location=\"host\"} 0"});
  CHECK_THAT(text, Catch::Contains("process_resident_memory_bytes ") && Catch::Contains("process_open_fds "));
  CHECK_THAT(text, !Catch::Contains("espalier_worker_progress_timestamp_seconds"));
}

TEST_CASE("WorkerMetrics: while a task runs its progress shows, and a worker that stands still can be seen", "[session]") {
  MetricsScene scene;
  const Task task = MetricsTask();
  scene.metrics->OnTaskStarted(task);
  scene.now += absl::Seconds(5);
  scene.metrics->OnTaskProgress(task, {.step = "train", .done = 1, .total = 10, .tokens_per_second = 70, .loss = 3});
  scene.now += absl::Seconds(60);
  scene.metrics->OnTaskProgress(task, {.step = "train", .done = 1, .total = 10, .tokens_per_second = 70, .loss = 3});
  CheckLines(scene.metrics->Text(), {"espalier_worker_own_slots{state=\"taken\"} 1", "espalier_worker_tokens_per_second 70",
                                     "espalier_worker_progress_timestamp_seconds 1000005"});
  scene.metrics->OnTaskProgress(task, {.step = "train", .done = 2, .total = 10, .tokens_per_second = 60, .loss = 3});
  CheckLines(scene.metrics->Text(), {"espalier_worker_progress_timestamp_seconds 1000065"});
}

TEST_CASE("WorkerMetrics: an ended task is counted by kind and outcome, with its steps, tokens and memory", "[session]") {
  MetricsScene scene;
  const Task task = MetricsTask();
  scene.metrics->OnTaskStarted(task);
  scene.metrics->OnTaskProgress(task, {.step = "assemble"});
  scene.now += absl::Seconds(2);
  scene.metrics->OnTaskProgress(task, {.step = "train"});
  scene.now += absl::Seconds(20);
  Measurement measurement;
  measurement.trained_tokens = 1024;
  measurement.scored_tokens = 512;
  measurement.peak_bytes = 900;
  scene.metrics->OnTaskEnded(task, TaskOutcome(measurement), absl::Seconds(22));
  scene.metrics->OnTaskStarted(task);
  scene.metrics->OnTaskEnded(task, absl::InternalError("broken"), absl::Seconds(1));
  measurement.feasible = false;
  scene.metrics->OnTaskStarted(task);
  scene.metrics->OnTaskEnded(task, TaskOutcome(measurement), absl::Seconds(1));
  BankLayerOutcome bank;
  bank.artifact_bytes = 4096;
  Task bank_task = task;
  bank_task.payload = BankLayerTask{};
  scene.metrics->OnTaskEnded(bank_task, TaskOutcome(bank), absl::Seconds(1));
  const std::string text = scene.metrics->Text();
  CheckLines(text, {"espalier_worker_tasks_total{kind=\"evaluate\",outcome=\"succeeded\"} 1",
                    "espalier_worker_tasks_total{kind=\"evaluate\",outcome=\"failed\"} 1",
                    "espalier_worker_tasks_total{kind=\"evaluate\",outcome=\"infeasible\"} 1",
                    "espalier_worker_tasks_total{kind=\"bank_layer\",outcome=\"succeeded\"} 1",
                    "espalier_worker_step_duration_seconds_sum{step=\"assemble\"} 2",
                    "espalier_worker_step_duration_seconds_sum{step=\"train\"} 20",
                    "espalier_worker_tokens_total{use=\"trained\"} 2048", "espalier_worker_gpu_memory_peak_bytes 900",
                    "espalier_worker_artifact_bytes_total{kind=\"bank\"} 4096"});
  // No names of jobs, tasks or errors: there would be a new series for each.
  CHECK_THAT(text, !Catch::Contains("secret") && !Catch::Contains("broken"));
}

TEST_CASE("WorkerMetrics: a stage that found its training state is told from one that had to train again", "[session]") {
  MetricsScene scene;
  Task task = MetricsTask();
  Measurement measurement;
  scene.metrics->OnTaskEnded(task, TaskOutcome(measurement), absl::Seconds(1));  // a first stage: nothing to go on from
  std::get<EvaluateTask>(task.payload).resume.emplace();
  scene.metrics->OnTaskEnded(task, TaskOutcome(measurement), absl::Seconds(1));
  scene.metrics->OnTaskEnded(task, TaskOutcome(measurement), absl::Seconds(1));
  measurement.replayed_tokens = 4096;
  scene.metrics->OnTaskEnded(task, TaskOutcome(measurement), absl::Seconds(1));
  CheckLines(scene.metrics->Text(), {"espalier_worker_resumed_states_total{result=\"found\"} 2",
                                     "espalier_worker_resumed_states_total{result=\"replayed\"} 1"});
  CHECK_THAT(scene.metrics->Text(), Catch::Contains("espalier_worker_artifact_operations_total{op=\"write\",result=\"no_room\"} 0"));
}

TEST_CASE("WorkerMetrics: calls show whether the coordinator answers", "[session]") {
  MetricsScene scene;
  scene.metrics->OnConnected(0);
  CHECK(scene.metrics->is_connected());
  scene.metrics->OnCallFailed(absl::UnavailableError("away"));
  CHECK_FALSE(scene.metrics->is_connected());
  CheckLines(scene.metrics->Text(), {"espalier_worker_coordinator_calls_total{result=\"answered\"} 1",
                                     "espalier_worker_coordinator_calls_total{result=\"failed\"} 1", "espalier_worker_connected 0"});
}

TEST_CASE("MetricsServer: off by default, open on this machine, refused beyond it without TLS and tokens", "[session]") {
  MetricsScene scene;
  const SteadyClock clock;
  ServeOptions options;
  const auto start = [&] { return MetricsServer::Start(options, scene.metrics.get(), &clock); };
  const auto none = start();
  REQUIRE_OK(none);
  CHECK(*none == nullptr);
  options.metrics_listen = "127.0.0.1:0";
  const auto open = start();
  REQUIRE_OK(open);
  CHECK_THAT((*open)->address(), Catch::StartsWith("127.0.0.1:") && !Catch::EndsWith(":0"));
  options.metrics_listen = (*open)->address();
  CHECK(start().status().code() == absl::StatusCode::kFailedPrecondition);
  options.metrics_listen = "0.0.0.0:0";
  const absl::Status refused = start().status();
  CHECK(refused.code() == absl::StatusCode::kPermissionDenied);
  CHECK_THAT(std::string(refused.message()), Catch::StartsWith("--metrics-listen") && Catch::Contains("--metrics-tokens"));
  options.is_insecure = true;
  REQUIRE_OK(start());
  options.metrics_listen = "unix:/tmp/x";
  CHECK(start().status().code() == absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace espalier
