#include "coordinator/http/search_metrics.h"

#include <prometheus/gauge.h>

#include <string>

namespace espalier {
namespace {

using prometheus::BuildGauge;
using prometheus::Family;
using prometheus::Gauge;

using RunningSearch = CoordinatorSnapshot::RunningJob;

// Where it is and what it has spent.
class ProgressGauges {
 public:
  explicit ProgressGauges(prometheus::Registry& registry)
      : tasks_(BuildGauge().Name("espalier_tasks").Help("Tasks of a running search.").Register(registry)),
        generation_(BuildGauge().Name("espalier_generation").Help("Generation of a running search.").Register(registry)),
        planned_(BuildGauge()
                     .Name("espalier_planned_generations")
                     .Help("Generations of the schedule of a running search.")
                     .Register(registry)),
        stage_(BuildGauge().Name("espalier_stage").Help("Stage of the running generation.").Register(registry)),
        trained_(BuildGauge().Name("espalier_trained_tokens").Help("Committed train tokens.").Register(registry)),
        planned_tokens_(
            BuildGauge().Name("espalier_planned_train_tokens").Help("Train tokens of the schedule.").Register(registry)),
        evaluations_(BuildGauge()
                         .Name("espalier_used_evaluations")
                         .Help("Evaluations that a running search has had committed.")
                         .Register(registry)),
        planned_evaluations_(BuildGauge()
                                 .Name("espalier_planned_evaluations")
                                 .Help("Evaluations of the whole schedule of a running search.")
                                 .Register(registry)),
        device_seconds_(BuildGauge()
                            .Name("espalier_search_device_seconds")
                            .Help("Device time of all that a running search has had committed, also before a restart.")
                            .Register(registry)),
        slot_seconds_(BuildGauge()
                          .Name("espalier_search_slot_seconds")
                          .Help("Time of a running search's leases that are over, since this coordinator began.")
                          .Register(registry)) {}

  void Set(const RunningSearch& job, const prometheus::Labels& search) {
    tasks_.Add({{"search", job.job_id}, {"state", "queued"}}).Set(job.tasks_queued);
    tasks_.Add({{"search", job.job_id}, {"state", "leased"}}).Set(job.tasks_leased);
    generation_.Add(search).Set(job.progress.generation);
    planned_.Add(search).Set(job.progress.num_generations);
    stage_.Add(search).Set(job.progress.stage);
    trained_.Add(search).Set(static_cast<double>(job.progress.trained_tokens));
    planned_tokens_.Add(search).Set(static_cast<double>(job.progress.planned_train_tokens));
    evaluations_.Add(search).Set(static_cast<double>(job.progress.num_evaluations));
    planned_evaluations_.Add(search).Set(static_cast<double>(job.planned_evaluations));
    device_seconds_.Add(search).Set(job.progress.engine_seconds);
    slot_seconds_.Add({{"search", job.job_id}, {"outcome", "useful"}}).Set(job.useful_slot_seconds);
    slot_seconds_.Add({{"search", job.job_id}, {"outcome", "wasted"}}).Set(job.wasted_slot_seconds);
  }

 private:
  Family<Gauge>& tasks_;
  Family<Gauge>& generation_;
  Family<Gauge>& planned_;
  Family<Gauge>& stage_;
  Family<Gauge>& trained_;
  Family<Gauge>& planned_tokens_;
  Family<Gauge>& evaluations_;
  Family<Gauge>& planned_evaluations_;
  Family<Gauge>& device_seconds_;
  Family<Gauge>& slot_seconds_;
};

// How good what it found is, and how varied what it tries.
class QualityGauges {
 public:
  explicit QualityGauges(prometheus::Registry& registry)
      : best_(BuildGauge()
                  .Name("espalier_best_fitness")
                  .Help("KL divergence of the best candidate so far, in nats per token.")
                  .Register(registry)),
        error_(BuildGauge()
                   .Name("espalier_best_fitness_standard_error")
                   .Help("Standard error of espalier_best_fitness.")
                   .Register(registry)),
        population_(BuildGauge()
                        .Name("espalier_population_fitness")
                        .Help("Fitness within the last generation, in nats per token.")
                        .Register(registry)),
        diversity_(BuildGauge()
                       .Name("espalier_population_diversity_ratio")
                       .Help("Mean share of units in which two candidates of the last generation differ.")
                       .Register(registry)),
        unique_(BuildGauge()
                    .Name("espalier_unique_candidates_ratio")
                    .Help("Candidates of the last generation with a mask of their own.")
                    .Register(registry)),
        agreement_(BuildGauge()
                       .Name("espalier_stage_rank_agreement")
                       .Help("Rank correlation between the first trained stage and the last, in the last generation.")
                       .Register(registry)),
        stagnation_(BuildGauge()
                        .Name("espalier_stagnation_generations")
                        .Help("Generations since the parent last changed.")
                        .Register(registry)),
        size_(BuildGauge()
                  .Name("espalier_parent_size_ratio")
                  .Help("Cost of the present parent over that of the dense model.")
                  .Register(registry)) {}

  void Set(const RunningSearch& job, const prometheus::Labels& search) {
    if (!job.progress.best_digest.empty()) {
      best_.Add(search).Set(job.progress.best_fitness);
      error_.Add(search).Set(job.progress.best_standard_error);
    }
    const SearchHealth& health = job.health;
    if (health.generations == 0) return;
    population_.Add({{"search", job.job_id}, {"rank", "best"}}).Set(health.best_fitness);
    population_.Add({{"search", job.job_id}, {"rank", "p10"}}).Set(health.p10_fitness);
    population_.Add({{"search", job.job_id}, {"rank", "median"}}).Set(health.median_fitness);
    population_.Add({{"search", job.job_id}, {"rank", "p90"}}).Set(health.p90_fitness);
    population_.Add({{"search", job.job_id}, {"rank", "worst"}}).Set(health.worst_fitness);
    diversity_.Add(search).Set(health.diversity_ratio);
    unique_.Add(search).Set(health.unique_ratio);
    agreement_.Add(search).Set(health.rank_agreement);
    stagnation_.Add(search).Set(health.stagnation);
    size_.Add(search).Set(health.parent_size_ratio);
  }

 private:
  Family<Gauge>& best_;
  Family<Gauge>& error_;
  Family<Gauge>& population_;
  Family<Gauge>& diversity_;
  Family<Gauge>& unique_;
  Family<Gauge>& agreement_;
  Family<Gauge>& stagnation_;
  Family<Gauge>& size_;
};

}  // namespace

void AddSearchMetrics(const CoordinatorSnapshot& snapshot, prometheus::Registry& registry) {
  ProgressGauges progress(registry);
  QualityGauges quality(registry);
  for (const RunningSearch& job : snapshot.running) {
    const prometheus::Labels search = {{"search", job.job_id}};
    progress.Set(job, search);
    quality.Set(job, search);
  }
}

}  // namespace espalier
