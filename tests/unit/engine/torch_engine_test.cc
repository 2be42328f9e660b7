#include <cmath>

#include "common/artifacts/artifact_store.h"
#include "common/base/files.h"
#include "tests/unit/engine/engine_fixture.h"

namespace espalier {
namespace {

using namespace espalier::testing;

StateKey KeyOf(const EvaluateTask& task, int64_t position) {
  return {"job-1", task.mask_digest, ToText(task.stream.key), position};
}

// The stage [begin, end) of a stream whose stages end at 4 and at 9.5 windows.
EvaluateTask Stage(EvaluateTask task, int64_t begin, int64_t end, bool continues) {
  task.stream.begin = begin;
  task.stream.end = end;
  task.stream.stage_ends = {4 * kLength, 9 * kLength + kLength / 2};
  if (begin > 0) task.resume = KeyOf(task, begin);
  if (continues) task.retain = KeyOf(task, end);
  return task;
}

TEST_CASE("TorchEngine: a bank is built, its units are scored alone, and masks of it are evaluated", "[engine]") {
  TempDir artifacts;
  const JobContext context = TinyContext();
  const auto engine = MakeEngine(artifacts.path());
  std::vector<BankLayerOutcome> outcomes;
  const BankReference bank = BuildBank(*engine, context, &outcomes);

  for (const BankLayerOutcome& outcome : outcomes) {
    std::vector<int> order = outcome.head_order;
    std::sort(order.begin(), order.end());
    REQUIRE(order == std::vector<int>{0, 1, 2, 3, 4, 5});
    REQUIRE(outcome.ffn_errors.size() == 4);
    REQUIRE(std::is_sorted(outcome.ffn_errors.begin(), outcome.ffn_errors.end()));
    REQUIRE(std::is_sorted(outcome.attention_errors.begin(), outcome.attention_errors.end()));
    REQUIRE(outcome.artifact_bytes > 0);
  }

  // A layer built by a worker that did not build the ones before has the same bytes.
  const auto other = MakeEngine(artifacts.path());
  BankLayerTask again;
  again.layer = 5;
  again.calibration = {Pool::kCalibrate, 0, 0, 0};
  again.calibration_windows = 16;
  REQUIRE(RunOk<BankLayerOutcome>(*other, MakeTask(context, again)).artifact_digest == bank.layer_digests[5]);

  Mask intact;
  intact.levels.assign(context.ladder.units.size(), 0);
  const auto dense = RunOk<Measurement>(*engine, MakeTask(context, MakeEvaluate(context, bank, intact)));
  REQUIRE(dense.feasible);
  REQUIRE(std::abs(dense.fitness) < 1e-6);
  REQUIRE(dense.parameters == CountParameters(*checkpoint::ReadModelConfig(TinyModel())));
  REQUIRE(dense.scored_tokens == 6 * kLength);
  REQUIRE(dense.window_fitness.size() == 6);

  // A unit alone, once by its own task and once as a mask.
  for (const int unit : {9, 2}) {
    AdditiveUnitTask additive;
    additive.bank = bank;
    additive.unit = unit;
    additive.score = {Pool::kScore, 7, 0, 0};
    additive.score_windows = 6;
    const auto alone = RunOk<AdditiveUnitOutcome>(*engine, MakeTask(context, additive));
    REQUIRE(alone.fitness_by_level.size() == 4);
    REQUIRE(alone.fitness_by_level[0] == 0);
    REQUIRE(alone.fitness_by_level[3] > alone.fitness_by_level[1]);
    for (const int level : {1, 3}) {
      Mask mask = intact;
      mask.levels[unit] = level;
      const auto measured = RunOk<Measurement>(*engine, MakeTask(context, MakeEvaluate(context, bank, mask)));
      REQUIRE(measured.fitness == Approx(alone.fitness_by_level[level]).epsilon(1e-6));
      REQUIRE(measured.parameters < dense.parameters);
    }
  }

  SECTION("training towards the dense model makes a candidate better") {
    EvaluateTask task = MakeEvaluate(context, bank, HalfMask(context.ladder));
    const auto one_shot = RunOk<Measurement>(*engine, MakeTask(context, task));
    task.stream.end = 20 * kLength;
    task.measure_perplexity = true;
    const auto trained = RunOk<Measurement>(*engine, MakeTask(context, task));
    REQUIRE(trained.fitness < one_shot.fitness);
    REQUIRE(trained.trained_tokens == 20 * kLength);
    REQUIRE(trained.last_train_loss < trained.first_train_loss);
    REQUIRE(trained.perplexity > trained.dense_perplexity);
    REQUIRE(trained.dense_perplexity > 1);
  }
}

TEST_CASE("TorchEngine: a stage that continues, one that replays and one straight through give equal bits",
          "[engine]") {
  TempDir artifacts;
  const JobContext context = TinyContext();
  const auto engine = MakeEngine(artifacts.path());
  const BankReference bank = BuildBank(*engine, context, nullptr);
  const EvaluateTask base = MakeEvaluate(context, bank, HalfMask(context.ladder));
  const int64_t first_end = 4 * kLength, second_end = 9 * kLength + kLength / 2;

  for (const ContinueState format : {ContinueState::kFull, ContinueState::kWeightsBFloat16}) {
    for (const Loss loss : {Loss::kKl, Loss::kCrossEntropy}) {
      EvaluateTask task = base;
      task.continue_state = format;
      task.train.loss = loss;
      const auto first = RunOk<Measurement>(*engine, MakeTask(context, Stage(task, 0, first_end, true)));
      REQUIRE(first.trained_tokens == first_end);
      REQUIRE(engine->ListStates().size() == 1);
      const auto second = RunOk<Measurement>(*engine, MakeTask(context, Stage(task, first_end, second_end, false)));
      REQUIRE(second.trained_tokens == second_end - first_end);
      REQUIRE(second.replayed_tokens == 0);
      REQUIRE(engine->ListStates().empty());

      const auto replayed = RunOk<Measurement>(*engine, MakeTask(context, Stage(task, first_end, second_end, false)));
      REQUIRE(replayed.replayed_tokens == first_end);
      REQUIRE(replayed.trained_tokens == second_end - first_end);
      const auto straight = RunOk<Measurement>(*engine, MakeTask(context, Stage(task, 0, second_end, false)));
      REQUIRE(straight.replayed_tokens == 0);
      REQUIRE(second.window_fitness == replayed.window_fitness);
      REQUIRE(second.window_fitness == straight.window_fitness);
      REQUIRE(second.loss == straight.loss);
      REQUIRE(second.window_fitness != first.window_fitness);
    }
  }
}

TEST_CASE("TorchEngine: what cannot be run is refused with its name, and the engine goes on", "[engine]") {
  TempDir artifacts;
  const JobContext context = TinyContext();
  const auto engine = MakeEngine(artifacts.path());
  const BankReference bank = BuildBank(*engine, context, nullptr);
  const EvaluateTask good = MakeEvaluate(context, bank, HalfMask(context.ladder));
  const auto status_of = [&](const JobContext& changed, const EvaluateTask& task) {
    return engine->Run(MakeTask(changed, task), {}, std::stop_token()).status();
  };
  using Catch::Matchers::Contains;

  SECTION("another model digest") {
    JobContext changed = context;
    changed.model_digest = std::string(64, 'a');
    const absl::Status status = status_of(changed, good);
    REQUIRE(status.code() == absl::StatusCode::kFailedPrecondition);
    REQUIRE_THAT(StatusText(status), Contains("model folder '" + TinyModel() + "' on this worker has digest " +
                                              context.model_digest + ", the coordinator's is " + std::string(64, 'a')));
  }
  SECTION("a token id outside of the vocabulary") {
    // NumPy's format: magic, version 1.0, header length, header, data. Id 5000 of 4096.
    std::string header = "{'descr': '<u2', 'fortran_order': False, 'shape': (640,), }";
    header.resize(117, ' ');
    header += '\n';
    std::string file =
        std::string("\x93NUMPY\x01\x00", 8) + std::string("\x76\x00", 2) + header + std::string(1280, '\0');
    file[file.size() - 1280 + 2 * 77] = '\x88';
    file[file.size() - 1280 + 2 * 77 + 1] = '\x13';
    REQUIRE_OK(WriteFileAtomically(artifacts / "tokens.npy", file));
    JobContext changed = context;
    changed.tokens_path = artifacts / "tokens.npy";
    const absl::Status status = status_of(changed, good);
    REQUIRE(status.code() == absl::StatusCode::kInvalidArgument);
    REQUIRE_THAT(StatusText(status), Contains("5000"));
  }
  SECTION("a mask that is not what its digest says, and one that is off the ladder") {
    EvaluateTask task = good;
    task.mask_digest = std::string(64, 'b');
    REQUIRE(status_of(context, task).code() == absl::StatusCode::kInvalidArgument);
    task = good;
    task.mask.levels[3] = 9;
    REQUIRE(status_of(context, task).code() == absl::StatusCode::kInvalidArgument);
  }
  SECTION("an artifact that is damaged, and one that is missing") {
    const std::string& digest = bank.layer_digests[3];
    const std::string path = artifacts / ("sha256/" + digest.substr(0, 2) + "/" + digest);
    auto content = ReadFile(path, int64_t{1} << 30);
    REQUIRE_OK(content);
    (*content)[content->size() / 2] ^= 1;
    REQUIRE_OK(WriteFileAtomically(path, *content));
    const absl::Status damaged = status_of(context, good);
    REQUIRE(damaged.code() == absl::StatusCode::kDataLoss);
    REQUIRE_THAT(StatusText(damaged), Contains(digest));
    const absl::Status gone = status_of(context, good);  // moved aside
    REQUIRE(gone.code() == absl::StatusCode::kDataLoss);
    REQUIRE_THAT(StatusText(gone), Contains(digest));
  }
  SECTION("a task that is asked to stop in the middle of its training") {
    EvaluateTask task = good;
    task.stream.end = 400 * kLength;
    std::stop_source stop;
    int64_t last = 0;
    const auto progress = [&](const TaskProgress& report) {
      if (report.step != "train") return;
      last = report.done;
      if (report.done > 0) stop.request_stop();
    };
    const auto cancelled = engine->Run(MakeTask(context, task), progress, stop.get_token());
    REQUIRE(cancelled.status().code() == absl::StatusCode::kCancelled);
    REQUIRE(last > 0);
    REQUIRE(last < task.stream.end);
  }
  SECTION("a rate at which the losses explode is a measurement") {
    EvaluateTask task = good;
    task.stream.end = 30 * kLength;
    task.train.learning_rate = 1e20;
    const auto measured = RunOk<Measurement>(*engine, MakeTask(context, task));
    REQUIRE_FALSE(measured.feasible);
    REQUIRE_FALSE(measured.infeasible_reason.empty());
  }
  RunOk<Measurement>(*engine,
                     MakeTask(context, MakeEvaluate(context, BuildBank(*engine, context, nullptr), good.mask)));
}

TEST_CASE("TorchEngine: describes its device and refuses one that is not there", "[engine]") {
  TempDir artifacts;
  const DeviceDescription description = MakeEngine(artifacts.path())->Describe();
  REQUIRE(description.kind == DeviceKind::kCpu);
  REQUIRE_FALSE(description.name.empty());
  REQUIRE(description.memory_bytes > 0);
  REQUIRE_THAT(description.numerics_class, Catch::Matchers::StartsWith("cpu float32 engine "));
  EngineOptions options;
  options.artifact_folder = artifacts.path();
  options.device = DeviceKind::kCuda;
  options.device_index = 99;
  REQUIRE(MakeTorchEngine(options).status().code() == absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace espalier
