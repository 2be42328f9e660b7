#include "tests/simulation/job_catalog.h"

#include <array>

#include "common/base/check.h"
#include "common/domain/job_presets.h"
#include "tests/unit/search/small_inputs.h"

namespace espalier::simulation {
namespace {

JobSpec SmallSpec(int generations) {
  JobSpec spec = PresetSpec(Preset::kBalanced, DeviceKind::kCpu);
  spec.model_folder = "model";
  spec.tokens_path = "tokens.npy";
  spec.sequence_length = 256;
  spec.target.share = 0.6;
  spec.ladder.head_granularity = HeadGranularity::kHead;
  Phase phase;
  phase.name = "small";
  phase.generations = generations;
  phase.offspring = 6;
  phase.stages = {{3, 0, 1024}, {2, 4096, 1024}, {1, 8192, 1024}};
  phase.cross_kind_weight = 1;
  phase.redraw_every = 2;
  spec.phases = {phase};
  spec.additive_score_tokens = 1024;
  spec.play_off.tokens = 32768;
  spec.play_off_score_tokens = 1024;
  spec.report_score_tokens = 1024;
  spec.seed = 7;
  spec.max_attempts = 1'000'000;  // no fault may make a task infeasible: the result must be the undisturbed one
  return spec;
}

JobSpec SpecOf(int index) {
  JobSpec spec = SmallSpec(index == 5 ? 3 : 2);
  switch (index) {
    case 1:  // the published modes
      spec.mode = TrainMode::kRestart;
      spec.first_parent = FirstParent::kUniform;
      spec.seed = 11;
      break;
    case 2:  // two phases, and the states of last stages are kept
      spec.phases.push_back(spec.phases[0]);
      spec.phases[1].name = "second";
      spec.phases[0].generations = 1;
      spec.phases[1].generations = 1;
      spec.recovery.tokens = 16384;
      spec.recovery.start_trained = true;
      spec.recover_yardsticks = true;
      break;
    case 3:  // with patience
      spec.stop.patience = 1;
      spec.phases[0].generations = 4;
      spec.seed = 13;
      break;
    case 4: spec.seed = 17; break;  // some masks are infeasible
    case 5: spec.seed = 19; break;  // one candidate is poison
    default: break;
  }
  return spec;
}

struct Undisturbed {
  std::unique_ptr<JobProgram> program;
  int num_tasks = 0;
};

Undisturbed Run(const CatalogJob& job) {
  absl::StatusOr<std::unique_ptr<JobProgram>> program = JobProgram::Create("undisturbed", job.spec, job.inputs);
  ESPALIER_CHECK(program.ok());
  Undisturbed run{*std::move(program), 0};
  while (!run.program->finished()) {
    const std::vector<Task> wanted = run.program->Wanted();
    ESPALIER_CHECK(!wanted.empty());
    ESPALIER_CHECK(run.program->Tell(wanted[0].task_id, job.evaluator->Run(wanted[0])).ok());
    ++run.num_tasks;
  }
  return run;
}

CatalogJob Make(int index) {
  CatalogJob job;
  job.name = std::vector<std::string>{"continue", "restart", "phases", "patience", "infeasible", "poison"}[index];
  job.inputs = testing::SmallInputs(index == 3 ? 2 : 3);
  const absl::StatusOr<JobPreview> preview = ResolveJob(SpecOf(index), job.inputs);
  ESPALIER_CHECK(preview.ok());
  job.spec = preview->resolved;
  testing::FakeEvaluatorOptions options;
  options.noise = index == 0 || index == 5 ? 0 : 0.05;
  job.evaluator = std::make_unique<testing::FakeEvaluator>(job.inputs, options);
  if (index >= 4) {
    // The second candidate of the first generation, of the next one too when it is infeasible; never a parent.
    const Undisturbed run = Run(job);
    for (const CandidateView& candidate : run.program->Candidates()) {
      if (candidate.is_parent || candidate.id.find("/c01") == std::string::npos) continue;
      job.evaluator->options().infeasible.insert(candidate.mask_digest);
      if (index == 4) continue;
      job.poison = candidate.mask_digest;
      break;
    }
  }
  if (!job.poison.empty()) job.spec.max_attempts = 4;
  Undisturbed run = Run(job);
  job.num_tasks = run.num_tasks;
  job.result = Summary(*run.program);
  return job;
}

}  // namespace

const CatalogJob& CatalogJobOf(int index) {
  static std::array<std::unique_ptr<CatalogJob>, kNumCatalogJobs> jobs;
  if (jobs[index] == nullptr) jobs[index] = std::make_unique<CatalogJob>(Make(index));
  return *jobs[index];
}

}  // namespace espalier::simulation
