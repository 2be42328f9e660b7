#include "worker/session/disk_patience.h"

#include <utility>

#include "tests/support/catch.h"

namespace espalier {
namespace {

constexpr char kFull[] = "cannot write '/a/b': No space left on device";

// Fails by a status for a number of runs, then succeeds.
class FailingEngine final : public Engine {
 public:
  FailingEngine(absl::Status status, int failures) : status_(std::move(status)), failures_(failures) {}
  absl::StatusOr<TaskOutcome> Run(const Task&, const ProgressFunction&, std::stop_token) override {
    ++runs;
    if (runs <= failures_) return status_;
    return BankLayerOutcome{};
  }
  std::vector<RetainedState> ListStates() const override { return {}; }
  void KeepOnly(const std::vector<StateKey>&) override {}
  DeviceDescription Describe() const override { return {}; }
  int num_slots() const override { return 1; }
  int runs = 0;

 private:
  const absl::Status status_;
  const int failures_;
};

struct Told {
  int times = 0;
  absl::StatusOr<TaskOutcome> Run(FailingEngine& engine, const DiskPatience& patience, std::stop_token stop = {}) {
    return RunPatiently(engine, Task(), [](const TaskProgress&) {}, stop, patience,
                        [this](const absl::Status&, absl::Duration) { ++times; });
  }
};

const DiskPatience kShort = {.limit = absl::Milliseconds(7), .first_wait = absl::Milliseconds(1)};

TEST_CASE("A task that meets a full disk is run again until there is room") {
  FailingEngine engine(absl::ResourceExhaustedError(kFull), 2);
  Told told;
  REQUIRE_OK(told.Run(engine, kShort));
  CHECK(engine.runs == 3);
  CHECK(told.times == 2);
}

TEST_CASE("A disk that stays full fails the task when patience ends") {
  FailingEngine engine(absl::ResourceExhaustedError(kFull), 1000);
  Told told;
  CHECK(IsFullDisk(told.Run(engine, kShort).status()));
  CHECK(engine.runs == 4);  // after 0, 1, 3 and 7 ms
}

TEST_CASE("Exhausted memory is reported at once") {
  FailingEngine engine(absl::ResourceExhaustedError("CUDA out of memory"), 1000);
  Told told;
  CHECK(absl::IsResourceExhausted(told.Run(engine, kShort).status()));
  CHECK(engine.runs == 1);
}

TEST_CASE("A worker that is told to stop while it waits for room does not wait on") {
  FailingEngine engine(absl::ResourceExhaustedError(kFull), 1000);
  std::stop_source stop;
  stop.request_stop();
  Told told;
  const auto outcome = told.Run(engine, {.limit = absl::Hours(1), .first_wait = absl::Hours(1)}, stop.get_token());
  CHECK(absl::IsCancelled(outcome.status()));
}

}  // namespace
}  // namespace espalier
