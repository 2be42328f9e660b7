#include "coordinator/http/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <mutex>

#include "absl/strings/ascii.h"

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

class MetricsImpl final : public Metrics {
 public:
  explicit MetricsImpl(const std::string& version) {
    BuildGauge()
        .Name("espalier_build_info")
        .Help("1, with the version of this coordinator.")
        .Register(registry_)
        .Add({{"version", version}})
        .Set(1);
  }

  void OnLeaseGranted(const LeaseToken&, const std::string&, TaskKind kind, const std::string&,
                      absl::Duration queued) override {
    leases_granted_.Add({{"kind", Name(kind)}}).Increment();
    queue_wait_.Add({{"kind", Name(kind)}}, kQueueSeconds).Observe(absl::ToDoubleSeconds(queued));
  }
  void OnLeaseEnded(const LeaseToken&, const std::string&, AttemptEnd end, const std::string&) override {
    leases_ended_.Add({{"end", Name(end)}}).Increment();
  }
  void OnCommitted(const LeaseToken&, const TaskOutcome& outcome, absl::Duration ran) override {
    const TaskKind kind = static_cast<TaskKind>(outcome.index());
    run_.Add({{"kind", Name(kind)}}, kRunSeconds).Observe(absl::ToDoubleSeconds(ran));
    const auto* measurement = std::get_if<Measurement>(&outcome);
    const bool is_feasible = measurement == nullptr || measurement->feasible;
    committed_.Add({{"kind", Name(kind)}, {"outcome", is_feasible ? "succeeded" : "infeasible"}}).Increment();
    if (measurement == nullptr) return;
    tokens_.Add({{"use", "trained"}}).Increment(static_cast<double>(measurement->trained_tokens));
    tokens_.Add({{"use", "replayed"}}).Increment(static_cast<double>(measurement->replayed_tokens));
    tokens_.Add({{"use", "scored"}}).Increment(static_cast<double>(measurement->scored_tokens));
    engine_seconds_.Increment(measurement->assemble_seconds + measurement->train_seconds + measurement->score_seconds);
  }
  void OnReportRefused(const LeaseToken&, const std::string&) override { reports_rejected_.Increment(); }
  void OnTaskGivenUp(const std::string&, const std::string&, const std::string&) override { given_up_.Increment(); }
  void OnStoreError(const std::string&, const absl::Status& status) override {
    store_errors_.Add({{"code", absl::StatusCodeToString(status.code())}}).Increment();
  }
  void OnStoreWrite(absl::Duration took) override { store_commit_.Observe(absl::ToDoubleSeconds(took)); }

  std::string Text(const CoordinatorSnapshot& snapshot) override {
    const std::lock_guard lock(text_mutex_);
    epoch_.Set(static_cast<double>(snapshot.epoch));
    for (const JobState state : {JobState::kQueued, JobState::kRunning, JobState::kPaused, JobState::kSucceeded,
                                 JobState::kFailed, JobState::kCancelled}) {
      const auto found = snapshot.jobs.find(state);
      searches_.Add({{"state", absl::AsciiStrToLower(Name(state))}}).Set(found == snapshot.jobs.end() ? 0 : found->second);
    }
    workers_.Add({{"state", "idle"}}).Set(snapshot.workers_idle);
    workers_.Add({{"state", "busy"}}).Set(snapshot.workers_busy);
    workers_.Add({{"state", "draining"}}).Set(snapshot.workers_draining);
    workers_.Add({{"state", "quarantined"}}).Set(snapshot.workers_quarantined);
    slots_.Add({{"state", "taken"}}).Set(snapshot.slots_taken);
    slots_.Add({{"state", "free"}}).Set(std::max(0, snapshot.slots - snapshot.slots_taken));
    // Series of a search exist only while it runs, so they live in a registry of their own that is made anew each time.
    prometheus::Registry running;
    AddRunning(snapshot, running);
    std::vector<prometheus::MetricFamily> families = registry_.Collect();
    for (prometheus::MetricFamily& family : running.Collect()) families.push_back(std::move(family));
    return prometheus::TextSerializer().Serialize(families);
  }

 private:
  static void AddRunning(const CoordinatorSnapshot& snapshot, prometheus::Registry& registry) {
    auto& tasks = BuildGauge().Name("espalier_tasks").Help("Tasks of a running search.").Register(registry);
    auto& generation = BuildGauge().Name("espalier_generation").Help("Generation of a running search.").Register(registry);
    auto& best = BuildGauge()
                     .Name("espalier_best_fitness")
                     .Help("KL divergence of the best candidate so far, in nats per token.")
                     .Register(registry);
    auto& trained = BuildGauge().Name("espalier_trained_tokens").Help("Committed train tokens.").Register(registry);
    auto& planned =
        BuildGauge().Name("espalier_planned_train_tokens").Help("Train tokens of the schedule.").Register(registry);
    for (const CoordinatorSnapshot::RunningJob& job : snapshot.running) {
      const prometheus::Labels search = {{"search", job.job_id}};
      tasks.Add({{"search", job.job_id}, {"state", "queued"}}).Set(job.tasks_queued);
      tasks.Add({{"search", job.job_id}, {"state", "leased"}}).Set(job.tasks_leased);
      generation.Add(search).Set(job.progress.generation);
      if (!job.progress.best_digest.empty()) best.Add(search).Set(job.progress.best_fitness);
      trained.Add(search).Set(static_cast<double>(job.progress.trained_tokens));
      planned.Add(search).Set(static_cast<double>(job.progress.planned_train_tokens));
    }
  }

  std::mutex text_mutex_;
  prometheus::Registry registry_;
  prometheus::Family<prometheus::Counter>& leases_granted_ =
      BuildCounter().Name("espalier_leases_granted_total").Help("Leases granted.").Register(registry_);
  prometheus::Family<prometheus::Counter>& leases_ended_ =
      BuildCounter().Name("espalier_leases_ended_total").Help("Leases that ended without a commit.").Register(registry_);
  prometheus::Family<prometheus::Counter>& committed_ =
      BuildCounter().Name("espalier_evaluations_total").Help("Committed outcomes of tasks.").Register(registry_);
  prometheus::Family<prometheus::Counter>& tokens_ =
      BuildCounter().Name("espalier_tokens_total").Help("Tokens of committed evaluations.").Register(registry_);
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
  prometheus::Gauge& epoch_ = BuildGauge()
                                  .Name("espalier_leader_epoch")
                                  .Help("Rises with every start of a coordinator.")
                                  .Register(registry_)
                                  .Add({});
};

}  // namespace

std::unique_ptr<Metrics> Metrics::Make(const std::string& version) { return std::make_unique<MetricsImpl>(version); }

}  // namespace espalier
