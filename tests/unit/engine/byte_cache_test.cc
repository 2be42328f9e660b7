#include "worker/engine/byte_cache.h"

#include "tests/support/catch.h"

namespace espalier {
namespace {

struct Maker {
  int made = 0;
  ByteCache<int>::Made Make(int value, int64_t bytes) {
    ++made;
    return {std::make_shared<const int>(value), bytes};
  }
};

TEST_CASE("ByteCache: keeps what fits and forgets the value used longest ago", "[engine]") {
  ByteCache<int> cache(100);
  Maker maker;
  const auto get = [&](const std::string& key, int value, int64_t bytes) {
    const auto result =
        cache.Get(key, [&]() -> absl::StatusOr<ByteCache<int>::Made> { return maker.Make(value, bytes); });
    REQUIRE_OK(result);
    return **result;
  };
  REQUIRE(get("a", 1, 40) == 1);
  REQUIRE(get("b", 2, 40) == 2);
  REQUIRE(get("a", 9, 40) == 1);  // held: not made again
  REQUIRE(maker.made == 2);
  REQUIRE(get("c", 3, 40) == 3);  // b goes, a was used later
  REQUIRE(get("a", 9, 40) == 1);
  REQUIRE(get("b", 8, 40) == 8);
  REQUIRE(maker.made == 4);
  REQUIRE(get("huge", 5, 101) == 5);  // handed out, not kept, and pushes nothing out
  REQUIRE(get("huge", 6, 101) == 6);
  REQUIRE(get("b", 9, 40) == 8);
}

TEST_CASE("ByteCache: gives up the value used longest ago when asked", "[engine]") {
  ByteCache<int> cache(100);
  Maker maker;
  for (const char* key : {"a", "b", "a"}) {
    REQUIRE_OK(cache.Get(key, [&]() -> absl::StatusOr<ByteCache<int>::Made> { return maker.Make(1, 40); }));
  }
  REQUIRE(cache.bytes() == 80);
  REQUIRE(cache.DropOldest());
  REQUIRE(cache.bytes() == 40);
  REQUIRE_OK(cache.Get("a", [&]() -> absl::StatusOr<ByteCache<int>::Made> { return maker.Make(1, 40); }));
  REQUIRE(maker.made == 2);
  REQUIRE(cache.DropOldest());
  REQUIRE_FALSE(cache.DropOldest());
  REQUIRE(cache.bytes() == 0);
}

TEST_CASE("ByteCache: a failure to make goes out and is not remembered", "[engine]") {
  ByteCache<int> cache(100);
  const auto failed =
      cache.Get("a", []() -> absl::StatusOr<ByteCache<int>::Made> { return absl::DataLossError("gone"); });
  REQUIRE(failed.status() == absl::DataLossError("gone"));
  Maker maker;
  REQUIRE_OK(cache.Get("a", [&]() -> absl::StatusOr<ByteCache<int>::Made> { return maker.Make(1, 1); }));
}

}  // namespace
}  // namespace espalier
