#include "common/domain/windows.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "common/domain/measurement.h"
#include "common/domain/task.h"
#include "tests/support/catch.h"

namespace espalier {
namespace {

constexpr Pool kAll[] = {Pool::kCalibrate, Pool::kTrain, Pool::kScore, Pool::kSelect, Pool::kReport};

TEST_CASE("Pools: every window lies in exactly one pool, with the fixed shares") {
  for (int64_t num_windows : {0, 1, 31, 32, 33, 1024, 1000}) {
    std::set<int64_t> seen;
    for (Pool pool : kAll) {
      const std::vector<int64_t> windows = PoolWindows(pool, num_windows);
      CHECK(static_cast<int64_t>(windows.size()) == PoolSize(pool, num_windows));
      CHECK(std::is_sorted(windows.begin(), windows.end()));
      for (int64_t window : windows) CHECK(seen.insert(window).second);
      if (num_windows >= 32) CHECK_FALSE(windows.empty());
    }
    CHECK(static_cast<int64_t>(seen.size()) == num_windows);
  }
  CHECK(PoolSize(Pool::kCalibrate, 32) == 4);
  CHECK(PoolSize(Pool::kTrain, 32) == 21);
  CHECK(PoolSize(Pool::kScore, 32) == 3);
  CHECK(PoolSize(Pool::kSelect, 32) == 3);
  CHECK(PoolSize(Pool::kReport, 32) == 1);
}

TEST_CASE("WindowsForPool: the smallest file whose pool holds the windows") {
  for (Pool pool : kAll) {
    for (int64_t count = 1; count < 100; ++count) {
      const int64_t needed = WindowsForPool(pool, count);
      REQUIRE(PoolSize(pool, needed) == count);
      REQUIRE(PoolSize(pool, needed - 1) == count - 1);
    }
  }
}

TEST_CASE("SelectWindows: a draw repeats nothing, draws differ, epochs are permuted anew") {
  const auto draw = [](int number, int64_t count, bool repeat) {
    return SelectWindows({Pool::kTrain, 7, 0, number}, 128, count, repeat);
  };
  const auto first = draw(0, 84, false);
  REQUIRE_OK(first);
  CHECK(std::set<int64_t>(first->begin(), first->end()).size() == 84);
  CHECK(*draw(0, 84, false) == *first);
  CHECK(*draw(1, 84, false) != *first);
  const auto prefix = draw(0, 10, false);
  CHECK(std::equal(prefix->begin(), prefix->end(), first->begin()));
  const auto error = draw(0, 85, false);
  REQUIRE_FALSE(error.ok());
  CHECK_THAT(std::string(error.status().message()), Catch::Contains("84") && Catch::Contains("85"));
  const auto epochs = draw(0, 168, true);
  REQUIRE_OK(epochs);
  CHECK(std::equal(first->begin(), first->end(), epochs->begin()));
  CHECK_FALSE(std::equal(first->begin(), first->end(), epochs->begin() + 84));
  CHECK_FALSE(SelectWindows({Pool::kReport, 7, 0, 0}, 3, 1, true).ok());
}

// All properties of StepsOf's contract, for one walk.
void CheckWalk(const StreamRange& range, int sequence_length, int tokens_per_step) {
  const auto steps = StepsOf(range, 3200, sequence_length, tokens_per_step);
  REQUIRE_OK(steps);
  const auto windows = SelectWindows(range.key, 3200, WindowsForTokens(range.end, sequence_length), range.repeat);
  int64_t position = range.begin;
  for (const Step& step : *steps) {
    REQUIRE_FALSE(step.empty());
    int64_t tokens = 0;
    const int64_t step_begin = position;
    for (const Piece& piece : step) {
      REQUIRE(piece.window == (*windows)[position / sequence_length]);
      REQUIRE(piece.begin == position % sequence_length);
      REQUIRE(piece.length >= 1);
      REQUIRE(piece.begin + piece.length <= sequence_length);
      position += piece.length;
      tokens += piece.length;
    }
    REQUIRE(tokens <= tokens_per_step);
    for (int64_t end : range.stage_ends) REQUIRE_FALSE((step_begin < end && end < position));
  }
  REQUIRE(position == range.end);
}

TEST_CASE("StepsOf: every token of the range is in one piece and no step crosses a stage end") {
  for (int sequence_length : {64, 100, 512}) {
    for (int tokens_per_step : {1, 50, 64, 300, 1024, 5000}) {
      StreamRange range{{Pool::kTrain, 3, 0, 1}, 0, 20000, {1000, 5000, 10000, 20000}, false};
      CheckWalk(range, sequence_length, tokens_per_step);
      range.begin = 1000;
      range.end = 10000;
      CheckWalk(range, sequence_length, tokens_per_step);
    }
  }
}

TEST_CASE("StepsOf: a run straight through takes the same steps as one that stopped at each stage end") {
  const std::vector<int64_t> ends = {1000, 5000, 10000, 20000};
  const WindowKey key{Pool::kTrain, 3, 0, 1};
  const auto straight = StepsOf({key, 0, 20000, ends, false}, 3200, 512, 1024);
  REQUIRE_OK(straight);
  std::vector<Step> stopped;
  int64_t begin = 0;
  for (int64_t end : ends) {
    const auto part = StepsOf({key, begin, end, ends, false}, 3200, 512, 1024);
    stopped.insert(stopped.end(), part->begin(), part->end());
    begin = end;
  }
  CHECK(stopped == *straight);
}

TEST_CASE("StepsOf: whole windows share a step, and nothing is trained in an empty range") {
  const WindowKey key{Pool::kTrain, 3, 0, 0};
  const auto steps = StepsOf({key, 0, 2048, {2048}, false}, 3200, 512, 1100);
  REQUIRE(steps->size() == 2);
  CHECK((*steps)[0].size() == 2);
  CHECK((*steps)[0][1].length == 512);
  CHECK(StepsOf({key, 500, 500, {}, false}, 3200, 512, 1024)->empty());
  CHECK_FALSE(StepsOf({key, 500, 400, {}, false}, 3200, 512, 1024).ok());
  CHECK_FALSE(StepsOf({key, 0, 3200 * 512, {}, false}, 3200, 512, 1024).ok());
}

TEST_CASE("ResolveSequenceLength: what was asked, else the rows, else 1024 or what the model can") {
  CHECK(ResolveSequenceLength(256, 512, 1024) == 256);
  CHECK(ResolveSequenceLength(0, 512, 1024) == 512);
  CHECK(ResolveSequenceLength(0, 0, 8192) == 1024);
  CHECK(ResolveSequenceLength(0, 0, 400) == 400);
}

TEST_CASE("ComparePaired: mean and standard error are of the differences") {
  Measurement a, b;
  a.window_fitness = {1.0f, 2.0f, 3.0f};
  b.window_fitness = {0.5f, 1.5f, 2.0f};
  const PairedDifference difference = ComparePaired(a, b);
  CHECK(difference.mean == Approx(2.0 / 3));
  CHECK(difference.standard_error == Approx(std::sqrt((1.0 / 36 + 1.0 / 36 + 1.0 / 9) / 2 / 3)));
}

TEST_CASE("InputDigest: equal work is equal wherever its files lie, and any field that changes the work changes it") {
  Task task;
  task.job_id = "job-1";
  task.task_id = "evaluate/p0/g0/s0/ab";
  task.context.model_digest = "m";
  EvaluateTask evaluate;
  evaluate.mask_digest = "ab";
  evaluate.score_windows = 4;
  task.payload = evaluate;
  const std::string digest = InputDigest(task);
  Task moved = task;
  moved.job_id = "job-2";
  moved.context.model_folder = "/elsewhere";
  CHECK(InputDigest(moved) == digest);
  evaluate.train.learning_rate = 2e-5;
  task.payload = evaluate;
  CHECK(InputDigest(task) != digest);
}

}  // namespace
}  // namespace espalier
