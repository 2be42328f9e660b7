// The bundled tiny model, short windows of its samples and a bank of few levels, shared by the suites of this folder.
#pragma once

#include <algorithm>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "common/checkpoint/model_folder.h"
#include "common/domain/ladder.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"
#include "tests/support/temp_dir.h"
#include "worker/engine/engine.h"

namespace espalier::testing {

constexpr int kLength = 64;

inline std::string TinyModel() { return SourcePath("examples/tiny"); }
inline std::string TinySamples() { return SourcePath("examples/tiny-samples.npy"); }

inline JobContext TinyContext() {
  const auto config = checkpoint::ReadModelConfig(TinyModel());
  REQUIRE_OK(config);
  LadderOptions options;
  options.head_granularity = HeadGranularity::kHead;
  options.attention_removed = {0, 1, 3, 6};
  options.ffn_removed = {0, 256, 384, 512};
  const auto ladder = BuildLadder(*config, options);
  REQUIRE_OK(ladder);
  JobContext context;
  context.model_folder = TinyModel();
  context.model_digest = *checkpoint::FolderDigest(TinyModel());
  context.tokens_path = TinySamples();
  context.evaluation_windows = 4;
  context.sequence_length = kLength;
  context.ladder = *ladder;
  context.criterion = "structured_obs";
  context.compensation = "least_squares";
  return context;
}

inline std::unique_ptr<Engine> MakeEngine(const std::string& artifact_folder) {
  EngineOptions options;
  options.artifact_folder = artifact_folder;
  options.state_memory_bytes = int64_t{1} << 30;
  auto engine = MakeTorchEngine(options);
  REQUIRE_OK(engine);
  return *std::move(engine);
}

inline Task MakeTask(const JobContext& context, decltype(Task::payload) payload) {
  Task task;
  task.job_id = "job-1";
  task.task_id = "task";
  task.context = context;
  task.payload = std::move(payload);
  return task;
}

template <typename Outcome>
Outcome RunOk(Engine& engine, const Task& task) {
  auto outcome = engine.Run(task, {}, std::stop_token());
  REQUIRE_OK(outcome);
  REQUIRE(std::holds_alternative<Outcome>(*outcome));
  return std::get<Outcome>(*std::move(outcome));
}

// The bank of every layer, ascending as a worker would.
inline BankReference BuildBank(Engine& engine, const JobContext& context, std::vector<BankLayerOutcome>* outcomes) {
  BankReference bank;
  bank.key = "test";
  for (int layer = 0; layer < 8; ++layer) {
    BankLayerTask task;
    task.layer = layer;
    task.calibration = {Pool::kCalibrate, 0, 0, 0};
    task.calibration_windows = 16;
    auto outcome = RunOk<BankLayerOutcome>(engine, MakeTask(context, task));
    bank.layer_digests.push_back(outcome.artifact_digest);
    if (outcomes != nullptr) outcomes->push_back(std::move(outcome));
  }
  return bank;
}

// Every unit at its second level, except the first layer's, which is intact, and the last one's, which is gone.
inline Mask HalfMask(const Ladder& ladder) {
  Mask mask;
  mask.levels.assign(ladder.units.size(), 1);
  mask.levels[0] = mask.levels[1] = 0;
  mask.levels[mask.levels.size() - 2] = mask.levels.back() = 3;
  return mask;
}

inline EvaluateTask MakeEvaluate(const JobContext& context, const BankReference& bank, const Mask& mask) {
  EvaluateTask task;
  task.bank = bank;
  task.mask = mask;
  task.mask_digest = Digest(context.ladder, mask);
  task.train.learning_rate = 1e-3;
  task.stream.key = {Pool::kTrain, 7, 0, 0};
  task.tokens_per_step = 2 * kLength;
  task.score = {Pool::kScore, 7, 0, 0};
  task.score_windows = 6;
  return task;
}

}  // namespace espalier::testing
