#include "worker/train/stochastic_rounding.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/where.h>

namespace espalier {
namespace {

torch::Tensor ShiftedDown(const torch::Tensor& bits, int64_t count) {  // as an unsigned number
  return bits.__rshift__(count).bitwise_and_((int64_t{1} << (64 - count)) - 1);
}

}  // namespace

// The finalizer of splitmix64 (Steele et al. 2014), as in adamw_source.h.
torch::Tensor RoundingBits(int64_t first, int64_t count, const torch::Tensor& step) {
  const torch::Tensor of_step = step.to(torch::kInt64);
  const torch::Tensor z = at::arange(first, first + count, of_step.options()).mul_(static_cast<int64_t>(0x9e3779b97f4a7c15ull));
  z.add_(of_step.__lshift__(40)).add_(of_step);
  z.bitwise_xor_(ShiftedDown(z, 30)).mul_(static_cast<int64_t>(0xbf58476d1ce4e5b9ull));
  z.bitwise_xor_(ShiftedDown(z, 27)).mul_(static_cast<int64_t>(0x94d049bb133111ebull));
  z.bitwise_xor_(ShiftedDown(z, 31));
  return ShiftedDown(z, 16);
}

torch::Tensor BitsFor(Rounded what, const torch::Tensor& bits) {
  const int64_t first = what == Rounded::kFirstMoment ? 0 : what == Rounded::kSecondMoment ? 16 : 32;
  return bits.__rshift__(first).bitwise_and_(0xffff);
}

// bf16 is the upper half of fp32's bits: adding 16 random bits below and cutting them off rounds up with the right
// probability, for either sign. Only a NaN could be carried into something else.
void RoundStochastically(const torch::Tensor& from_float, const torch::Tensor& to_bfloat16, const torch::Tensor& bits) {
  const torch::Tensor sum = bits.to(torch::kInt32, /*non_blocking=*/false, /*copy=*/true);
  sum.add_(from_float.view(torch::kInt32)).bitwise_and_(static_cast<int32_t>(0xffff0000));
  to_bfloat16.copy_(at::where(from_float.isnan(), from_float, sum.view(torch::kFloat32)));
}

}  // namespace espalier
