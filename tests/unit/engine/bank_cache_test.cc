#include "worker/engine/bank_cache.h"

#include "common/artifacts/artifact_store.h"
#include "tests/unit/engine/engine_fixture.h"

namespace espalier {
namespace {

using namespace espalier::testing;

TEST_CASE("BankCache: a bank leaves the device for a task that needs the room, and is the same in host memory", "[engine]") {
  TempDir artifacts;
  const JobContext context = TinyContext();
  const auto engine = MakeEngine(artifacts.path());
  const BankReference reference = BuildBank(*engine, context, nullptr);
  const auto store = OpenArtifactStore(artifacts.path(), "");
  REQUIRE_OK(store);
  const auto dense = checkpoint::ReadModelConfig(TinyModel());
  REQUIRE_OK(dense);
  BankCache cache(store->get(), torch::kCPU, int64_t{1} << 30, int64_t{1} << 30);
  const auto get = [&](const std::string& model, BankPlace place) {
    auto bank = cache.Get(reference, model, *dense, context.ladder, place);
    REQUIRE_OK(bank);
    return *std::move(bank);
  };

  const auto first = get("a", BankPlace::kDevice);
  const int64_t bytes = first->device_bytes();
  CHECK(bytes > 0);
  CHECK(first->host_bytes() == 0);
  CHECK(cache.bank_bytes_on_device() == bytes);
  CHECK(get("a", BankPlace::kDevice) == first);
  CHECK(get("a", BankPlace::kAnywhere) == first);

  const auto moved = get("a", BankPlace::kHost);
  CHECK(moved->device_bytes() == 0);
  CHECK(moved->host_bytes() == bytes);
  CHECK(cache.bank_bytes_on_device() == 0);
  for (int layer = 0; layer < moved->num_layers(); ++layer) {
    const auto a = first->PiecesAt(layer, 1, 1), b = moved->PiecesAt(layer, 1, 1);
    REQUIRE_OK(a);
    REQUIRE_OK(b);
    CHECK(torch::equal(a->o_weight, b->o_weight));
    CHECK(torch::equal(a->down_weight, b->down_weight));
    CHECK(torch::equal(a->kept_neurons, b->kept_neurons));
  }
  // It stays there, also when the device is emptied.
  CHECK(get("a", BankPlace::kDevice) == moved);
  cache.Clear();
  CHECK(get("a", BankPlace::kDevice) == moved);

  // Another job's: the one used longest ago goes first.
  get("b", BankPlace::kDevice);
  get("c", BankPlace::kDevice);
  get("b", BankPlace::kDevice);
  CHECK(cache.bank_bytes_on_device() == 2 * bytes);
  CHECK(cache.MoveBankToHost());
  CHECK(get("c", BankPlace::kAnywhere)->device_bytes() == 0);
  CHECK(get("b", BankPlace::kAnywhere)->device_bytes() == bytes);
  CHECK(cache.MoveBankToHost());
  CHECK_FALSE(cache.MoveBankToHost());
  CHECK(get("d", BankPlace::kHost)->device_bytes() == 0);
}

TEST_CASE("BankCache: banks beyond the room of all are forgotten, the one used longest ago first", "[engine]") {
  TempDir artifacts;
  const JobContext context = TinyContext();
  const auto engine = MakeEngine(artifacts.path());
  const BankReference reference = BuildBank(*engine, context, nullptr);
  const auto store = OpenArtifactStore(artifacts.path(), "");
  REQUIRE_OK(store);
  const auto dense = checkpoint::ReadModelConfig(TinyModel());
  REQUIRE_OK(dense);
  BankCache all(store->get(), torch::kCPU, int64_t{1} << 30, int64_t{1} << 30);
  const auto one = all.Get(reference, "", *dense, context.ladder, BankPlace::kDevice);
  REQUIRE_OK(one);
  const int64_t bytes = (*one)->device_bytes();
  BankCache cache(store->get(), torch::kCPU, int64_t{1} << 30, 2 * bytes);
  const auto get = [&](const std::string& model) {
    auto bank = cache.Get(reference, model, *dense, context.ladder, BankPlace::kDevice);
    REQUIRE_OK(bank);
    return *std::move(bank);
  };
  const auto a = get("a"), b = get("b");
  CHECK(get("a") == a);
  get("c");
  CHECK(cache.bank_bytes_on_device() == 2 * bytes);
  CHECK(get("a") == a);
  CHECK(get("b") != b);
  BankCache none(store->get(), torch::kCPU, int64_t{1} << 30, bytes - 1);
  REQUIRE_OK(none.Get(reference, "a", *dense, context.ladder, BankPlace::kDevice));
  CHECK(none.bank_bytes_on_device() == 0);
}

}  // namespace
}  // namespace espalier
