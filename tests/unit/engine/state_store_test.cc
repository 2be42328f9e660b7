#include "worker/engine/state_store.h"

#include <utility>

#include "tests/support/catch.h"
#include "tests/unit/engine/fake_trainer.h"

namespace espalier {
namespace {

using testing::FakeTrainer;

StateKey Key(int number) { return {"job", "mask" + std::to_string(number), "train/0/0/0", 64}; }

StateStoreOptions Budgets(int64_t device_bytes, int64_t host_bytes, int64_t disk_bytes) {
  StateStoreOptions options;
  options.device_bytes = device_bytes;
  options.host_bytes = host_bytes;
  options.disk_bytes = disk_bytes;
  return options;
}

struct Fixture {
  explicit Fixture(StateStoreOptions options) : store(std::move(options)) {}
  void Retain(int number, ContinueState format = ContinueState::kFull) {
    TrainedCandidate candidate;
    candidate.model = std::make_unique<LanguageModel>();
    candidate.trainer = std::make_unique<FakeTrainer>(static_cast<float>(number), &alive);
    store.Retain(Key(number), format, std::move(candidate));
  }
  // "device host disk", oldest state first.
  std::string Locations() const {
    static constexpr const char* kNames[] = {"device", "host", "disk"};
    std::string text;
    for (const RetainedState& state : store.List()) {
      text += (text.empty() ? "" : " ") + std::string(kNames[static_cast<int>(state.location)]);
    }
    return text;
  }
  int alive = 0;
  StateStore store;
};

TEST_CASE("StateStore: states move from the device to the host to the disk and then go, the oldest first", "[engine]") {
  // A live candidate counts 450 bytes, its saved state 300.
  Fixture fixture(Budgets(900, 600, 10'000'000));
  for (int number = 0; number < 6; ++number) fixture.Retain(number);
  REQUIRE(fixture.Locations() == "disk disk host host device device");
  REQUIRE(fixture.alive == 2);

  // Each comes back as what it was, once.
  for (int number = 0; number < 4; ++number) {
    const auto copy = fixture.store.Copy(Key(number));
    REQUIRE(copy.has_value());
    auto held = fixture.store.Take(Key(number));
    REQUIRE(held.has_value());
    REQUIRE(held->state.has_value());
    REQUIRE(held->state->weights[0].item<float>() == static_cast<float>(number));
    REQUIRE(held->state->mask_digest == Key(number).mask_digest);
    REQUIRE(held->state->position == 64);
    REQUIRE_FALSE(fixture.store.Take(Key(number)).has_value());
  }
  {
    const auto live = fixture.store.Take(Key(5));
    REQUIRE(live.has_value());
    REQUIRE(live->candidate.trainer != nullptr);
    REQUIRE(fixture.alive == 2);
  }
  REQUIRE(fixture.alive == 1);
}

TEST_CASE("StateStore: states much smaller than live candidates stay on the device when candidates do not fit", "[engine]") {
  // A live candidate counts 450 bytes, its saved weights 50.
  Fixture fixture(Budgets(600, 1000, 0));
  for (int number = 0; number < 4; ++number) fixture.Retain(number, ContinueState::kWeightsBFloat16);
  CHECK(fixture.Locations() == "device device device device");
  CHECK(fixture.alive == 1);
  const auto parked = fixture.store.Take(Key(0));
  REQUIRE((parked.has_value() && parked->state.has_value()));
  CHECK(parked->state->weights[0].item<float>() == 0.0f);

  // No room for a live one beside so many: all are parked, and beyond the budget the oldest goes to the host.
  for (int number = 4; number < 14; ++number) fixture.Retain(number, ContinueState::kWeightsBFloat16);
  CHECK(fixture.alive == 0);
  CHECK(fixture.Locations() == "host device device device device device device device device device device device device");
  fixture.store.SpillDevice();
  CHECK(fixture.Locations().find("device") == std::string::npos);
}

TEST_CASE("StateStore: without room below, the oldest state is dropped", "[engine]") {
  Fixture fixture(Budgets(450, 300, 0));
  for (int number = 0; number < 3; ++number) fixture.Retain(number);
  REQUIRE(fixture.Locations() == "host device");
  REQUIRE_FALSE(fixture.store.Copy(Key(0)).has_value());
}

TEST_CASE("StateStore: a device that gets tight, or must be emptied, keeps no live candidate", "[engine]") {
  bool is_tight = false;
  StateStoreOptions options = Budgets(10'000, 10'000, 0);
  options.device_is_tight = [&] { return is_tight; };
  Fixture fixture(std::move(options));
  fixture.Retain(0);
  REQUIRE(fixture.Locations() == "device");
  is_tight = true;
  fixture.Retain(1);
  REQUIRE(fixture.Locations() == "host host");
  is_tight = false;
  fixture.Retain(2);
  fixture.store.SpillDevice();
  REQUIRE(fixture.Locations() == "host host host");
  REQUIRE(fixture.alive == 0);
}

TEST_CASE("StateStore: what lies on the device moves to the host one by one, the oldest first", "[engine]") {
  Fixture fixture(Budgets(10'000, 600, 10'000'000));
  for (int number = 0; number < 4; ++number) fixture.Retain(number);
  CHECK(fixture.store.device_bytes() == 4 * 450);
  CHECK(fixture.store.MoveOneToHost());
  CHECK(fixture.Locations() == "host device device device");
  CHECK(fixture.store.device_bytes() == 3 * 450);
  while (fixture.store.MoveOneToHost()) {
  }
  CHECK(fixture.Locations() == "disk disk host host");  // the host has room for two
  CHECK(fixture.store.device_bytes() == 0);
  CHECK(fixture.alive == 0);
  const auto held = fixture.store.Take(Key(3));
  REQUIRE((held.has_value() && held->state.has_value()));
  CHECK(held->state->weights[0].item<float>() == 3.0F);
}

TEST_CASE("StateStore: what may go is forgotten at once and destroyed by the next task", "[engine]") {
  Fixture fixture(Budgets(10'000, 10'000, 0));
  for (int number = 0; number < 3; ++number) fixture.Retain(number);
  fixture.store.KeepOnly({Key(1), Key(77)});
  REQUIRE(fixture.store.List().size() == 1);
  REQUIRE(fixture.store.List()[0].key == Key(1));
  REQUIRE(fixture.alive == 3);
  fixture.Retain(2);  // trained again before the sweep: this one stays
  REQUIRE(fixture.store.List().size() == 2);
  fixture.store.Sweep();
  REQUIRE(fixture.store.List().size() == 2);
  REQUIRE(fixture.alive == 2);
}

}  // namespace
}  // namespace espalier
