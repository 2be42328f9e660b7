#include "client/run/recovery_check.h"

#include "tests/support/catch.h"

namespace espalier {
namespace {

TEST_CASE("Recovery check: the largest of the GPUs that workers will get, by the worker's own answer", "[client]") {
  const char two[] = R"({"libtorch": "2.11", "cuda_devices": [{"memory_bytes": 24000000000}, {"memory_bytes": 80000000000}]})";
  CHECK(LargestCudaDevice(two, 1) == 24'000'000'000);
  CHECK(LargestCudaDevice(two, 2) == 80'000'000'000);
  CHECK(LargestCudaDevice(two, 8) == 80'000'000'000);
}

TEST_CASE("Recovery check: what cannot be known refuses nothing", "[client]") {
  CHECK(LargestCudaDevice("", 1) == std::nullopt);
  CHECK(LargestCudaDevice("Segmentation fault", 1) == std::nullopt);
  CHECK(LargestCudaDevice(R"({"libtorch": "2.11", "cuda_devices": []})", 1) == std::nullopt);
  CHECK(LargestCudaDevice(R"({"cuda_devices": [{"name": "A card"}]})", 1) == std::nullopt);
  CHECK(LargestCudaDevice(R"({"cuda_devices": "none"})", 1) == std::nullopt);
}

}  // namespace
}  // namespace espalier
