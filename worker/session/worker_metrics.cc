#include "worker/session/worker_metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <map>
#include <mutex>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/artifacts/artifact_counts.h"
#include "common/http/process_metrics.h"

namespace espalier {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;
using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;

const Histogram::BucketBoundaries kWorkerTaskSeconds = {0.1, 0.25, 0.5, 1,   2.5,  5,    10,   30,  60,
                                                        120, 300,  600, 1200, 1800, 3600, 7200, 14400};

const char* OutcomeOf(const absl::StatusOr<TaskOutcome>& outcome) {
  if (absl::IsCancelled(outcome.status())) return "cancelled";
  if (!outcome.ok()) return "failed";
  const auto* measurement = std::get_if<Measurement>(&*outcome);
  return measurement != nullptr && !measurement->feasible ? "infeasible" : "succeeded";
}

const char* NameOf(StateLocation location) {
  switch (location) {
    case StateLocation::kDevice: return "device";
    case StateLocation::kHost: return "host";
    case StateLocation::kDisk: return "disk";
  }
  return "unknown";
}

class WorkerMetricsImpl final : public WorkerMetrics {
 public:
  explicit WorkerMetricsImpl(Parts parts) : parts_(std::move(parts)) {
    const WorkerDescription& worker = parts_.description;
    const char* device = worker.device == DeviceKind::kCuda ? "cuda" : "cpu";
    BuildGauge()
        .Name("espalier_worker_build_info")
        .Help("1, with the version of this worker and what it runs on.")
        .Register(registry_)
        .Add({{"version", worker.software_version}, {"device", device}, {"device_name", worker.device_name}})
        .Set(1);
    memory_total_.Set(static_cast<double>(worker.memory_bytes));
    for (const char* outcome : {"succeeded", "infeasible", "failed", "cancelled"}) {
      tasks_.Add({{"kind", Name(TaskKind::kEvaluate)}, {"outcome", outcome}});
    }
    for (const char* use : {"trained", "replayed", "scored"}) tokens_.Add({{"use", use}});
    for (const char* result : {"answered", "failed"}) calls_.Add({{"result", result}});
    for (const char* result : {"found", "replayed"}) resumed_.Add({{"result", result}});
    for (const char* kind : {"bank", "export"}) artifact_bytes_.Add({{"kind", kind}});
  }

  void OnConnected(int64_t) override {
    is_connected_ = true;
    calls_.Add({{"result", "answered"}}).Increment();
  }
  void OnCallFailed(const absl::Status&) override {
    is_connected_ = false;
    calls_.Add({{"result", "failed"}}).Increment();
  }
  void OnTaskStarted(const Task& task) override {
    const std::lock_guard lock(mutex_);
    Running& running = running_[KeyOf(task)];
    running.changed_at = running.step_began = parts_.now();
  }
  void OnTaskProgress(const Task& task, const TaskProgress& progress) override {
    const std::lock_guard lock(mutex_);
    const auto found = running_.find(KeyOf(task));
    if (found == running_.end()) return;
    Running& running = found->second;
    const absl::Time now = parts_.now();
    if (progress.step != running.progress.step) {
      EndStep(running, now);
    } else if (progress.done == running.progress.done) {
      running.progress = progress;
      return;  // told again, and no further
    }
    running.changed_at = now;
    running.progress = progress;
  }
  void OnTaskEnded(const Task& task, const absl::StatusOr<TaskOutcome>& outcome, absl::Duration taken) override {
    {
      const std::lock_guard lock(mutex_);
      if (const auto found = running_.find(KeyOf(task)); found != running_.end()) {
        EndStep(found->second, parts_.now());
        running_.erase(found);
      }
    }
    tasks_.Add({{"kind", Name(task.kind())}, {"outcome", OutcomeOf(outcome)}}).Increment();
    task_seconds_.Add({{"kind", Name(task.kind())}}, kWorkerTaskSeconds).Observe(absl::ToDoubleSeconds(taken));
    if (outcome.ok()) CountResumed(task, *outcome);
    if (outcome.ok()) CountOutcome(*outcome);
  }
  void OnDiskFull(const Task&, const absl::Status&, absl::Duration) override { disk_full_.Increment(); }

  bool is_connected() const override { return is_connected_; }

  std::string Text() override {
    const std::lock_guard text_lock(text_mutex_);
    connected_.Set(is_connected_ ? 1 : 0);
    SetStates();
    SetDisk();
    prometheus::Registry running;  // what exists only while a task runs
    SetRunning(running);
    auto& artifacts = BuildCounter()
                          .Name("espalier_worker_artifact_operations_total")
                          .Help("Operations on artifacts by this worker.")
                          .Register(running);
    ArtifactCounts::OfProcess().ForEach([&](ArtifactOperation operation, ArtifactResult result, int64_t count) {
      artifacts.Add({{"op", Name(operation)}, {"result", Name(result)}}).Increment(static_cast<double>(count));
    });
    std::vector<prometheus::MetricFamily> families = registry_.Collect();
    for (prometheus::MetricFamily& family : running.Collect()) families.push_back(std::move(family));
    return prometheus::TextSerializer().Serialize(families) + ProcessMetricsText();
  }

 private:
  struct Running {
    TaskProgress progress;
    absl::Time step_began;
    absl::Time changed_at;
  };

  static std::string KeyOf(const Task& task) { return absl::StrCat(task.job_id, "/", task.task_id); }

  void EndStep(Running& running, absl::Time now) {
    if (!running.progress.step.empty()) {
      step_seconds_.Add({{"step", running.progress.step}}, kWorkerTaskSeconds)
          .Observe(absl::ToDoubleSeconds(now - running.step_began));
    }
    running.step_began = now;
  }

  // A stage goes on from the state that the stage before kept, on this worker, unless it is gone.
  void CountResumed(const Task& task, const TaskOutcome& outcome) {
    const auto* evaluate = std::get_if<EvaluateTask>(&task.payload);
    const auto* measurement = std::get_if<Measurement>(&outcome);
    if (evaluate == nullptr || measurement == nullptr || !evaluate->resume.has_value() || !measurement->feasible) return;
    resumed_.Add({{"result", measurement->replayed_tokens > 0 ? "replayed" : "found"}}).Increment();
  }

  void CountOutcome(const TaskOutcome& outcome) {
    if (const auto* bank = std::get_if<BankLayerOutcome>(&outcome)) {
      artifact_bytes_.Add({{"kind", "bank"}}).Increment(static_cast<double>(bank->artifact_bytes));
    } else if (const auto* additive = std::get_if<AdditiveUnitOutcome>(&outcome)) {
      tokens_.Add({{"use", "scored"}}).Increment(static_cast<double>(additive->scored_tokens));
    } else if (const auto* measurement = std::get_if<Measurement>(&outcome)) {
      CountMeasurement(*measurement);
    } else if (const auto* finish = std::get_if<FinishOutcome>(&outcome)) {
      for (const ExportedFile& file : finish->files) {
        artifact_bytes_.Add({{"kind", "export"}}).Increment(static_cast<double>(file.bytes));
      }
      CountMeasurement(finish->measurement);
    }
  }

  void CountMeasurement(const Measurement& measurement) {
    tokens_.Add({{"use", "trained"}}).Increment(static_cast<double>(measurement.trained_tokens));
    tokens_.Add({{"use", "replayed"}}).Increment(static_cast<double>(measurement.replayed_tokens));
    tokens_.Add({{"use", "scored"}}).Increment(static_cast<double>(measurement.scored_tokens));
    const std::lock_guard lock(mutex_);
    memory_peak_.Set(std::max(memory_peak_.Value(), static_cast<double>(measurement.peak_bytes)));
  }

  void SetStates() {
    std::map<std::string, int64_t> bytes = {{"device", 0}, {"host", 0}, {"disk", 0}};
    for (const RetainedState& state : parts_.engine->ListStates()) bytes[NameOf(state.location)] += state.bytes;
    for (const auto& [location, sum] : bytes) state_bytes_.Add({{"location", location}}).Set(static_cast<double>(sum));
  }

  void SetDisk() {
    std::error_code error;
    const std::filesystem::space_info space = std::filesystem::space(parts_.artifact_folder, error);
    if (error) return;
    disk_free_.Add({}).Set(static_cast<double>(space.available));
    disk_size_.Add({}).Set(static_cast<double>(space.capacity));
  }

  void SetRunning(prometheus::Registry& registry) {
    const std::lock_guard lock(mutex_);
    double tokens_per_second = 0;
    absl::Time oldest = absl::InfiniteFuture();
    for (const auto& [key, running] : running_) {
      tokens_per_second += running.progress.tokens_per_second;
      oldest = std::min(oldest, running.changed_at);
    }
    const int taken = static_cast<int>(running_.size());
    slots_.Add({{"state", "taken"}}).Set(taken);
    slots_.Add({{"state", "free"}}).Set(std::max(0, parts_.description.slots - taken));
    speed_.Set(tokens_per_second);
    if (running_.empty()) return;
    BuildGauge()
        .Name("espalier_worker_progress_timestamp_seconds")
        .Help("When the running task that is longest without progress last made some, in seconds since 1970.")
        .Register(registry)
        .Add({})
        .Set(absl::ToDoubleSeconds(oldest - absl::UnixEpoch()));
  }

  const Parts parts_;
  std::atomic<bool> is_connected_ = false;
  std::mutex text_mutex_;  // one text at a time; taken before mutex_
  std::mutex mutex_;
  std::map<std::string, Running> running_;  // guarded by mutex_, by job and task
  prometheus::Registry registry_;
  Family<Counter>& tasks_ =
      BuildCounter().Name("espalier_worker_tasks_total").Help("Tasks that ended.").Register(registry_);
  Family<Histogram>& task_seconds_ = BuildHistogram()
                                         .Name("espalier_worker_task_duration_seconds")
                                         .Help("A task from its start to its end.")
                                         .Register(registry_);
  Family<Histogram>& step_seconds_ = BuildHistogram()
                                         .Name("espalier_worker_step_duration_seconds")
                                         .Help("The steps of tasks: load, calibrate, eliminate, assemble, train, score, export.")
                                         .Register(registry_);
  Family<Counter>& tokens_ =
      BuildCounter().Name("espalier_worker_tokens_total").Help("Tokens of tasks that ended.").Register(registry_);
  Family<Counter>& resumed_ = BuildCounter()
                                  .Name("espalier_worker_resumed_states_total")
                                  .Help("Evaluations that went on from a kept training state, or had to train again because it was gone.")
                                  .Register(registry_);
  Family<Counter>& artifact_bytes_ = BuildCounter()
                                         .Name("espalier_worker_artifact_bytes_total")
                                         .Help("Bytes of level banks and exports that were written.")
                                         .Register(registry_);
  Family<Counter>& calls_ = BuildCounter()
                                .Name("espalier_worker_coordinator_calls_total")
                                .Help("Calls to the coordinator that it answered, or that failed.")
                                .Register(registry_);
  Counter& disk_full_ = BuildCounter()
                            .Name("espalier_worker_disk_full_total")
                            .Help("Times that a task met a full disk and waits to be run again.")
                            .Register(registry_)
                            .Add({});
  Family<Gauge>& slots_ = BuildGauge().Name("espalier_worker_own_slots").Help("Slots of this worker.").Register(registry_);
  Family<Gauge>& state_bytes_ = BuildGauge()
                                    .Name("espalier_worker_retained_state_bytes")
                                    .Help("Training states that are kept for a candidate's next stage.")
                                    .Register(registry_);
  Family<Gauge>& disk_free_ = BuildGauge()
                                  .Name("espalier_worker_artifact_disk_free_bytes")
                                  .Help("Room on the file system of the artifacts.")
                                  .Register(registry_);
  Family<Gauge>& disk_size_ = BuildGauge()
                                  .Name("espalier_worker_artifact_disk_size_bytes")
                                  .Help("Size of the file system of the artifacts.")
                                  .Register(registry_);
  Gauge& memory_total_ = BuildGauge()
                             .Name("espalier_worker_memory_bytes")
                             .Help("Memory of the device; of the machine on a CPU.")
                             .Register(registry_)
                             .Add({});
  Gauge& memory_peak_ = BuildGauge()
                            .Name("espalier_worker_gpu_memory_peak_bytes")
                            .Help("Most device memory that an evaluation took since this worker's start; 0 on a CPU.")
                            .Register(registry_)
                            .Add({});
  Gauge& speed_ = BuildGauge()
                      .Name("espalier_worker_tokens_per_second")
                      .Help("Tokens a second of the running tasks, as they last told.")
                      .Register(registry_)
                      .Add({});
  Gauge& connected_ = BuildGauge()
                          .Name("espalier_worker_connected")
                          .Help("Whether the last call to the coordinator was answered.")
                          .Register(registry_)
                          .Add({});
};

}  // namespace

std::unique_ptr<WorkerMetrics> WorkerMetrics::Make(Parts parts) { return std::make_unique<WorkerMetricsImpl>(std::move(parts)); }

}  // namespace espalier
