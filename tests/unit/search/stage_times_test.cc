#include "coordinator/search/stage_times.h"

#include "tests/support/catch.h"

namespace espalier {
namespace {

using Times = std::vector<StageTime>;

TEST_CASE("StageTimes: a tail is the time of the last worker alone") {
  StageTimes times;
  times.Note("bank/7", "a", 10);
  times.Note("evaluate/p0/g0/s0/m1", "a", 11);
  times.Note("evaluate/p0/g0/s0/m2", "b", 12);
  times.Note("evaluate/p0/g0/s0/m3", "a", 15);  // b waits from 12 on
  times.Note("evaluate/p0/g0/s1/m2", "b", 18);  // a has nothing to do in this stage
  CHECK(times.TakeEnded().empty());  // nobody knows yet that this was all
  times.Note("evaluate/p0/g1/s0/m4", "b", 20);
  CHECK(times.TakeEnded() == Times{{5, 3}, {3, 3}});
  CHECK(times.TakeEnded().empty());
  CHECK(times.sums() == StageTime{8, 6});
  times.Note("finish", "a", 30);
  CHECK(times.TakeEnded() == Times{{2, 0}});  // one worker alone has no tail
  CHECK(times.sums() == StageTime{10, 6});
}

TEST_CASE("StageTimes: a worker with the parent's task of the last stage is not idle in the stages before") {
  StageTimes times;
  times.Note("evaluate/yardstick/u", "a", 0);
  times.Note("evaluate/p0/g0/s0/m1", "a", 2);
  times.Note("evaluate/p0/g0/s0/m2", "a", 4);  // b trains the parent meanwhile
  times.Note("evaluate/p0/g0/s1/parent", "b", 5);
  times.Note("evaluate/p0/g0/s1/m1", "a", 9);
  times.EndGeneration();
  CHECK(times.TakeEnded() == Times{{4, 0}, {5, 4}});
}

TEST_CASE("StageTimes: with three workers it counts from the second last one on, and other tasks between do not matter") {
  StageTimes times;
  times.Note("additive/ffn/0", "c", 1);
  times.Note("evaluate/p0/g0/s0/m1", "a", 2);
  times.Note("evaluate/p0/g0/s0/m2", "b", 5);
  times.Note("evaluate/one-shot/m0", "a", 5.5);
  times.Note("evaluate/p0/g0/s0/m3", "c", 6);
  times.Note("evaluate/play-off/m1", "c", 9);
  CHECK(times.TakeEnded() == Times{{5, 1}});
  times.EndGeneration();
  CHECK(times.TakeEnded().empty());
}

TEST_CASE("StageTimes: a generation that was under way before anything was told leaves its first stage out") {
  StageTimes times;
  times.Note("evaluate/p0/g4/s1/m1", "a", 50);
  times.Note("evaluate/p0/g4/s1/m2", "b", 52);
  times.Note("evaluate/p0/g4/s2/m1", "a", 55);
  times.Note("evaluate/p1/g5/s0/m7", "a", 56);
  CHECK(times.TakeEnded() == Times{{3, 3}});
}

TEST_CASE("StageTimes: tasks of a later bank revision are tasks of their stage") {
  StageTimes times;
  times.Note("bank/0/r1", "a", 1);
  times.Note("evaluate/p0/g0/s0/m1/b1", "a", 2);
  times.Note("evaluate/p0/g0/s0/m2/b1", "b", 4);
  times.EndGeneration();
  CHECK(times.TakeEnded() == Times{{3, 2}});
}

}  // namespace
}  // namespace espalier
