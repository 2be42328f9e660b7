#include "worker/train/stochastic_rounding.h"

#include <cmath>
#include <limits>

#include "tests/support/catch.h"
#include "tests/unit/train/train_fixtures.h"

namespace espalier::testing {
namespace {

torch::Tensor Rounded16(const torch::Tensor& from, Rounded what, float step) {
  const torch::Tensor to = torch::empty(from.sizes(), torch::kBFloat16);
  RoundStochastically(from, to, BitsFor(what, RoundingBits(0, from.numel(), torch::full({}, step))));
  return to;
}

constexpr Rounded kAll[] = {Rounded::kFirstMoment, Rounded::kSecondMoment, Rounded::kWeight};

}  // namespace

TEST_CASE("RoundingBits: splitmix64 of element and step, a share for each of what is rounded") {
  const torch::Tensor bits = RoundingBits(1000, 50, torch::full({}, 12.0f));
  for (int64_t i = 0; i < 50; ++i) {
    uint64_t z = static_cast<uint64_t>(1000 + i) * 0x9e3779b97f4a7c15ull + (uint64_t{12} << 40) + 12;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    z = (z ^ (z >> 31)) >> 16;
    CHECK(bits[i].item<int64_t>() == static_cast<int64_t>(z));
    CHECK(BitsFor(Rounded::kFirstMoment, bits)[i].item<int64_t>() == static_cast<int64_t>(z & 0xffff));
    CHECK(BitsFor(Rounded::kSecondMoment, bits)[i].item<int64_t>() == static_cast<int64_t>((z >> 16) & 0xffff));
    CHECK(BitsFor(Rounded::kWeight, bits)[i].item<int64_t>() == static_cast<int64_t>(z >> 32));
  }
}

TEST_CASE("RoundStochastically: keeps the mean, whatever the bits are for and at any step") {
  for (const Rounded what : kAll) {
    for (const double value : {1.001, -3.0003, 2.5e-9}) {
      const torch::Tensor from = torch::full({100000}, value, torch::kFloat32);
      for (const float step : {1.0f, 2.0f, 70000.0f}) {
        const torch::Tensor to = Rounded16(from, what, step);
        CHECK(to.to(torch::kFloat64).mean().item<double>() == Approx(value).epsilon(1e-4));
        CHECK(LargestDifference(to, from) < std::abs(value) / 128);
      }
    }
  }
}

TEST_CASE("RoundStochastically: what bf16 holds, infinities and NaNs stay what they are") {
  torch::Tensor from = torch::full({4096}, 1.5, torch::kFloat32);
  CHECK(LargestDifference(Rounded16(from, Rounded::kWeight, 3), from) == 0);
  from.fill_(-std::numeric_limits<float>::infinity());
  CHECK(Rounded16(from, Rounded::kWeight, 3).to(torch::kFloat32).eq(from).all().item<bool>());
  from.view(torch::kInt32).fill_(0x7fffffff);  // a GPU's NaN, which a carry would make a zero
  CHECK(Rounded16(from, Rounded::kWeight, 3).isnan().all().item<bool>());
}

}  // namespace espalier::testing
