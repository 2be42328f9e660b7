// AdamW without fp32 masters: bf16 weights that are rounded stochastically go where fp32 ones go, on average, and exactly the same way
// whenever they start from the same state.
#include <ATen/ops/randn.h>

#include <cmath>
#include <vector>

#include "tests/support/catch.h"
#include "tests/unit/train/train_fixtures.h"
#include "worker/train/adamw.h"

namespace espalier::testing {
namespace {

constexpr MomentsFormat kMoments[] = {MomentsFormat::kFloat32, MomentsFormat::kBFloat16, MomentsFormat::kByte};
constexpr int64_t kElements = int64_t{1} << 16;
constexpr double kWeight = 0.037109375;      // bf16 holds it
constexpr double kUnit = 1.0 / (1 << 12);    // of bf16 at this weight
constexpr int kSteps = 10;

// One leaf of equal weights.
FlatParameters EqualWeights() {
  FlatParameters parameters;
  parameters.flat = torch::full({kElements}, kWeight, torch::kBFloat16);
  parameters.leaves = {parameters.flat.view({kElements / 64, 64})};
  parameters.offsets = {0};
  parameters.num_parameters = kElements;
  return parameters;
}

// The masters after kSteps with this gradient for every element.
torch::Tensor Optimized(MastersFormat masters, MomentsFormat moments, double gradient, double rate, double weight_decay,
                        int64_t steps_before = 0) {
  const FlatParameters parameters = EqualWeights();
  TrainSettings settings = CrossEntropySettings(rate);
  settings.weight_decay = weight_decay;
  FlatAdamW optimizer(parameters, settings, moments, masters);
  optimizer.SetSteps(0, steps_before);
  for (int step = 0; step < kSteps; ++step) {
    const torch::Tensor all = torch::full({kElements / 64, 64}, gradient, torch::kBFloat16);
    optimizer.Step({gradient == 0 ? torch::Tensor() : all}, torch::tensor(rate, optimizer.LearningRateDtype()));
  }
  CHECK(optimizer.master().is_same(parameters.flat) == (masters == MastersFormat::kBFloat16));
  return optimizer.master().to(torch::kFloat64);
}

struct Formats {
  MastersFormat masters;
  MomentsFormat moments;
};
const std::vector<Formats> kAllFormats = {
    {MastersFormat::kFloat32, MomentsFormat::kFloat32},   {MastersFormat::kFloat32, MomentsFormat::kBFloat16},
    {MastersFormat::kFloat32, MomentsFormat::kByte},      {MastersFormat::kBFloat16, MomentsFormat::kFloat32},
    {MastersFormat::kBFloat16, MomentsFormat::kBFloat16}, {MastersFormat::kBFloat16, MomentsFormat::kByte}};

TrainerOptions OptionsOf(const Formats& formats) {
  TrainerOptions options;
  options.masters = formats.masters;
  options.moments = formats.moments;
  return options;
}

}  // namespace

TEST_CASE("FlatAdamW: bf16 weights without masters move on average by steps and by decay far below half their unit") {
  struct Case {
    double gradient, rate, weight_decay;
  };
  // A twenty-fifth of the unit a step; a hundredth, by decay alone; both, against each other.
  for (const Case& each : {Case{0.5, 1e-5, 0}, Case{0, 6.6e-4, 0.1}, Case{-0.5, 1e-5, 5}}) {
    for (const MomentsFormat moments : kMoments) {
      const torch::Tensor wide = Optimized(MastersFormat::kFloat32, moments, each.gradient, each.rate, each.weight_decay);
      const torch::Tensor lean = Optimized(MastersFormat::kBFloat16, moments, each.gradient, each.rate, each.weight_decay);
      const double moved = wide.mean().item<double>() - kWeight;
      REQUIRE(std::abs(moved) > 0.05 * kUnit);
      REQUIRE(std::abs(moved) < 0.5 * kUnit);  // to nearest it would be none of it
      // Of each element at most kSteps * kUnit^2 / 4: five standard deviations of the mean.
      CHECK(std::abs((lean - wide).mean().item<double>()) < 5 * kUnit * std::sqrt(kSteps / 4.0 / kElements));
      CHECK(lean.ne(kWeight).any().item<bool>());
      CHECK(lean.eq(kWeight).any().item<bool>());
    }
  }
}

TEST_CASE("FlatAdamW: bf16 weights without gradient and decay stay bitwise what they are") {
  for (const MomentsFormat moments : kMoments) {
    CHECK(Optimized(MastersFormat::kBFloat16, moments, 0, 1e-3, 0).eq(kWeight).all().item<bool>());
  }
}

TEST_CASE("FlatAdamW: how bf16 weights are rounded is a function of the element and of all steps before") {
  const auto run = [](int64_t steps_before) {
    return Optimized(MastersFormat::kBFloat16, MomentsFormat::kBFloat16, 0.5, 1e-5, 0, steps_before);
  };
  const torch::Tensor first = run(0);
  CHECK(torch::equal(first, run(0)));
  const torch::Tensor later = run(kSteps);
  // Each moves with probability 0.34 or so, independently of the other: together in an eighth of the elements.
  const auto share = [](const torch::Tensor& moved) { return moved.to(torch::kFloat64).mean().item<double>(); };
  const torch::Tensor moved_first = first.ne(kWeight), moved_later = later.ne(kWeight);
  CHECK(share(moved_first & moved_later) == Approx(share(moved_first) * share(moved_later)).margin(0.01));
}

TEST_CASE("Trainer: bf16 weights without masters learn as ones with masters do") {
  const TrainData data = Windows(6);
  const auto last_loss = [&](const Formats& formats) {
    LanguageModel model = Candidate(9, torch::kBFloat16);
    const auto trainer = MakeTrainer(model, CrossEntropySettings(2e-3), OptionsOf(formats));
    const TrainResult result = Train(*trainer, WholeWindowSteps(120, 6), data);
    CHECK(result.first_loss > 3.5);
    return result.last_loss;
  };
  const double with_masters = last_loss({MastersFormat::kFloat32, MomentsFormat::kFloat32});
  CHECK(with_masters < 1.0);
  for (const MomentsFormat moments : kMoments) {
    CHECK(last_loss({MastersFormat::kBFloat16, moments}) == Approx(with_masters).margin(0.05));
  }
}

TEST_CASE("Trainer: in every format, a run that stopped and went on takes bitwise the way of a run straight through") {
  const TrainData data = Windows(7);
  const std::vector<Step> steps = MixedSteps();
  for (const Formats& formats : kAllFormats) {
    TrainSettings settings = CrossEntropySettings(1e-3);
    settings.weight_decay = 0.1;
    LanguageModel straight_model = Candidate(7, torch::kBFloat16), first_model = Candidate(7, torch::kBFloat16);
    LanguageModel second_model = Candidate(8, torch::kBFloat16);
    const auto straight = MakeTrainer(straight_model, settings, OptionsOf(formats));
    const auto first = MakeTrainer(first_model, settings, OptionsOf(formats));
    const auto second = MakeTrainer(second_model, settings, OptionsOf(formats));
    REQUIRE_OK(straight->Run(steps, data, 9, {}, {}));
    REQUIRE_OK(first->Run({steps.begin(), steps.begin() + 4}, data, 9, {}, {}));
    REQUIRE_OK(second->Run({steps.begin(), steps.begin() + 2}, data, 9, {}, {}));  // a used one
    const auto state = first->Save(ContinueState::kFull);
    REQUIRE_OK(state);
    CHECK(state->bytes() == first->state_bytes(ContinueState::kFull));
    const bool is_lean = formats.masters == MastersFormat::kBFloat16;
    CHECK(state->weights.scalar_type() == (is_lean ? torch::kBFloat16 : torch::kFloat32));
    const auto read = TrainStateFromBytes(ToBytes(*state), "a state");
    REQUIRE_OK(read);
    CHECK(read->weights.scalar_type() == state->weights.scalar_type());
    REQUIRE_OK(second->Restore(*read));
    REQUIRE_OK(second->Run({steps.begin() + 4, steps.end()}, data, 9, {}, {}));
    CHECK(torch::equal(WeightsOf(*straight), WeightsOf(*second)));
  }
}

TEST_CASE("Trainer: in every format, a state reduced to bf16 weights goes on as one that was rounded in place") {
  const TrainData data = Windows(7);
  for (const Formats& formats : kAllFormats) {
    LanguageModel kept_model = Candidate(7, torch::kBFloat16), restored_model = Candidate(8, torch::kBFloat16);
    const auto kept = MakeTrainer(kept_model, CrossEntropySettings(1e-3), OptionsOf(formats));
    const auto restored = MakeTrainer(restored_model, CrossEntropySettings(1e-3), OptionsOf(formats));
    Train(*kept, MixedSteps(), data);
    const auto state = kept->SaveOnDevice(ContinueState::kWeightsBFloat16);
    REQUIRE_OK(state);
    const torch::Tensor then = state->weights.clone();
    const auto read = TrainStateFromBytes(ToBytes(*state), "a state");
    REQUIRE_OK(read);
    REQUIRE_OK(restored->Restore(*read));
    REQUIRE_OK(kept->RoundAsRetained(ContinueState::kWeightsBFloat16));
    Train(*kept, MixedSteps(), data);
    Train(*restored, MixedSteps(), data);
    CHECK(torch::equal(WeightsOf(*kept), WeightsOf(*restored)));
    CHECK(torch::equal(state->weights, then));  // the state shares nothing with the weights that went on
    CHECK_FALSE(torch::equal(WeightsOf(*kept).to(torch::kBFloat16), then));
  }
}

TEST_CASE("Trainer: in every format, one that begins again with fresh weights takes bitwise the way of a new one") {
  const TrainData data = Windows(7);
  const LanguageModel fresh = Candidate(7, torch::kBFloat16);
  for (const Formats& formats : kAllFormats) {
    LanguageModel used_model = Candidate(8, torch::kBFloat16), new_model = Candidate(7, torch::kBFloat16);
    const auto used = MakeTrainer(used_model, CrossEntropySettings(1e-3), OptionsOf(formats));
    const auto made_new = MakeTrainer(new_model, CrossEntropySettings(1e-3), OptionsOf(formats));
    Train(*used, MixedSteps(), data);
    REQUIRE_OK(used->BeginAgain(fresh));
    Train(*used, MixedSteps(), data);
    Train(*made_new, MixedSteps(), data);
    CHECK(torch::equal(WeightsOf(*used), WeightsOf(*made_new)));
  }
}

TEST_CASE("Trainer: a state moves between trainers with and without masters, to bf16 weights by one rounding to nearest") {
  const TrainData data = Windows(7);
  LanguageModel wide_model = Candidate(7, torch::kBFloat16), lean_model = Candidate(8, torch::kBFloat16);
  const auto wide = MakeTrainer(wide_model, CrossEntropySettings(1e-3), {});
  const auto lean = MakeTrainer(lean_model, CrossEntropySettings(1e-3), OptionsOf({MastersFormat::kBFloat16, MomentsFormat::kByte}));
  Train(*wide, MixedSteps(), data);
  const auto from_wide = wide->Save(ContinueState::kFull);
  REQUIRE_OK(from_wide);
  REQUIRE_OK(lean->Restore(*from_wide));
  CHECK(torch::equal(WeightsOf(*lean), from_wide->weights.to(torch::kBFloat16)));
  Train(*lean, MixedSteps(), data);
  const auto from_lean = lean->Save(ContinueState::kFull);
  REQUIRE_OK(from_lean);
  REQUIRE_OK(wide->Restore(*from_lean));
  CHECK(torch::equal(WeightsOf(*wide), from_lean->weights.to(torch::kFloat32)));
}

TEST_CASE("Trainer: masters in bf16 are refused for a candidate in fp32, and a weight that is lost is still seen") {
  LanguageModel floats = Candidate(7);
  const TrainerOptions lean = OptionsOf({MastersFormat::kBFloat16, MomentsFormat::kBFloat16});
  const auto refused = Trainer::Create(&floats, CrossEntropySettings(1e-3), lean);
  CHECK(absl::IsInvalidArgument(refused.status()));
  LanguageModel model = Candidate(7, torch::kBFloat16);
  const auto trainer = MakeTrainer(model, CrossEntropySettings(1e39), lean);
  const TrainResult result = Train(*trainer, WholeWindowSteps(1, 4), Windows(4));
  CHECK(std::isfinite(result.last_loss));
  CHECK_FALSE(result.finite);
}

}  // namespace espalier::testing
