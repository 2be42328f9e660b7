#include <filesystem>

#include "common/artifacts/artifact_store.h"
#include "tests/unit/engine/engine_fixture.h"
#include "worker/engine/engine_parts.h"
#include "worker/engine/one_shot.h"
#include "worker/engine/recovery.h"
#include "worker/engine/tasks.h"
#include "worker/model/device_runtime.h"

namespace espalier {
namespace {

using namespace espalier::testing;

FinishTask MakeFinish(const JobContext& context, const BankReference& bank) {
  FinishTask finish;
  finish.bank = bank;
  finish.mask = HalfMask(context.ladder);
  finish.mask_digest = Digest(context.ladder, finish.mask);
  finish.recovery.tokens = 24 * kLength;
  finish.recovery.tokens_per_step = 2 * kLength;
  finish.recovery.train.learning_rate = 1e-3;
  finish.recovery.train.warmup_steps = 2;
  finish.recovery.train.cosine_to = 0.1;
  finish.recovery_key = {Pool::kTrain, 7, 1, 0};
  finish.score = {Pool::kReport, 7, 0, 0};
  finish.score_windows = 4;
  finish.provenance_json = "{\"seed\": 7}";
  return finish;
}

// A worker's process as far as a task sees it: its own caches over shared artifacts.
struct Worker {
  explicit Worker(const std::string& artifact_folder) {
    InitTorch();
    SetComputeThreads(1);
    EngineOptions options;
    options.artifact_folder = artifact_folder;
    parts = std::make_unique<EngineParts>(options, torch::kCPU, *OpenFolderArtifactStore(artifact_folder));
    parts->recovery = {.checkpoint_seconds = 0, .leaving_seconds = 1e9, .piece_steps = 1};
  }
  absl::StatusOr<FinishOutcome> Finish(const JobContext& context, const FinishTask& finish,
                                       const ProgressFunction& report, std::stop_token stop) {
    const std::string job_id = "jobs/7";
    ProgressReporter progress(report, stop);
    auto run = OpenTask(*parts, job_id, context, progress);
    if (!run.ok()) return run.status();
    return RunFinish(*run, finish);
  }
  std::unique_ptr<EngineParts> parts;
};

std::string DigestOf(const FinishOutcome& outcome, const std::string& name) {
  for (const ExportedFile& file : outcome.files) {
    if (file.name == name) return file.digest;
  }
  return "";
}

TEST_CASE("RunFinish: a recovery that was killed goes on from its checkpoint and ends in the same bytes", "[engine]") {
  TempDir artifacts;
  TempDir output;
  const JobContext context = TinyContext();
  const BankReference bank = BuildBank(*MakeEngine(artifacts.path()), context, nullptr);
  const FinishTask finish = MakeFinish(context, bank);
  const std::string name = RecoveryCheckpointName("jobs/7", finish.mask_digest);
  const auto store = OpenFolderArtifactStore(artifacts.path());
  REQUIRE_OK(store);

  const auto whole = Worker(artifacts.path()).Finish(context, finish, {}, std::stop_token());
  REQUIRE_OK(whole);
  REQUIRE(whole->measurement.feasible);
  REQUIRE(whole->measurement.trained_tokens == 24 * kLength);
  REQUIRE((*store)->GetName(name).status().code() == absl::StatusCode::kNotFound);

  // Dies after some steps: what it leaves is what its last checkpoint says.
  std::stop_source stop;
  std::string last_checkpoint;
  {
    Worker dying(artifacts.path());
    const auto report = [&](const TaskProgress& progress) {
      if (progress.step == "train" && progress.done >= 10 * kLength) stop.request_stop();
    };
    const auto died = dying.Finish(context, finish, report, stop.get_token());
    REQUIRE(died.status().code() == absl::StatusCode::kCancelled);
    const auto checkpoint = (*store)->GetName(name);
    REQUIRE_OK(checkpoint);
    last_checkpoint = *checkpoint;
  }
  int64_t first_done = -1;
  const auto report = [&](const TaskProgress& progress) {
    if (progress.step == "train" && first_done < 0) first_done = progress.done;
  };
  const auto resumed = Worker(artifacts.path()).Finish(context, finish, report, std::stop_token());
  REQUIRE_OK(resumed);
  REQUIRE(first_done >= 8 * kLength);  // it did not start anew
  REQUIRE(DigestOf(*resumed, "model.safetensors") == DigestOf(*whole, "model.safetensors"));
  REQUIRE(resumed->measurement.window_fitness == whole->measurement.window_fitness);
  REQUIRE(resumed->measurement.trained_tokens == whole->measurement.trained_tokens);
  REQUIRE((*store)->GetName(name).status().code() == absl::StatusCode::kNotFound);
  REQUIRE((*store)->Size(last_checkpoint).status().code() == absl::StatusCode::kNotFound);

  // The export is what was measured.
  REQUIRE(whole->export_max_logit_difference <= 1e-4);
  const std::string folder = output / "model";
  REQUIRE_OK(WriteExportedFiles(artifacts.path(), whole->files, folder));
  const auto config = checkpoint::ReadModelConfig(folder);
  REQUIRE_OK(config);
  REQUIRE(CountParameters(*config) == whole->measurement.parameters);
  REQUIRE(config->layers[0].num_heads() == 6);
  REQUIRE(config->layers[0].ffn_width == 512);
  REQUIRE(config->layers[3].num_heads() == 5);
  REQUIRE(config->layers[3].ffn_width == 256);
  REQUIRE(config->layers[7].num_heads() == 0);
  REQUIRE(config->layers[7].ffn_width == 0);
  REQUIRE(std::filesystem::exists(folder + "/tokenizer.json"));
  REQUIRE(WriteExportedFiles(artifacts.path(), whole->files, folder).code() == absl::StatusCode::kAlreadyExists);
  REQUIRE(whole->kept.size() == 16);
  REQUIRE(whole->kept[6].unit == "attention[3]");
  REQUIRE(whole->kept[6].removed == 1);
  REQUIRE(whole->kept[6].kept_heads.size() == 5);
  REQUIRE(whole->kept[7].kept_neurons == 256);

  // `evaluate` over the same windows says the same: here the report pool of the samples, so another file is named.
  JobContext evaluated = context;
  evaluated.evaluation_path = TinySamples();
  FinishTask plain = finish;
  plain.recovery.tokens = 0;
  const auto unrecovered = Worker(artifacts.path()).Finish(evaluated, plain, {}, std::stop_token());
  REQUIRE_OK(unrecovered);
  const std::string plain_folder = output / "plain";
  REQUIRE_OK(WriteExportedFiles(artifacts.path(), unrecovered->files, plain_folder));
  EvaluateFolderRequest request;
  request.model_folder = plain_folder;
  request.tokens_path = TinySamples();
  request.sequence_length = kLength;
  request.windows = context.evaluation_windows;
  const auto measured = EvaluateFolder(request, {}, std::stop_token());
  REQUIRE_OK(measured);
  REQUIRE(measured->perplexity == unrecovered->measurement.perplexity);
  REQUIRE(measured->parameters == unrecovered->measurement.parameters);
  REQUIRE(measured->tokens == context.evaluation_windows * kLength);
  request.model_folder = TinyModel();
  const auto dense = EvaluateFolder(request, {}, std::stop_token());
  REQUIRE_OK(dense);
  REQUIRE(dense->perplexity == unrecovered->measurement.dense_perplexity);
  REQUIRE(whole->measurement.fitness < unrecovered->measurement.fitness);
}

TEST_CASE("RunFinish: started from the winner's trained state, held or trained again", "[engine]") {
  TempDir artifacts;
  const JobContext context = TinyContext();
  const auto engine = MakeEngine(artifacts.path());
  const BankReference bank = BuildBank(*engine, context, nullptr);
  EvaluateTask last_stage = MakeEvaluate(context, bank, HalfMask(context.ladder));
  last_stage.stream.end = 8 * kLength;
  last_stage.stream.stage_ends = {8 * kLength};
  last_stage.retain = StateKey{"job-1", last_stage.mask_digest, ToText(last_stage.stream.key), 8 * kLength};
  const auto winner = RunOk<Measurement>(*engine, MakeTask(context, last_stage));

  FinishTask finish = MakeFinish(context, bank);
  finish.recovery.tokens = 0;
  finish.score = last_stage.score;
  finish.score_windows = last_stage.score_windows;
  finish.start = last_stage.retain;
  finish.start_evaluation = last_stage;
  const auto held = RunOk<FinishOutcome>(*engine, MakeTask(context, finish));
  REQUIRE(held.measurement.window_fitness == winner.window_fitness);
  REQUIRE(held.measurement.replayed_tokens == 0);
  engine->KeepOnly({});
  REQUIRE(engine->ListStates().empty());
  const auto again = RunOk<FinishOutcome>(*engine, MakeTask(context, finish));
  REQUIRE(again.measurement.replayed_tokens == 8 * kLength);
  REQUIRE(DigestOf(again, "model.safetensors") == DigestOf(held, "model.safetensors"));
  finish.start_evaluation.reset();
  REQUIRE(engine->Run(MakeTask(context, finish), {}, std::stop_token()).status().code() ==
          absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace espalier
