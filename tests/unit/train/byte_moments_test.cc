// Moments of one byte: their values, their rounding, and that training with them is training.
#include "worker/train/byte_moments.h"

#include <ATen/ops/randn.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/support/catch.h"
#include "tests/unit/train/train_fixtures.h"
#include "worker/train/adamw.h"
#include "worker/train/stochastic_rounding.h"

namespace espalier::testing {
namespace {

constexpr MomentKind kKinds[] = {MomentKind::kFirst, MomentKind::kSecond};

struct Quantized {
  torch::Tensor codes, scales;
};

Quantized Quantize(MomentKind kind, const torch::Tensor& values, const torch::Tensor& bits) {
  Quantized result{torch::empty({values.numel()}, torch::kUInt8),
                   torch::empty({(values.numel() + kMomentBlock - 1) / kMomentBlock}, torch::kFloat32)};
  QuantizeMoments(kind, values, bits, result.codes, result.scales);
  return result;
}

torch::Tensor Nearest(int64_t count) { return torch::full({count}, 0x8000, torch::kInt64); }

// Magnitudes over six powers of ten, as gradients have them.
torch::Tensor Spread(MomentKind kind, int64_t count) {
  torch::manual_seed(3);
  const torch::Tensor values = at::randn({count}) * (at::randn({count}) * 3).exp();
  return kind == MomentKind::kFirst ? values : values.square();
}

}  // namespace

TEST_CASE("MomentValues: 256 ascending values with 0 and both ends, denser towards 0") {
  for (const MomentKind kind : kKinds) {
    const std::array<float, 256>& values = MomentValues(kind);
    CHECK(std::is_sorted(values.begin(), values.end()));
    CHECK(std::adjacent_find(values.begin(), values.end()) == values.end());
    CHECK(values.front() == (kind == MomentKind::kFirst ? -1.0f : 0.0f));
    CHECK(values.back() == 1.0f);
    CHECK(std::count(values.begin(), values.end(), 0.0f) == 1);
    CHECK(*std::upper_bound(values.begin(), values.end(), 0.0f) < 1e-6f);
    CHECK(values[255] - values[254] < 0.0075f);
  }
}

TEST_CASE("QuantizeMoments: what was expanded is exact the next time, a block's largest always is, and errors stay relative") {
  for (const MomentKind kind : kKinds) {
    const int64_t count = 5 * kMomentBlock + 17;  // the last block is cut
    const torch::Tensor values = Spread(kind, count);
    const Quantized first = Quantize(kind, values, Nearest(count));
    const torch::Tensor expanded = ExpandMoments(kind, first.codes, first.scales);
    const Quantized second = Quantize(kind, expanded, Nearest(count));
    CHECK(torch::equal(first.codes, second.codes));
    CHECK(torch::equal(first.scales, second.scales));
    for (int64_t block = 0; block < 6; ++block) {
      const int64_t length = std::min(kMomentBlock, count - block * kMomentBlock);
      const torch::Tensor of_block = values.narrow(0, block * kMomentBlock, length);
      const torch::Tensor largest = of_block.abs().argmax();
      CHECK(expanded.narrow(0, block * kMomentBlock, length)[largest.item<int64_t>()].item<float>() ==
            of_block[largest.item<int64_t>()].item<float>());
    }
    const torch::Tensor scale = first.scales.repeat_interleave(kMomentBlock).narrow(0, 0, count);
    // Nowhere off by more than half of the widest gap, next to -1, and in the mean by far less.
    const torch::Tensor off = (expanded - values).abs() / scale;
    CHECK(off.max().item<float>() < 0.011f);
    CHECK(off.mean().item<float>() < 0.001f);
  }
}

TEST_CASE("QuantizeMoments: random bits keep the mean, and zeros are zeros") {
  for (const MomentKind kind : kKinds) {
    const int64_t count = 400 * kMomentBlock;
    for (const double value : {0.31234, 0.0123456, 3.3e-5}) {
      torch::Tensor values = torch::full({count}, value, torch::kFloat32);
      values.view({-1, kMomentBlock}).select(1, 0).fill_(1);
      values.view({-1, kMomentBlock}).select(1, 1).fill_(0);
      const torch::Tensor bits = BitsFor(Rounded::kFirstMoment, RoundingBits(0, count, torch::full({}, 7.0f)));
      const Quantized found = Quantize(kind, values, bits);
      const torch::Tensor expanded = ExpandMoments(kind, found.codes, found.scales).view({-1, kMomentBlock});
      CHECK(expanded.select(1, 0).eq(1).all().item<bool>());
      CHECK(expanded.select(1, 1).eq(0).all().item<bool>());
      // Five standard deviations where the neighbours are furthest apart, relative to the value: 2.3e-5 at 3.3e-5.
      CHECK(expanded.narrow(1, 2, kMomentBlock - 2).to(torch::kFloat64).mean().item<double>() == Approx(value).epsilon(6e-3));
    }
  }
}

TEST_CASE("QuantizeMoments: a second moment above zero never becomes zero, a block of zeros stays one") {
  torch::Tensor values = torch::full({2 * kMomentBlock}, 1e-12, torch::kFloat32);
  values[0] = 1;
  values.narrow(0, kMomentBlock, kMomentBlock).zero_();
  const Quantized found = Quantize(MomentKind::kSecond, values, torch::full({2 * kMomentBlock}, 0xffff, torch::kInt64));
  const torch::Tensor expanded = ExpandMoments(MomentKind::kSecond, found.codes, found.scales);
  CHECK(expanded.narrow(0, 0, kMomentBlock).min().item<float>() > 0);
  CHECK(expanded.narrow(0, kMomentBlock, kMomentBlock).abs().max().item<float>() == 0);
  CHECK(found.scales[1].item<float>() == 0);
}

TEST_CASE("FlatAdamW: a training state moves between formats of moments, bytes to bytes exactly") {
  LanguageModel model = Candidate(3);
  const FlatParameters parameters = FlattenParameters(model);
  FlatAdamW wide(parameters, CrossEntropySettings(1e-3), MomentsFormat::kFloat32);
  FlatAdamW bytes(parameters, CrossEntropySettings(1e-3), MomentsFormat::kByte);
  FlatAdamW again(parameters, CrossEntropySettings(1e-3), MomentsFormat::kByte);
  const torch::Tensor first = Spread(MomentKind::kFirst, parameters.size()), second = Spread(MomentKind::kSecond, parameters.size());
  REQUIRE(bytes.SetMoments(first, {}, second, {}));
  REQUIRE(wide.SetMoments(bytes.first_moments(), bytes.first_scales(), bytes.second_moments(), bytes.second_scales()));
  REQUIRE(again.SetMoments(wide.first_moments(), {}, wide.second_moments(), {}));
  for (size_t leaf = 0; leaf < parameters.leaves.size(); ++leaf) {  // what lies between leaves is nobody's
    const int64_t begin = parameters.offsets[leaf], length = parameters.leaves[leaf].numel();
    CHECK(torch::equal(again.first_moments().narrow(0, begin, length), bytes.first_moments().narrow(0, begin, length)));
    CHECK(torch::equal(again.second_moments().narrow(0, begin, length), bytes.second_moments().narrow(0, begin, length)));
    const torch::Tensor given = first.narrow(0, begin, length);
    CHECK(LargestDifference(wide.first_moments().narrow(0, begin, length), given) <= 0.011 * given.abs().max().item<double>());
  }
  CHECK(torch::equal(again.first_scales(), bytes.first_scales()));
  CHECK_FALSE(bytes.SetMoments(first.narrow(0, 1, 64), {}, second, {}));
  CHECK_FALSE(wide.SetMoments(bytes.first_moments(), {}, bytes.second_moments(), {}));
}

TEST_CASE("ForgetTraining: moments of one byte become zeros, not what their lowest byte stands for") {
  LanguageModel model = Candidate(3);
  const FlatParameters parameters = FlattenParameters(model);
  FlatAdamW bytes(parameters, CrossEntropySettings(1e-3), MomentsFormat::kByte);
  FlatAdamW wide(parameters, CrossEntropySettings(1e-3), MomentsFormat::kFloat32);
  REQUIRE(bytes.SetMoments(Spread(MomentKind::kFirst, parameters.size()), {}, Spread(MomentKind::kSecond, parameters.size()), {}));
  TrainState state;
  state.weights = bytes.master();
  state.steps_taken = state.moment_steps = 9;
  state.first_moments = bytes.first_moments();
  state.first_scales = bytes.first_scales();
  state.second_moments = bytes.second_moments();
  state.second_scales = bytes.second_scales();
  ForgetTraining(state);
  CHECK(state.steps_taken + state.moment_steps == 0);
  REQUIRE(wide.SetMoments(state.first_moments, state.first_scales, state.second_moments, state.second_scales));
  CHECK(wide.first_moments().abs().max().item<float>() == 0);
  CHECK(wide.second_moments().abs().max().item<float>() == 0);
  CHECK(bytes.first_scales().max().item<float>() > 0);  // whose tensors they were keeps them
}

TEST_CASE("Trainer: with moments of one byte the loss falls as with moments in fp32") {
  const TrainData data = Windows(6);
  std::vector<double> losses;
  for (const MomentsFormat moments : {MomentsFormat::kFloat32, MomentsFormat::kByte}) {
    LanguageModel model = Candidate(9);
    TrainerOptions options;
    options.moments = moments;
    const auto trainer = MakeTrainer(model, CrossEntropySettings(2e-3), options);
    losses.push_back(Train(*trainer, WholeWindowSteps(120, 6), data).last_loss);
  }
  INFO("fp32 " << losses[0] << ", bytes " << losses[1]);
  CHECK(losses[0] < 1.0);
  CHECK(std::abs(losses[1] - losses[0]) < 0.15);
}

}  // namespace espalier::testing
