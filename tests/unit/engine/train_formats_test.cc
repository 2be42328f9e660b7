#include "worker/engine/train_formats.h"

#include "tests/support/catch.h"
#include "worker/engine/training_memory.h"

namespace espalier::testing {
namespace {

constexpr int64_t kParameters = 1'000'000;

// A step of one window, which takes as much as 7 bytes a parameter, or as 1 where its activations are computed again.
TrainingPlan With(int64_t bytes_per_parameter, bool has_kernel = true) {
  TrainingDemand demand;
  demand.parameters = kParameters;
  demand.activation_bytes = 7 * kParameters;
  demand.recomputed_bytes = kParameters;
  demand.window_tokens = demand.step_tokens = 1;
  demand.has_fused_optimizer = has_kernel;
  return PlanTraining(demand, {}, (bytes_per_parameter * kParameters + 2 * kWorkingBytes) / 92 * 100 + 200, 1);
}

bool Are(const TrainingPlan& found, MastersFormat masters, MomentsFormat moments, int64_t bytes, bool recomputed) {
  return found.masters == masters && found.moments == moments && found.state_bytes == bytes * kParameters &&
         found.recompute_activations == recomputed;
}

}  // namespace

TEST_CASE("FormatChoices: the widest moments that leave a window's activations") {
  CHECK(Are(With(23), MastersFormat::kFloat32, MomentsFormat::kFloat32, 16, false));
  CHECK(Are(With(22), MastersFormat::kFloat32, MomentsFormat::kBFloat16, 12, false));
  CHECK(Are(With(18), MastersFormat::kFloat32, MomentsFormat::kByte, 11, false));
  CHECK(Are(With(23, false), MastersFormat::kFloat32, MomentsFormat::kBFloat16, 12, false));
  CHECK(Are(With(27, false), MastersFormat::kFloat32, MomentsFormat::kFloat32, 20, false));
}

TEST_CASE("FormatChoices: fp32 masters are given up only where activations that are computed again leave no room either") {
  CHECK(Are(With(17), MastersFormat::kFloat32, MomentsFormat::kByte, 11, true));
  CHECK(Are(With(12), MastersFormat::kFloat32, MomentsFormat::kByte, 11, true));
  CHECK(Are(With(11), MastersFormat::kBFloat16, MomentsFormat::kBFloat16, 8, true));
  CHECK(Are(With(9), MastersFormat::kBFloat16, MomentsFormat::kBFloat16, 8, true));
  CHECK(Are(With(8), MastersFormat::kBFloat16, MomentsFormat::kByte, 7, true));
}

TEST_CASE("FormatChoices: the leanest where nothing leaves room, and it is what a parameter costs at least") {
  CHECK(Are(With(1), MastersFormat::kBFloat16, MomentsFormat::kByte, LeastTrainingBytes(), true));
  CHECK(Are(With(-5), MastersFormat::kBFloat16, MomentsFormat::kByte, LeastTrainingBytes(), true));
}

TEST_CASE("Describe: says whether there are masters") {
  CHECK(Describe(MastersFormat::kFloat32, MomentsFormat::kFloat32) == "fp32 masters, moments in float32");
  CHECK(Describe(MastersFormat::kBFloat16, MomentsFormat::kByte) == "bf16 weights rounded stochastically without masters, moments in 8 bits");
}

}  // namespace espalier::testing
