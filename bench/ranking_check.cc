// Speed must not change the search: the candidates of one generation by graphs, fused kernels and several at once on a card,
// and the same tasks by plain eager steps, one candidate after the other. Ends with an error when a stage orders them otherwise.
#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bench/bench_engine.h"
#include "bench/bench_model.h"
#include "bench/job_loop.h"
#include "bench/options.h"
#include "bench/ranking_agreement.h"
#include "bench/report.h"
#include "common/base/status_macros.h"
#include "common/checkpoint/model_folder.h"
#include "worker/model/device_runtime.h"
#include "worker/model/fused_ops.h"

namespace espalier::bench {
namespace {

// The tasks of one stage with what they were measured to be.
struct RankedStage {
  std::vector<Task> tasks;
  StageFitness fitness;
};

// Stages of a job's first generation; their tasks are named evaluate/p0/g0/s<stage>/<mask>.
std::map<int, RankedStage> RankedStagesOf(const std::vector<TaskRecord>& records, const Phase& phase) {
  std::map<int, RankedStage> stages;
  for (const TaskRecord& record : records) {
    for (int s = 0; s < static_cast<int>(phase.stages.size()); ++s) {
      if (!record.task.task_id.starts_with(absl::StrCat("evaluate/p0/g0/s", s, "/"))) continue;
      stages[s].tasks.push_back(record.task);
      stages[s].fitness.fast.push_back(std::get<Measurement>(record.outcome).fitness);
      stages[s].fitness.survivors = phase.stages[s].survivors;
    }
  }
  return stages;
}

// The tasks' fitness by this engine, on all its slots. `model`: a folder in the place of the tasks' own; empty: that.
absl::StatusOr<std::vector<double>> MeasureTasks(Engine& engine, std::vector<Task> tasks, const std::string& model) {
  std::string digest;
  if (!model.empty()) {
    ESPALIER_ASSIGN_OR_RETURN(digest, checkpoint::FolderDigest(model));
  }
  std::vector<absl::StatusOr<TaskOutcome>> outcomes(tasks.size(), absl::UnknownError("not run"));
  std::atomic<size_t> next = 0;
  const auto work = [&] {
    for (size_t i = next++; i < tasks.size(); i = next++) {
      if (!model.empty()) tasks[i].context.model_folder = model;
      if (!model.empty()) tasks[i].context.model_digest = digest;
      outcomes[i] = engine.Run(tasks[i], {}, {});
    }
  };
  {
    std::vector<std::jthread> slots;
    for (int slot = 0; slot < engine.num_slots(); ++slot) slots.emplace_back(work);
  }
  std::vector<double> fitness;
  for (const absl::StatusOr<TaskOutcome>& outcome : outcomes) {
    ESPALIER_RETURN_IF_ERROR(outcome.status());
    const auto& measurement = std::get<Measurement>(*outcome);
    if (!measurement.feasible) return absl::InternalError("infeasible: " + measurement.infeasible_reason);
    fitness.push_back(measurement.fitness);
  }
  return fitness;
}

// The model with one hidden dimension of its embedding a rounding of bf16 away.
absl::Status WriteNudged(const std::string& from, int dimension, torch::Device device, const std::string& to) {
  ESPALIER_ASSIGN_OR_RETURN(const auto folder, checkpoint::ModelFolder::Open(from));
  ESPALIER_ASSIGN_OR_RETURN(const auto model, LoadLanguageModel(*folder, device, torch::kBFloat16));
  model->embedding_VD.narrow(1, dimension, 1).mul_(1 + 1.0 / 128);
  return WriteModelFolder(*model, to);
}

absl::Status MeasureAll(const Options& options, const std::string& folder, EngineBench& bench, std::map<int, RankedStage>& stages) {
  for (const int dimension : {1, 2}) {
    const std::string model = absl::StrCat(folder, "/nudged-", dimension);
    ESPALIER_RETURN_IF_ERROR(WriteNudged(bench.files.model, dimension, bench.device, model));
    for (auto& [number, stage] : stages) {
      ESPALIER_ASSIGN_OR_RETURN(std::vector<double> nudged, MeasureTasks(*bench.engine, stage.tasks, model));
      stage.fitness.nudged.push_back(std::move(nudged));
    }
  }
  bench.engine.reset();
  EngineOptions plain = EngineOptionsOf(options, bench.device, folder);
  plain.num_slots = 1;
  plain.plain_training = true;
  ESPALIER_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine, MakeTorchEngine(plain));
  SwitchFusedOps(false);
  for (auto& [number, stage] : stages) {
    ESPALIER_ASSIGN_OR_RETURN(stage.fitness.plain, MeasureTasks(*engine, stage.tasks, ""));
  }
  SwitchFusedOps(true);
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckRankings(const Options& options) {
  const StateFolder folder(options.state);
  ESPALIER_ASSIGN_OR_RETURN(EngineBench bench, PrepareEngine(options, folder.path()));
  JobSpec spec = BenchSpec(options, bench.files);
  spec.tokens_per_step = options.tokens_per_step.front();
  spec.phases[0].train.learning_rate = 1e-4;  // the published 1e-5 hardly moves the weights in so few steps
  std::map<std::string, TaskOutcome> known;
  ESPALIER_ASSIGN_OR_RETURN(const auto loop, JobLoop::Create(spec, bench.files.inputs, bench.engine.get(), &known));
  ESPALIER_RETURN_IF_ERROR(loop->RunUntil([](const JobProgram& program) { return !program.Generations().empty(); }));
  std::map<int, RankedStage> stages = RankedStagesOf(loop->records(), spec.phases[0]);
  if (stages.size() != spec.phases[0].stages.size()) return absl::InternalError("the generation did not go through its stages");
  ESPALIER_RETURN_IF_ERROR(MeasureAll(options, folder.path(), bench, stages));

  Report report("check --rankings", DescribeMachine(bench.device, options));
  absl::Status status;
  for (const auto& [number, stage] : stages) {
    const StageAgreement found = Agreement(stage.fitness);
    Row row;
    row.Text("stage", absl::StrCat(number)).Count("candidates", static_cast<int64_t>(stage.tasks.size()));
    row.Count("survivors", stage.fitness.survivors).Number("spearman", found.spearman, 4).Number("spread", found.spread, 6);
    row.Number("a_rounding", found.noise, 6).Number("apart", found.most_apart, 6).Count("exchanged", found.exchanged);
    row.Text("order", found.fault.empty() ? "the same" : "differs");
    report.Add(row);
    if (!found.fault.empty()) status.Update(absl::InternalError(absl::StrCat("stage ", number, ": ", found.fault)));
  }
  ESPALIER_RETURN_IF_ERROR(report.Finish(options.json));
  return status;
}

}  // namespace espalier::bench
