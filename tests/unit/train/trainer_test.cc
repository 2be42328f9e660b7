// Training runs on the CPU, in exact and in padded batches.
#include <cmath>
#include <vector>

#include "tests/support/catch.h"
#include "tests/unit/train/train_fixtures.h"
#include "worker/model/forward.h"
#include "worker/train/step_batches.h"

namespace espalier::testing {
namespace {

struct Outcome {
  TrainResult result;
  torch::Tensor weights;
};

Outcome TrainMixed(const TrainSettings& settings, const TrainerOptions& options, const TrainData& data) {
  LanguageModel model = Candidate(7);
  const auto trainer = MakeTrainer(model, settings, options);
  Outcome outcome;
  outcome.result = Train(*trainer, MixedSteps(), data);
  outcome.weights = WeightsOf(*trainer);
  return outcome;
}

TrainerOptions WithLayout(BatchLayout layout, int64_t micro_batch_tokens) {
  TrainerOptions options;
  options.layout = layout;
  options.micro_batch_tokens = micro_batch_tokens;
  return options;
}

LanguageModel Dense() {
  ModelConfig config = PrunedConfig();
  config.layers.assign(4, DenseLayer(config));
  LanguageModel model = RandomLanguageModel(config, 21, torch::kCPU, torch::kFloat32);
  SetKvIndex(model);
  return model;
}

void CacheTeacher(TrainData& data, const LanguageModel& dense) {
  const torch::NoGradGuard no_grad;
  data.teacher = &dense;
  data.teacher_hidden_WLD = FinalHidden(dense, data.tokens_WL.to(torch::kInt64),
                                        MakeRotaryTables(dense.config, kWindowLength, torch::kCPU, torch::kFloat32));
}

void CheckSame(const Outcome& a, const Outcome& b) {
  CHECK(a.result.tokens == b.result.tokens);
  CHECK(a.result.first_loss == Approx(b.result.first_loss).epsilon(1e-5));
  CHECK(a.result.last_loss == Approx(b.result.last_loss).epsilon(1e-4));
  // Adam divides by the gradient's size: where a gradient is nearly zero, rounding decides the direction of a step.
  CHECK((a.weights - b.weights).abs().mean().item<double>() < 1e-6);
}

}  // namespace

TEST_CASE("Trainer: exactly the tokens asked for, the same in exact, padded and split batches") {
  TrainData data = Windows(7);
  const LanguageModel dense = Dense();
  CacheTeacher(data, dense);
  for (const Loss loss : {Loss::kCrossEntropy, Loss::kKl, Loss::kBoth}) {
    TrainSettings settings = CrossEntropySettings(1e-3);
    settings.loss = loss;
    const Outcome exact = TrainMixed(settings, WithLayout(BatchLayout::kExact, 0), data);
    CHECK(exact.result.tokens == kMixedTokens);
    CHECK(exact.result.steps == 8);  // the piece of one token predicts nothing
    CheckSame(exact, TrainMixed(settings, WithLayout(BatchLayout::kStatic, 0), data));
    CheckSame(exact, TrainMixed(settings, WithLayout(BatchLayout::kStatic, 24), data));
    CheckSame(exact, TrainMixed(settings, WithLayout(BatchLayout::kExact, 24), data));
    TrainerOptions recomputing = WithLayout(BatchLayout::kStatic, 0);
    recomputing.recompute_activations = true;
    CheckSame(exact, TrainMixed(settings, recomputing, data));
  }
}

TEST_CASE("Trainer: the cached teacher and the teacher beside the candidate give the same run") {
  TrainSettings settings = CrossEntropySettings(1e-3);
  settings.loss = Loss::kKl;
  const LanguageModel dense = Dense();
  TrainData data = Windows(4);
  data.row_of_window = {{100, 3}, {7, 0}};
  const std::vector<Step> steps = {{{100, 0, 24}, {7, 0, 20}}, {{7, 0, 24}}};
  CacheTeacher(data, dense);
  std::vector<Outcome> outcomes;
  for (const bool cached : {true, false}) {
    if (!cached) data.teacher_hidden_WLD = torch::Tensor();
    LanguageModel model = Candidate(7);
    const auto trainer = MakeTrainer(model, settings, TrainerOptions());
    outcomes.push_back({Train(*trainer, steps, data), WeightsOf(*trainer)});
  }
  CheckSame(outcomes[0], outcomes[1]);
  data.teacher = nullptr;
  LanguageModel model = Candidate(7);
  CHECK_FALSE(MakeTrainer(model, settings, TrainerOptions())->Run(steps, data, 0, {}, {}).ok());
}

TEST_CASE("Trainer: the loss falls, and the candidate itself holds the trained weights") {
  const TrainData data = Windows(4);
  for (const MomentsFormat moments : {MomentsFormat::kFloat32, MomentsFormat::kBFloat16, MomentsFormat::kByte}) {
    LanguageModel model = Candidate(9);
    TrainerOptions options;
    options.moments = moments;
    const auto trainer = MakeTrainer(model, CrossEntropySettings(3e-3), options);
    const TrainResult result = Train(*trainer, WholeWindowSteps(60, 4), data);
    CHECK(result.first_loss > 3.5);
    CHECK(result.last_loss < 1.5);
    CHECK(trainer->num_parameters() == CountParameters(model.config));
    const torch::Tensor weights = WeightsOf(*trainer);
    CHECK(LargestDifference(weights.narrow(0, 0, model.embedding_VD.numel()),
                            model.embedding_VD.detach().reshape(-1)) == 0);
  }
}

TEST_CASE("Trainer: bf16 weights follow fp32 masters that move by less than bf16 can show") {
  LanguageModel model = RandomLanguageModel(PrunedConfig(), 7, torch::kCPU, torch::kBFloat16);
  SetKvIndex(model);
  const auto trainer = MakeTrainer(model, CrossEntropySettings(1e-5), TrainerOptions());
  const torch::Tensor before = WeightsOf(*trainer);
  Train(*trainer, WholeWindowSteps(5, 2), Windows(2));
  const torch::Tensor after = WeightsOf(*trainer);
  const int64_t moved = (after != before).sum().item<int64_t>();
  CHECK(moved > trainer->num_parameters() / 2);
  CHECK(LargestDifference(after.narrow(0, 0, model.embedding_VD.numel()).to(torch::kBFloat16),
                          model.embedding_VD.detach().reshape(-1)) == 0);
}

TEST_CASE("Trainer: a run that stopped and went on takes bitwise the way of a run straight through") {
  const TrainData data = Windows(7);
  const std::vector<Step> steps = MixedSteps();
  for (const MomentsFormat moments : {MomentsFormat::kFloat32, MomentsFormat::kBFloat16, MomentsFormat::kByte}) {
    TrainSettings settings = CrossEntropySettings(1e-3);
    settings.warmup_steps = 3;
    settings.cosine_to = 0.1;
    TrainerOptions options;
    options.moments = moments;
    LanguageModel straight_model = Candidate(7), first_model = Candidate(7), second_model = Candidate(8);
    const auto straight = MakeTrainer(straight_model, settings, options);
    const auto first = MakeTrainer(first_model, settings, options);
    const auto second = MakeTrainer(second_model, settings, options);
    REQUIRE_OK(straight->Run(steps, data, 9, {}, {}));
    REQUIRE_OK(first->Run({steps.begin(), steps.begin() + 4}, data, 9, {}, {}));
    auto state = first->Save(ContinueState::kFull);
    REQUIRE_OK(state);
    CHECK(state->bytes() == first->state_bytes(ContinueState::kFull));
    state->position = 72;
    const auto read = TrainStateFromBytes(ToBytes(*state), "a state");
    REQUIRE_OK(read);
    CHECK(read->position == 72);
    REQUIRE_OK(second->Restore(*read));
    REQUIRE_OK(second->Run({steps.begin() + 4, steps.end()}, data, 9, {}, {}));
    CHECK(LargestDifference(WeightsOf(*straight), WeightsOf(*second)) == 0);
    CHECK(straight->steps_taken() == second->steps_taken());
  }
}

TEST_CASE("Trainer: one that begins again with fresh weights takes bitwise the way of a new one") {
  const TrainData data = Windows(7);
  const std::vector<Step> steps = MixedSteps();
  const TrainSettings settings = CrossEntropySettings(1e-3);
  LanguageModel used_model = Candidate(8), new_model = Candidate(7);
  const LanguageModel fresh = Candidate(7);
  const auto used = MakeTrainer(used_model, settings, {});
  const auto made_new = MakeTrainer(new_model, settings, {});
  REQUIRE_OK(used->Run(steps, data, 0, {}, {}));
  REQUIRE_OK(used->BeginAgain(fresh));
  CHECK(used->steps_taken() == 0);
  REQUIRE_OK(used->Run(steps, data, 0, {}, {}));
  REQUIRE_OK(made_new->Run(steps, data, 0, {}, {}));
  CHECK(LargestDifference(WeightsOf(*used), WeightsOf(*made_new)) == 0);

  LanguageModel narrower = Candidate(7);
  narrower.layers[0].ffn.gate_weight = narrower.layers[0].ffn.gate_weight.narrow(0, 0, 1);
  CHECK(absl::IsInvalidArgument(used->BeginAgain(narrower)));
}

TEST_CASE("Trainer: a state reduced to bf16 weights goes on as one that was rounded in place") {
  const TrainData data = Windows(7);
  LanguageModel kept_model = Candidate(7), restored_model = Candidate(8);
  const auto kept = MakeTrainer(kept_model, CrossEntropySettings(1e-3), TrainerOptions());
  const auto restored = MakeTrainer(restored_model, CrossEntropySettings(1e-3), TrainerOptions());
  Train(*kept, MixedSteps(), data);
  const auto state = kept->Save(ContinueState::kWeightsBFloat16);
  REQUIRE_OK(state);
  CHECK(state->bytes() == kept->state_bytes(ContinueState::kWeightsBFloat16));
  const auto read = TrainStateFromBytes(ToBytes(*state), "a state");
  REQUIRE_OK(read);
  REQUIRE_OK(restored->Restore(*read));
  REQUIRE_OK(kept->RoundAsRetained(ContinueState::kWeightsBFloat16));
  Train(*kept, MixedSteps(), data);
  Train(*restored, MixedSteps(), data);
  CHECK(LargestDifference(WeightsOf(*kept), WeightsOf(*restored)) == 0);
}

TEST_CASE("Trainer: a cancelled run stops between two steps and can be taken up again") {
  const TrainData data = Windows(4);
  const std::vector<Step> steps = WholeWindowSteps(2000, 4);
  LanguageModel model = Candidate(7);
  const auto trainer = MakeTrainer(model, CrossEntropySettings(1e-3), TrainerOptions());
  std::stop_source stop;
  TrainProgressReport report;
  const auto result = trainer->Run(
      steps, data, 0,
      [&](const TrainProgressReport& now) {
        report = now;
        stop.request_stop();
      },
      stop.get_token());
  CHECK(result.status().code() == absl::StatusCode::kCancelled);
  CHECK(report.total_tokens == 2000 * kWindowLength);
  CHECK(report.tokens == trainer->steps_taken() * kWindowLength);
  CHECK(report.tokens_per_second > 0);
  CHECK(std::isfinite(report.loss));
  const int64_t taken = trainer->steps_taken();
  REQUIRE(taken < 2000);

  LanguageModel straight_model = Candidate(7);
  const auto straight = MakeTrainer(straight_model, CrossEntropySettings(1e-3), TrainerOptions());
  Train(*straight, {steps.begin(), steps.begin() + taken + 2}, data);
  Train(*trainer, {steps.begin() + taken, steps.begin() + taken + 2}, data);
  CHECK(LargestDifference(WeightsOf(*straight), WeightsOf(*trainer)) == 0);
}

TEST_CASE("Trainer: a loss or a weight that is not finite is a result with its reason") {
  const TrainData data = Windows(4);
  LanguageModel model = Candidate(7);
  const auto trainer = MakeTrainer(model, CrossEntropySettings(1e30), TrainerOptions());
  const TrainResult result = Train(*trainer, WholeWindowSteps(50, 4), data);
  CHECK_FALSE(result.finite);
  CHECK(result.infeasible_reason.find("training loss became") != std::string::npos);
  CHECK(result.steps < 10);

  LanguageModel last_step_model = Candidate(7);
  const auto last_step = MakeTrainer(last_step_model, CrossEntropySettings(1e39), TrainerOptions());
  const TrainResult last = Train(*last_step, WholeWindowSteps(1, 4), data);
  CHECK(std::isfinite(last.last_loss));
  CHECK_FALSE(last.finite);
  CHECK(last.infeasible_reason.find("weights") != std::string::npos);
}

TEST_CASE("Trainer: what does not fit is refused") {
  const TrainData data = Windows(4);
  LanguageModel model = Candidate(7);
  const auto trainer = MakeTrainer(model, CrossEntropySettings(1e-3), TrainerOptions());
  const auto unknown = trainer->Run({{{9, 0, 24}}}, data, 0, {}, {});
  CHECK(unknown.status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(unknown.status().ToString().find("window 9") != std::string::npos);
  CHECK_FALSE(trainer->Run({{{0, 20, 5}}}, data, 0, {}, {}).ok());

  ModelConfig other = PrunedConfig();
  other.layers[3].ffn_width = 32;
  LanguageModel other_model = RandomLanguageModel(other, 1, torch::kCPU, torch::kFloat32);
  SetKvIndex(other_model);
  const auto state = MakeTrainer(other_model, CrossEntropySettings(1e-3), TrainerOptions())->Save(ContinueState::kFull);
  REQUIRE_OK(state);
  CHECK(trainer->Restore(*state).code() == absl::StatusCode::kInvalidArgument);

  std::string bytes = ToBytes(*state);
  CHECK_FALSE(TrainStateFromBytes(bytes.substr(0, bytes.size() / 2), "a state").ok());
  CHECK_FALSE(TrainStateFromBytes("", "a state").ok());
  bytes.replace(bytes.find("espalier-train-state-1"), 22, "espalier-train-state-9");
  CHECK_FALSE(TrainStateFromBytes(bytes, "a state").ok());
}

TEST_CASE("LayoutOf: as many rows as the tokens fill, in passes of at most the tokens asked for") {
  const std::vector<Step> steps = {{{0, 0, 24}, {1, 0, 24}, {2, 0, 24}},
                                   {{3, 0, 5}, {4, 0, 24}, {5, 0, 24}, {6, 0, 10}}};
  CHECK(LayoutOf(steps, 0) == StepLayout{1, 3, 24});
  CHECK(LayoutOf(steps, 48) == StepLayout{2, 2, 24});
  CHECK(LayoutOf(steps, 10) == StepLayout{3, 1, 24});
  CHECK(Holds({1, 3, 24}, steps[0]));
  CHECK_FALSE(Holds({1, 3, 24}, steps[1]));
  CHECK(Holds({2, 2, 24}, steps[1]));
  CHECK_FALSE(Holds({2, 2, 16}, steps[1]));
}

}  // namespace espalier::testing
