#include "worker/engine/warm_trainers.h"

#include "tests/support/catch.h"
#include "tests/unit/engine/fake_trainer.h"

namespace espalier {
namespace {

EvaluateTask TaskOf(const std::string& mask) {
  EvaluateTask task;
  task.mask_digest = mask;
  task.bank.key = "bank";
  task.tokens_per_step = 64;
  return task;
}

struct WarmFixture {
  std::shared_ptr<const LanguageModel> dense = std::make_shared<LanguageModel>();
  int alive = 0;
  explicit WarmFixture(int64_t device_bytes = 1000) : warm(device_bytes) {}
  WarmTrainers warm;  // a trainer takes 450

  void Keep(const std::string& mask) {
    TrainedCandidate candidate;
    candidate.dense = dense;
    candidate.settings = TaskOf(mask).train;
    candidate.model = std::make_unique<LanguageModel>();
    candidate.trainer = std::make_unique<testing::FakeTrainer>(1.0F, &alive);
    warm.Keep(TaskOf(mask), std::move(candidate));
  }
};

TEST_CASE("WarmTrainers: a mask's trainer is handed out once, to the same task of the same model") {
  WarmFixture f;
  f.Keep("a");
  CHECK_FALSE(f.warm.Take(TaskOf("b"), f.dense.get()).has_value());
  EvaluateTask other_bank = TaskOf("a"), other_rate = TaskOf("a"), other_step = TaskOf("a");
  other_bank.bank.layer_digests = {"x"};
  other_rate.train.learning_rate *= 2;
  other_step.tokens_per_step = 128;
  CHECK_FALSE(f.warm.Take(other_bank, f.dense.get()).has_value());
  CHECK_FALSE(f.warm.Take(other_rate, f.dense.get()).has_value());
  CHECK_FALSE(f.warm.Take(other_step, f.dense.get()).has_value());
  CHECK_FALSE(f.warm.Take(TaskOf("a"), nullptr).has_value());
  CHECK(f.warm.Take(TaskOf("a"), f.dense.get()).has_value());
  CHECK_FALSE(f.warm.Take(TaskOf("a"), f.dense.get()).has_value());
  CHECK(f.alive == 0);
}

TEST_CASE("WarmTrainers: those kept longest ago make room") {
  WarmFixture f;
  for (const char* mask : {"a", "b", "c"}) f.Keep(mask);
  CHECK(f.alive == 2);
  CHECK_FALSE(f.warm.Take(TaskOf("a"), f.dense.get()).has_value());
  CHECK(f.warm.Take(TaskOf("b"), f.dense.get()).has_value());
  f.Keep("d");
  CHECK(f.alive == 2);
  f.warm.Clear();
  CHECK(f.alive == 0);
}

TEST_CASE("WarmTrainers: give up the one kept longest ago when asked") {
  WarmFixture f;
  for (const char* mask : {"a", "b"}) f.Keep(mask);
  CHECK(f.warm.bytes() == 900);
  CHECK(f.warm.DropOldest());
  CHECK(f.alive == 1);
  CHECK_FALSE(f.warm.Take(TaskOf("a"), f.dense.get()).has_value());
  CHECK(f.warm.DropOldest());
  CHECK_FALSE(f.warm.DropOldest());
  CHECK(f.warm.bytes() == 0);
}

TEST_CASE("WarmTrainers: no more are held than a generation has candidates, however much room there is") {
  WarmFixture f(1'000'000);
  for (int mask = 0; mask < 30; ++mask) f.Keep(std::to_string(mask));
  CHECK(f.alive == static_cast<int>(WarmTrainers::kMost));
  CHECK(f.warm.Take(TaskOf("29"), f.dense.get()).has_value());
}

}  // namespace
}  // namespace espalier
