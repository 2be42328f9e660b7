#include "coordinator/http/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <mutex>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "common/artifacts/artifact_counts.h"
#include "common/http/process_metrics.h"
#include "common/security/tls_files.h"
#include "coordinator/http/search_metrics.h"

namespace espalier {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;
using prometheus::Histogram;

const Histogram::BucketBoundaries kRunSeconds = {0.1, 0.25, 0.5, 1,   2.5, 5,    10,   30,   60,
                                                 120, 300,  600, 1200, 1800, 3600, 7200, 14400};
const Histogram::BucketBoundaries kQueueSeconds = {0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 1800, 3600};
const Histogram::BucketBoundaries kStoreSeconds = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
                                                   0.01,   0.025,   0.05,   0.1,   0.25,   1};
const Histogram::BucketBoundaries kCallSeconds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};
const Histogram::BucketBoundaries kLongCallSeconds = {0.1, 1, 5, 10, 20, 30, 60, 300, 3600};
const Histogram::BucketBoundaries kAttempts = {1, 2, 3, 5};

// Calls that wait for something to happen or carry much: their time says nothing of the coordinator's speed.
bool IsLongCall(const std::string& method) {
  for (const char* name : {"Synchronize", "WatchJob", "ReadArtifact", "UploadArtifact", "Backup", "Watch", "ServerReflectionInfo"}) {
    if (method == name) return true;
  }
  return false;
}

// The workers' words are for people; these few kinds are what metrics tell apart.
const char* KindOfInfeasible(const std::string& reason) {
  if (absl::StartsWith(reason, "out of memory")) return "memory";
  return absl::StrContains(reason, "finite") || absl::StrContains(reason, "the training loss became") ? "not_finite" : "other";
}

class MetricsImpl final : public Metrics {
 public:
  explicit MetricsImpl(const std::string& version) {
    BuildGauge()
        .Name("espalier_build_info")
        .Help("1, with the version of this coordinator.")
        .Register(registry_)
        .Add({{"version", version}})
        .Set(1);
    // Series that are there before the first event: a rate over one that begins with it would miss it.
    for (const char* end : {"expired", "failed", "handed_back"}) leases_ended_.Add({{"end", end}});
    for (const char* outcome : {"succeeded", "infeasible"}) {
      committed_.Add({{"kind", Name(TaskKind::kEvaluate)}, {"outcome", outcome}});
    }
    for (const char* use : {"trained", "replayed", "scored"}) tokens_.Add({{"use", use}});
    for (const char* reason : {"memory", "not_finite", "other", "given_up"}) infeasible_.Add({{"reason", reason}});
    for (const Operator by : kOperators) {
      offspring_.Add({{"operator", espalier::Name(by)}});
      improved_.Add({{"operator", espalier::Name(by)}});
    }
    for (const char* cause : {"expired", "failed", "handed_back"}) wasted_.Add({{"cause", cause}});
    for (const WorkerEnd end : {WorkerEnd::kLeft, WorkerEnd::kDied, WorkerEnd::kSilent}) {
      workers_gone_.Add({{"end", espalier::Name(end)}});
    }
    for (const char* outcome : {"useful", "wasted"}) slot_seconds_.Add({{"outcome", outcome}});
    for (const char* code : {"RESOURCE_EXHAUSTED", "INTERNAL", "UNAVAILABLE"}) store_errors_.Add({{"code", code}});
    standing_by_.Set(0);
  }

  void Watch(const StateDisk* disk, const std::string& certificate) override {
    disk_ = disk;
    certificate_ = certificate;
  }

  void OnLeaseGranted(const LeaseToken&, const std::string&, TaskKind kind, const std::string&,
                      absl::Duration queued) override {
    leases_granted_.Add({{"kind", Name(kind)}}).Increment();
    queue_wait_.Add({{"kind", Name(kind)}}, kQueueSeconds).Observe(absl::ToDoubleSeconds(queued));
  }
  void OnLeaseEnded(const LeaseToken&, const std::string&, AttemptEnd end, const std::string&) override {
    leases_ended_.Add({{"end", Name(end)}}).Increment();
  }
  void OnCommitted(const LeaseToken& token, const TaskOutcome& outcome, absl::Duration ran) override {
    const TaskKind kind = static_cast<TaskKind>(outcome.index());
    if (token.attempt == 0) {
      banks_reused_.Increment();
    } else {
      attempts_.Observe(token.attempt);
    }
    run_.Add({{"kind", Name(kind)}}, kRunSeconds).Observe(absl::ToDoubleSeconds(ran));
    const auto* measurement = std::get_if<Measurement>(&outcome);
    const bool is_feasible = measurement == nullptr || measurement->feasible;
    committed_.Add({{"kind", Name(kind)}, {"outcome", is_feasible ? "succeeded" : "infeasible"}}).Increment();
    if (measurement == nullptr) return;
    if (!is_feasible) infeasible_.Add({{"reason", KindOfInfeasible(measurement->infeasible_reason)}}).Increment();
    tokens_.Add({{"use", "trained"}}).Increment(static_cast<double>(measurement->trained_tokens));
    tokens_.Add({{"use", "replayed"}}).Increment(static_cast<double>(measurement->replayed_tokens));
    tokens_.Add({{"use", "scored"}}).Increment(static_cast<double>(measurement->scored_tokens));
    engine_seconds_.Increment(measurement->assemble_seconds + measurement->train_seconds + measurement->score_seconds);
  }
  void OnLeaseOver(absl::Duration held, AttemptEnd end) override {
    const bool is_committed = end == AttemptEnd::kCommitted;
    const double seconds = std::max(0.0, absl::ToDoubleSeconds(held));
    slot_seconds_.Add({{"outcome", is_committed ? "useful" : "wasted"}}).Increment(seconds);
    if (!is_committed) wasted_.Add({{"cause", Name(end)}}).Increment(seconds);
  }
  void OnOffspringMeasured(const std::string&, const OffspringTallies& offspring) override {
    for (const Operator by : kOperators) {
      offspring_.Add({{"operator", espalier::Name(by)}}).Increment(offspring[by].drawn);
      improved_.Add({{"operator", espalier::Name(by)}}).Increment(offspring[by].improved);
    }
  }
  void OnWorkerGone(const std::string&, WorkerEnd end, const std::string&) override {
    workers_gone_.Add({{"end", espalier::Name(end)}}).Increment();
  }
  void OnGenerationEnded(const std::string&, absl::Duration took) override {
    generation_seconds_.Observe(absl::ToDoubleSeconds(took));
  }
  void OnStageEnded(const std::string&, const StageTime& time) override {
    stage_seconds_.Increment(time.seconds);
    stage_tail_seconds_.Increment(time.tail_seconds);
  }
  void OnWorkerQuarantined(const std::string&, absl::Duration, const std::vector<std::string>& reasons) override {
    if (!reasons.empty()) quarantines_.Increment();
  }
  void OnReportRefused(const LeaseToken&, const std::string&) override { reports_rejected_.Increment(); }
  void OnTaskGivenUp(const std::string&, const std::string& task_id, const std::string&) override {
    given_up_.Increment();
    // Only an evaluation counts as infeasible; anything else fails its job.
    if (absl::StartsWith(task_id, "evaluate/")) infeasible_.Add({{"reason", "given_up"}}).Increment();
  }
  void OnStoreError(const std::string&, const absl::Status& status) override {
    store_errors_.Add({{"code", absl::StatusCodeToString(status.code())}}).Increment();
  }
  void OnStoreWrite(absl::Duration took) override { store_commit_.Observe(absl::ToDoubleSeconds(took)); }
  void OnCall(const std::string& method, const std::string& code, absl::Duration took) override {
    calls_.Add({{"method", method}, {"code", code}}).Increment();
    const bool is_long = IsLongCall(method);
    (is_long ? long_call_ : call_)
        .Add({{"method", method}}, is_long ? kLongCallSeconds : kCallSeconds)
        .Observe(absl::ToDoubleSeconds(took));
  }
  void OnTick(absl::Duration late) override { tick_lag_.Observe(absl::ToDoubleSeconds(late)); }
  void OnHttpAnswer(int status) override { http_.Add({{"code", std::to_string(status)}}).Increment(); }

  std::string Text(const CoordinatorSnapshot& snapshot) override {
    const std::lock_guard lock(text_mutex_);
    epoch_.Set(static_cast<double>(snapshot.epoch));
    for (const JobState state : {JobState::kQueued, JobState::kRunning, JobState::kPaused, JobState::kSucceeded,
                                 JobState::kFailed, JobState::kCancelled}) {
      const auto found = snapshot.jobs.find(state);
      searches_.Add({{"state", absl::AsciiStrToLower(Name(state))}}).Set(found == snapshot.jobs.end() ? 0 : found->second);
    }
    SetFleet(snapshot);
    SetMachine();
    log_records_.Set(static_cast<double>(snapshot.log_records));
    // Series of a search exist only while it runs, so they live in a registry of their own that is made anew each time.
    prometheus::Registry running;
    AddSearchMetrics(snapshot, running);
    auto& versions = BuildGauge().Name("espalier_workers_by_version").Help("Workers by their version.").Register(running);
    for (const auto& [version, count] : snapshot.workers_by_version) versions.Add({{"version", version}}).Set(count);
    auto& artifacts = BuildCounter()
                          .Name("espalier_artifact_operations_total")
                          .Help("Operations on artifacts by the coordinator.")
                          .Register(running);
    ArtifactCounts::OfProcess().ForEach([&](ArtifactOperation operation, ArtifactResult result, int64_t count) {
      artifacts.Add({{"op", espalier::Name(operation)}, {"result", espalier::Name(result)}}).Increment(static_cast<double>(count));
    });
    std::vector<prometheus::MetricFamily> families = registry_.Collect();
    for (prometheus::MetricFamily& family : running.Collect()) families.push_back(std::move(family));
    return prometheus::TextSerializer().Serialize(families) + ProcessMetricsText();
  }

 private:
  void SetFleet(const CoordinatorSnapshot& snapshot) {
    workers_.Add({{"state", "idle"}}).Set(snapshot.workers_idle);
    workers_.Add({{"state", "busy"}}).Set(snapshot.workers_busy);
    workers_.Add({{"state", "draining"}}).Set(snapshot.workers_draining);
    workers_.Add({{"state", "quarantined"}}).Set(snapshot.workers_quarantined);
    workers_lost_.Set(snapshot.workers_lost);
    slots_.Add({{"state", "taken"}}).Set(snapshot.slots_taken);
    slots_.Add({{"state", "free"}}).Set(std::max(0, snapshot.slots - snapshot.slots_taken));
    waiting_calls_.Set(snapshot.workers_waiting);
    int wanted = 0;
    for (const CoordinatorSnapshot::RunningJob& job : snapshot.running) wanted += job.tasks_queued + job.tasks_leased;
    wanted_slots_.Set(wanted);
    const std::vector<absl::Duration>& silences = snapshot.silences;
    const auto silence = [&](double quantile) {
      if (silences.empty()) return 0.0;
      return absl::ToDoubleSeconds(silences[static_cast<size_t>(quantile * static_cast<double>(silences.size() - 1))]);
    };
    silence_.Add({{"rank", "median"}}).Set(silence(0.5));
    silence_.Add({{"rank", "p90"}}).Set(silence(0.9));
    silence_.Add({{"rank", "longest"}}).Set(silence(1));
  }

  void SetMachine() {
    if (disk_ != nullptr) {
      const StateDisk::Space space = disk_->Look();
      disk_free_.Add({}).Set(static_cast<double>(space.free_bytes));
      disk_size_.Add({}).Set(static_cast<double>(space.size_bytes));
      disk_reserve_.Add({}).Set(static_cast<double>(disk_->reserve_bytes()));
      if (space.store_bytes > 0) store_size_.Add({}).Set(static_cast<double>(space.store_bytes));
    }
    if (certificate_.empty()) return;
    if (const absl::StatusOr<absl::Time> end = ExpiryOf(certificate_); end.ok()) {
      certificate_end_.Add({}).Set(absl::ToDoubleSeconds(*end - absl::UnixEpoch()));
    }
  }

  std::mutex text_mutex_;
  const StateDisk* disk_ = nullptr;
  std::string certificate_;
  prometheus::Registry registry_;
  prometheus::Family<prometheus::Counter>& leases_granted_ =
      BuildCounter().Name("espalier_leases_granted_total").Help("Leases granted.").Register(registry_);
  prometheus::Family<prometheus::Counter>& leases_ended_ =
      BuildCounter().Name("espalier_leases_ended_total").Help("Leases that ended without a commit.").Register(registry_);
  prometheus::Family<prometheus::Counter>& committed_ =
      BuildCounter().Name("espalier_evaluations_total").Help("Committed outcomes of tasks.").Register(registry_);
  prometheus::Family<prometheus::Counter>& tokens_ =
      BuildCounter().Name("espalier_tokens_total").Help("Tokens of committed evaluations.").Register(registry_);
  prometheus::Family<prometheus::Counter>& infeasible_ =
      BuildCounter().Name("espalier_infeasible_total").Help("Candidates' evaluations that could not be, by why.").Register(registry_);
  prometheus::Family<prometheus::Counter>& offspring_ =
      BuildCounter()
          .Name("espalier_offspring_total")
          .Help("Offspring of generations that ended, by the operators that made them.")
          .Register(registry_);
  prometheus::Family<prometheus::Counter>& improved_ =
      BuildCounter()
          .Name("espalier_offspring_improved_total")
          .Help("Of espalier_offspring_total, those that were better than their parent in the last stage.")
          .Register(registry_);
  prometheus::Family<prometheus::Counter>& wasted_ =
      BuildCounter()
          .Name("espalier_wasted_slot_seconds_total")
          .Help("What espalier_slot_seconds_total calls wasted, by how the lease ended.")
          .Register(registry_);
  prometheus::Family<prometheus::Counter>& workers_gone_ =
      BuildCounter()
          .Name("espalier_workers_gone_total")
          .Help("Workers that left after draining, whose supervisor told of their death, or that fell silent.")
          .Register(registry_);
  prometheus::Family<prometheus::Counter>& store_errors_ =
      BuildCounter().Name("espalier_store_errors_total").Help("Writes that the store refused.").Register(registry_);
  prometheus::Counter& engine_seconds_ = BuildCounter()
                                             .Name("espalier_engine_seconds_total")
                                             .Help("Device seconds of committed evaluations.")
                                             .Register(registry_)
                                             .Add({});
  prometheus::Counter& reports_rejected_ = BuildCounter()
                                               .Name("espalier_reports_rejected_total")
                                               .Help("Reports of workers that could not be true.")
                                               .Register(registry_)
                                               .Add({});
  prometheus::Counter& given_up_ = BuildCounter()
                                       .Name("espalier_tasks_given_up_total")
                                       .Help("Tasks given up after their last attempt.")
                                       .Register(registry_)
                                       .Add({});
  prometheus::Family<prometheus::Histogram>& run_ =
      BuildHistogram().Name("espalier_evaluation_duration_seconds").Help("From lease to commit.").Register(registry_);
  prometheus::Family<prometheus::Histogram>& queue_wait_ =
      BuildHistogram().Name("espalier_task_queue_wait_seconds").Help("From wanted to leased.").Register(registry_);
  prometheus::Histogram& store_commit_ = BuildHistogram()
                                             .Name("espalier_store_commit_seconds")
                                             .Help("Durable writes.")
                                             .Register(registry_)
                                             .Add({}, kStoreSeconds);
  prometheus::Family<prometheus::Gauge>& searches_ =
      BuildGauge().Name("espalier_searches").Help("Searches by state.").Register(registry_);
  prometheus::Family<prometheus::Gauge>& workers_ =
      BuildGauge().Name("espalier_workers").Help("Workers by state.").Register(registry_);
  prometheus::Family<prometheus::Gauge>& slots_ =
      BuildGauge().Name("espalier_worker_slots").Help("Slots of living workers.").Register(registry_);
  prometheus::Gauge& workers_lost_ = BuildGauge()
                                         .Name("espalier_workers_lost")
                                         .Help("Workers that are silent for longer than a lease, and not forgotten yet.")
                                         .Register(registry_)
                                         .Add({});
  prometheus::Gauge& waiting_calls_ = BuildGauge()
                                          .Name("espalier_waiting_calls")
                                          .Help("Calls of workers that wait for something to do.")
                                          .Register(registry_)
                                          .Add({});
  prometheus::Gauge& wanted_slots_ = BuildGauge()
                                         .Name("espalier_wanted_slots")
                                         .Help("Tasks that run or could run now: as many slots could be busy.")
                                         .Register(registry_)
                                         .Add({});
  prometheus::Gauge& log_records_ = BuildGauge()
                                        .Name("espalier_event_log_records")
                                        .Help("Events that were committed to the store so far.")
                                        .Register(registry_)
                                        .Add({});
  prometheus::Gauge& standing_by_ = BuildGauge()
                                        .Name("espalier_standing_by")
                                        .Help("Whether this coordinator waits for another one's end.")
                                        .Register(registry_)
                                        .Add({});
  prometheus::Counter& banks_reused_ = BuildCounter()
                                           .Name("espalier_bank_layers_reused_total")
                                           .Help("Layers of level banks taken over from an earlier job.")
                                           .Register(registry_)
                                           .Add({});
  prometheus::Counter& quarantines_ = BuildCounter()
                                          .Name("espalier_quarantines_total")
                                          .Help("Times that a worker was put into quarantine.")
                                          .Register(registry_)
                                          .Add({});
  prometheus::Family<prometheus::Counter>& slot_seconds_ =
      BuildCounter()
          .Name("espalier_slot_seconds_total")
          .Help("Seconds that leases held slots: useful when the outcome was committed, else wasted.")
          .Register(registry_);
  prometheus::Family<prometheus::Counter>& calls_ =
      BuildCounter().Name("espalier_rpc_requests_total").Help("gRPC calls by how they ended.").Register(registry_);
  prometheus::Family<prometheus::Counter>& http_ =
      BuildCounter().Name("espalier_http_requests_total").Help("Answers of the HTTP port.").Register(registry_);
  prometheus::Family<prometheus::Histogram>& call_ =
      BuildHistogram().Name("espalier_rpc_duration_seconds").Help("gRPC calls that are answered at once.").Register(registry_);
  prometheus::Family<prometheus::Histogram>& long_call_ = BuildHistogram()
                                                              .Name("espalier_rpc_long_duration_seconds")
                                                              .Help("gRPC calls that wait for something or stream.")
                                                              .Register(registry_);
  prometheus::Histogram& attempts_ = BuildHistogram()
                                         .Name("espalier_attempts_per_commit")
                                         .Help("Leases that a task took until its outcome was committed.")
                                         .Register(registry_)
                                         .Add({}, kAttempts);
  prometheus::Histogram& generation_seconds_ = BuildHistogram()
                                                   .Name("espalier_generation_duration_seconds")
                                                   .Help("From the end of a generation to the end of the next.")
                                                   .Register(registry_)
                                                   .Add({}, kRunSeconds);
  prometheus::Counter& stage_seconds_ = BuildCounter()
                                            .Name("espalier_stage_seconds_total")
                                            .Help("What the stages of ended generations took.")
                                            .Register(registry_)
                                            .Add({});
  prometheus::Counter& stage_tail_seconds_ = BuildCounter()
                                                 .Name("espalier_stage_tail_seconds_total")
                                                 .Help("Of it, while one worker was at work and the others were through with the stage.")
                                                 .Register(registry_)
                                                 .Add({});
  prometheus::Histogram& tick_lag_ = BuildHistogram()
                                         .Name("espalier_tick_lag_seconds")
                                         .Help("How late the coordinator's thread ran what was due.")
                                         .Register(registry_)
                                         .Add({}, kCallSeconds);
  prometheus::Family<prometheus::Gauge>& silence_ = BuildGauge()
                                                        .Name("espalier_worker_silence_seconds")
                                                        .Help("Time since workers' last calls, by their rank among the workers.")
                                                        .Register(registry_);
  prometheus::Family<prometheus::Gauge>& disk_free_ = BuildGauge()
                                                          .Name("espalier_state_disk_free_bytes")
                                                          .Help("Room on the disk under the state.")
                                                          .Register(registry_);
  prometheus::Family<prometheus::Gauge>& disk_size_ = BuildGauge()
                                                          .Name("espalier_state_disk_size_bytes")
                                                          .Help("Size of the disk under the state.")
                                                          .Register(registry_);
  prometheus::Family<prometheus::Gauge>& disk_reserve_ = BuildGauge()
                                                             .Name("espalier_state_disk_reserve_bytes")
                                                             .Help("With less room than this the coordinator is not ready.")
                                                             .Register(registry_);
  prometheus::Family<prometheus::Gauge>& store_size_ =
      BuildGauge().Name("espalier_store_size_bytes").Help("The SQLite database with its log.").Register(registry_);
  prometheus::Family<prometheus::Gauge>& certificate_end_ =
      BuildGauge()
          .Name("espalier_certificate_expiry_timestamp_seconds")
          .Help("When the coordinator's certificate ends, in seconds since 1970.")
          .Register(registry_);
  prometheus::Gauge& epoch_ = BuildGauge()
                                  .Name("espalier_leader_epoch")
                                  .Help("Rises with every start of a coordinator.")
                                  .Register(registry_)
                                  .Add({});
};

}  // namespace

std::unique_ptr<Metrics> Metrics::Make(const std::string& version) { return std::make_unique<MetricsImpl>(version); }

}  // namespace espalier
