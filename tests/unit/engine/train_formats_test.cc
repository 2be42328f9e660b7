#include "worker/engine/train_formats.h"

#include "tests/support/catch.h"

namespace espalier::testing {
namespace {

constexpr int64_t kParameters = 1'000'000;
// A window takes as much as 7 bytes a parameter, or as 1 where its activations are computed again.
constexpr int64_t kWindow = 7 * kParameters, kRecomputed = kParameters;

TrainFormats With(int64_t bytes_per_parameter, bool has_kernel = true) {
  return ChooseTrainFormats(kParameters, has_kernel, {bytes_per_parameter * kParameters, kWindow, kRecomputed});
}

bool Are(const TrainFormats& found, MastersFormat masters, MomentsFormat moments, int64_t bytes) {
  return found.masters == masters && found.moments == moments && found.bytes_per_parameter == bytes;
}

}  // namespace

TEST_CASE("ChooseTrainFormats: the widest moments that leave a window's activations") {
  CHECK(Are(With(23), MastersFormat::kFloat32, MomentsFormat::kFloat32, 16));
  CHECK(Are(With(22), MastersFormat::kFloat32, MomentsFormat::kBFloat16, 12));
  CHECK(Are(With(18), MastersFormat::kFloat32, MomentsFormat::kByte, 11));
  CHECK(Are(With(23, false), MastersFormat::kFloat32, MomentsFormat::kBFloat16, 12));
  CHECK(Are(With(27, false), MastersFormat::kFloat32, MomentsFormat::kFloat32, 20));
}

TEST_CASE("ChooseTrainFormats: fp32 masters are given up only where activations that are computed again leave no room either") {
  CHECK(Are(With(17), MastersFormat::kFloat32, MomentsFormat::kByte, 11));
  CHECK(Are(With(12), MastersFormat::kFloat32, MomentsFormat::kByte, 11));
  CHECK(Are(With(11), MastersFormat::kBFloat16, MomentsFormat::kBFloat16, 8));
  CHECK(Are(With(9), MastersFormat::kBFloat16, MomentsFormat::kBFloat16, 8));
  CHECK(Are(With(8), MastersFormat::kBFloat16, MomentsFormat::kByte, 7));
}

TEST_CASE("ChooseTrainFormats: the leanest where nothing leaves room, and it is what a parameter costs at least") {
  CHECK(Are(With(1), MastersFormat::kBFloat16, MomentsFormat::kByte, LeastTrainingBytes()));
  CHECK(Are(With(-5), MastersFormat::kBFloat16, MomentsFormat::kByte, LeastTrainingBytes()));
}

TEST_CASE("Describe: says whether there are masters") {
  CHECK(Describe(MastersFormat::kFloat32, MomentsFormat::kFloat32) == "fp32 masters, moments in float32");
  CHECK(Describe(MastersFormat::kBFloat16, MomentsFormat::kByte) == "bf16 weights rounded stochastically without masters, moments in 8 bits");
}

}  // namespace espalier::testing
