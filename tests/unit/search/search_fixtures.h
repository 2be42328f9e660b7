// Small jobs, and drivers that run them to the end with a fake evaluator.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/domain/job_presets.h"
#include "coordinator/search/job_program.h"
#include "tests/support/catch.h"
#include "tests/unit/search/fake_evaluator.h"
#include "tests/unit/search/small_inputs.h"
#include "tests/unit/search/summary.h"

namespace espalier::testing {

inline Phase SmallPhase(int generations) {
  Phase phase;
  phase.name = "small";
  phase.generations = generations;
  phase.offspring = 8;
  phase.stages = {{4, 0, 1024}, {2, 4096, 2048}, {1, 16384, 4096}};
  phase.cross_kind_weight = 1;
  phase.redraw_every = 2;
  return phase;
}

inline JobSpec SmallSpec(int generations) {
  JobSpec spec = PresetSpec(Preset::kBalanced, DeviceKind::kCpu);
  spec.model_folder = "model";
  spec.tokens_path = "tokens.npy";
  spec.sequence_length = 256;
  spec.target.share = 0.6;
  spec.ladder.head_granularity = HeadGranularity::kHead;
  spec.phases = {SmallPhase(generations)};
  spec.play_off.tokens = 32768;
  spec.seed = 7;
  return spec;
}

// DARWINLM's schedule on the small model, which has 5 and not 11 levels.
inline JobSpec DarwinLmSpec(int generations) {
  JobSpec spec = PresetSpec(Preset::kDarwinLm, DeviceKind::kCpu);
  spec.model_folder = "model";
  spec.tokens_path = "tokens.npy";
  spec.sequence_length = 1024;
  spec.target.share = 0.6;
  spec.stop.generations = generations;
  return spec;
}

struct Event {
  std::string task_id;
  TaskOutcome outcome;
};

inline JobSpec Resolved(const JobSpec& spec, const JobInputs& inputs) {
  const auto preview = ResolveJob(spec, inputs);
  REQUIRE_OK(preview);
  return preview->resolved;
}

inline std::unique_ptr<JobProgram> MakeProgram(const JobSpec& spec, const JobInputs& inputs) {
  auto program = JobProgram::Create("job-1", Resolved(spec, inputs), inputs);
  REQUIRE_OK(program);
  return *std::move(program);
}

// Which of the wanted tasks is answered next.
using Choose = std::function<size_t(const std::vector<Task>&)>;
inline Choose FirstWanted() {
  return [](const std::vector<Task>&) { return size_t{0}; };
}
// As if `workers` worked on the most urgent tasks and any of them could answer first.
inline Choose AnyOf(size_t workers, uint64_t seed) {
  auto random = std::make_shared<KeyedRandom>(seed, "order", std::initializer_list<int64_t>{});
  return [random, workers](const std::vector<Task>& wanted) {
    return static_cast<size_t>(random->Below(std::min(workers, wanted.size())));
  };
}

// Answers until the program is finished or `until` says so; what was told is in the events.
inline std::vector<Event> Drive(JobProgram* program, const FakeEvaluator& evaluator, const Choose& choose,
                                const std::function<bool(const JobProgram&)>& until) {
  std::vector<Event> events;
  while (!program->finished() && !until(*program)) {
    const std::vector<Task> wanted = program->Wanted();
    REQUIRE_FALSE(wanted.empty());
    const Task& task = wanted[choose(wanted)];
    const TaskOutcome outcome = evaluator.Run(task);
    REQUIRE_OK(program->Tell(task.task_id, outcome));
    events.push_back({task.task_id, outcome});
  }
  return events;
}
inline bool Never(const JobProgram&) { return false; }
inline std::function<bool(const JobProgram&)> AtStep(const std::string& step) {
  return [step](const JobProgram& program) { return program.Progress().step == step; };
}

}  // namespace espalier::testing
