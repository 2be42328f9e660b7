#include "worker/engine/device_room.h"

#include <optional>
#include <string>

#include "tests/support/catch.h"

namespace espalier {
namespace {

// Holders of things of ten bytes, which say in what order they give.
struct Holders {
  int caches = 5, trainers = 3, stuck = 2;
  std::string given;

  std::vector<DeviceRoom::Holder> List(int64_t cache_keep = 0) {
    return {{[this] { return int64_t{10} * caches; }, [this] { return caches > 0 && (--caches, given += "c", true); }, cache_keep},
            {[this] { return int64_t{10} * trainers; }, [this] { return trainers > 0 && (--trainers, given += "t", true); }},
            {[this] { return int64_t{10} * stuck; }, {}}};
  }
};

TEST_CASE("DeviceRoom: holders give only what is needed, the first one first", "[engine]") {
  Holders holders;
  DeviceRoom room(200);
  const auto small = room.Take(100, holders.List());
  CHECK(holders.given.empty());  // 100 held
  CHECK(room.promised() == 100);
  const auto more = room.Take(15, holders.List());
  CHECK(holders.given == "cc");
  const auto most = room.Take(40, holders.List());
  CHECK(holders.given == "ccccct");
}

TEST_CASE("DeviceRoom: what a holder keeps is not asked for, and what nobody gives is promised all the same", "[engine]") {
  Holders holders;
  DeviceRoom room(100);
  const auto hold = room.Take(200, holders.List(/*cache_keep=*/20));
  CHECK(holders.given == "cccttt");
  CHECK(room.promised() == 200);
}

TEST_CASE("DeviceRoom: promises of tasks that run at once add up, and end with them", "[engine]") {
  Holders holders;
  DeviceRoom room(200);
  std::optional<DeviceRoom::Hold> first = room.Take(60, holders.List());
  DeviceRoom::Hold second = room.Take(60, holders.List());
  CHECK(holders.given == "cc");
  first.reset();
  CHECK(room.promised() == 60);
  second = room.Take(0, holders.List());  // the new promise is made before the old one ends
  CHECK(room.promised() == 0);
  DeviceRoom::Hold moved = room.Take(50, {});
  second = std::move(moved);
  moved.Release();
  CHECK(room.promised() == 50);
  second.Release();
  second.Release();
  CHECK(room.promised() == 0);
}

}  // namespace
}  // namespace espalier
