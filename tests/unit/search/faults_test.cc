// What may go wrong in a search, and when it stops early.
#include <limits>
#include <set>

#include "coordinator/search/job_program.h"
#include "tests/unit/search/search_fixtures.h"

namespace espalier {
namespace {

using namespace testing;

TEST_CASE("JobProgram: the order of answers and the number of workers change nothing") {
  const JobInputs inputs = SmallInputs();
  const FakeEvaluator evaluator(inputs, {.noise = 0.1});
  JobSpec spec = SmallSpec(6);
  spec.phases.push_back(SmallPhase(3));
  const auto reference = MakeProgram(spec, inputs);
  Drive(reference.get(), evaluator, FirstWanted(), Never);
  for (uint64_t seed = 0; seed < 12; ++seed) {
    const auto program = MakeProgram(spec, inputs);
    Drive(program.get(), evaluator, AnyOf(seed % 3 == 0 ? 4 : 1000, seed), Never);
    REQUIRE(Summary(*program) == Summary(*reference));
  }
  JobSpec other = spec;
  other.seed = 8;
  const auto different = MakeProgram(other, inputs);
  Drive(different.get(), evaluator, FirstWanted(), Never);
  CHECK(Summary(*different) != Summary(*reference));
}

TEST_CASE("JobProgram: a new program told the same commits wants the same and ends the same, at any cut") {
  const JobInputs inputs = SmallInputs();
  const FakeEvaluator evaluator(inputs, {.noise = 0.1});
  const JobSpec spec = SmallSpec(4);
  const auto reference = MakeProgram(spec, inputs);
  const std::vector<Event> events = Drive(reference.get(), evaluator, AnyOf(5, 3), Never);
  const auto follower = MakeProgram(spec, inputs);
  for (size_t cut = 0; cut < events.size(); ++cut) {
    if (cut % 7 == 0) {
      const auto restarted = MakeProgram(spec, inputs);
      for (size_t i = 0; i < cut; ++i) REQUIRE_OK(restarted->Tell(events[i].task_id, events[i].outcome));
      const std::vector<Task> wanted = follower->Wanted();
      const std::vector<Task> wanted_again = restarted->Wanted();
      REQUIRE(wanted.size() == wanted_again.size());
      for (size_t i = 0; i < wanted.size(); ++i) {
        REQUIRE(wanted[i].task_id == wanted_again[i].task_id);
        REQUIRE(InputDigest(wanted[i]) == InputDigest(wanted_again[i]));
      }
      REQUIRE(restarted->LiveStates() == follower->LiveStates());
      Drive(restarted.get(), evaluator, AnyOf(3, cut), Never);
      REQUIRE(Summary(*restarted) == Summary(*reference));
    }
    REQUIRE_OK(follower->Tell(events[cut].task_id, events[cut].outcome));
  }
}

TEST_CASE("JobProgram: task ids are unique over the whole job") {
  const JobInputs inputs = SmallInputs();
  JobSpec spec = SmallSpec(5);
  spec.phases[0].patience = 100;
  const auto program = MakeProgram(spec, inputs);
  std::set<std::string> ids;
  for (const Event& event : Drive(program.get(), FakeEvaluator(inputs, {}), FirstWanted(), Never))
    CHECK(ids.insert(event.task_id).second);
}

TEST_CASE("Tell: what is told twice, unknown or untrue is refused and changes nothing") {
  const JobInputs inputs = SmallInputs();
  const FakeEvaluator evaluator(inputs, {});
  const auto program = MakeProgram(SmallSpec(2), inputs);
  const Task bank = program->Wanted().front();
  const TaskOutcome layer = evaluator.Run(bank);
  auto doubled = std::get<BankLayerOutcome>(layer);
  doubled.head_order[0] = doubled.head_order[1];
  CHECK(program->Tell(bank.task_id, doubled).code() == absl::StatusCode::kInvalidArgument);
  auto short_errors = std::get<BankLayerOutcome>(layer);
  short_errors.ffn_errors.pop_back();
  CHECK(program->Tell(bank.task_id, short_errors).code() == absl::StatusCode::kInvalidArgument);
  CHECK(program->Tell(bank.task_id, Measurement()).code() == absl::StatusCode::kInvalidArgument);
  CHECK(program->Tell("evaluate/p9", layer).code() == absl::StatusCode::kFailedPrecondition);
  REQUIRE_OK(program->Tell(bank.task_id, layer));
  CHECK(program->Tell(bank.task_id, layer).code() == absl::StatusCode::kFailedPrecondition);

  Drive(program.get(), evaluator, FirstWanted(), AtStep("search"));
  const Task task = program->Wanted().front();
  const Measurement good = std::get<Measurement>(evaluator.Run(task));
  const auto refused = [&](const Measurement& measurement) {
    return program->Check(task.task_id, measurement).code() == absl::StatusCode::kInvalidArgument;
  };
  Measurement bad = good;
  bad.fitness = std::numeric_limits<double>::quiet_NaN();
  CHECK(refused(bad));
  bad = good;
  bad.window_fitness.pop_back();
  CHECK(refused(bad));
  bad = good;
  bad.trained_tokens += 1;
  CHECK(refused(bad));
  bad = good;
  bad.fitness = -1;
  CHECK(refused(bad));
  bad = good;
  bad.parameters += 1;
  CHECK(refused(bad));
  CHECK(program->Check(task.task_id, good).ok());
  CHECK(program->Wanted().front().task_id == task.task_id);
}

TEST_CASE("Wall-time stop: the running generation is dropped and the play-off decides") {
  const JobInputs inputs = SmallInputs();
  const FakeEvaluator evaluator(inputs, {});
  const auto program = MakeProgram(SmallSpec(10), inputs);
  Drive(program.get(), evaluator, FirstWanted(),
        [](const JobProgram& each) { return each.Progress().generation == 3 && each.Progress().stage == 1; });
  program->TellWallTimeStop();
  CHECK(program->Progress().step == "play_off");
  CHECK(program->Generations().size() == 3);
  program->TellWallTimeStop();
  Drive(program.get(), evaluator, FirstWanted(), Never);
  CHECK(program->result().stopped_because == "wall_time");
  CHECK(program->result().generations == 3);
}

TEST_CASE("Wall-time stop: before the search it leaves the first parent") {
  const JobInputs inputs = SmallInputs();
  const auto program = MakeProgram(SmallSpec(10), inputs);
  program->TellWallTimeStop();
  Drive(program.get(), FakeEvaluator(inputs, {}), FirstWanted(), Never);
  CHECK(program->result().generations == 0);
  CHECK(program->result().stopped_because == "wall_time");
}

TEST_CASE("Token budget: never exceeded, play-off included") {
  const JobInputs inputs = SmallInputs();
  JobSpec spec = SmallSpec(50);
  spec.stop.token_budget = 400'000;
  const auto program = MakeProgram(spec, inputs);
  Drive(program.get(), FakeEvaluator(inputs, {}), FirstWanted(), Never);
  CHECK(program->result().stopped_because == "token_budget");
  CHECK(program->result().generations > 2);
  CHECK(program->result().trained_tokens <= 400'000);
  CHECK(program->result().trained_tokens > 300'000);
}

TEST_CASE("Patience: generations without a better parent on the select windows end the phase or the job") {
  const JobInputs inputs = SmallInputs();
  const FakeEvaluator evaluator(inputs, {});
  SECTION("the phase") {
    JobSpec spec = SmallSpec(200);
    spec.phases[0].patience = 6;
    spec.phases.push_back(SmallPhase(2));
    const auto program = MakeProgram(spec, inputs);
    Drive(program.get(), evaluator, FirstWanted(), Never);
    const std::vector<GenerationView> generations = program->Generations();
    CHECK(generations.size() < 200);
    CHECK(generations.back().phase == 1);
    CHECK(program->result().stopped_because == "generations");
  }
  SECTION("the job") {
    JobSpec spec = SmallSpec(200);
    spec.stop.patience = 6;
    const auto program = MakeProgram(spec, inputs);
    Drive(program.get(), evaluator, FirstWanted(), Never);
    const std::vector<GenerationView> generations = program->Generations();
    REQUIRE(generations.size() < 200);
    REQUIRE(generations.size() > 6);
    CHECK(program->result().stopped_because == "patience");
    for (size_t i = generations.size() - 6; i < generations.size(); ++i)
      CHECK(generations[i].parent_digest == generations.back().parent_digest);
  }
}

TEST_CASE("Infeasible candidates: they never survive, and when all offspring are infeasible the parent stays") {
  const JobInputs inputs = SmallInputs();
  SECTION("given up by the coordinator") {
    const auto program = MakeProgram(SmallSpec(2), inputs);
    const FakeEvaluator evaluator(inputs, {});
    Drive(program.get(), evaluator, FirstWanted(), AtStep("search"));
    const std::string parent = program->Candidates()[2].mask_digest;
    while (program->Generations().empty()) {
      const Task task = program->Wanted().front();
      if (task.task_id.starts_with("evaluate/p0/g0")) {
        REQUIRE_OK(program->TellFailed(task.task_id, "three workers died"));
      } else {
        REQUIRE_OK(program->Tell(task.task_id, evaluator.Run(task)));
      }
    }
    CHECK(program->Generations()[0].parent_digest == parent);
    Drive(program.get(), evaluator, FirstWanted(), Never);
    CHECK(program->result().generations == 2);
    for (const CandidateView& candidate : program->Candidates()) {
      if (candidate.id.starts_with("p0/g0"))
        CHECK(candidate.by_stage.at(0).second.infeasible_reason == "three workers died");
    }
  }
  SECTION("measured as such") {
    FakeEvaluator evaluator(inputs, {});
    const auto program = MakeProgram(SmallSpec(3), inputs);
    Drive(program.get(), evaluator, FirstWanted(), AtStep("search"));
    for (const CandidateView& candidate : program->Candidates()) {
      if (candidate.id.ends_with("c01") || candidate.id.ends_with("c02"))
        evaluator.options().infeasible.insert(candidate.mask_digest);
    }
    REQUIRE(evaluator.options().infeasible.size() == 2);
    Drive(program.get(), evaluator, FirstWanted(), Never);
    CHECK_FALSE(program->failure().has_value());
    for (const GenerationView& generation : program->Generations())
      CHECK_FALSE(evaluator.options().infeasible.contains(generation.parent_digest));
  }
}

TEST_CASE("TellFailed: a task that the search cannot do without fails the job with its reason") {
  const JobInputs inputs = SmallInputs();
  const auto program = MakeProgram(SmallSpec(2), inputs);
  const std::string id = program->Wanted().front().task_id;
  REQUIRE_OK(program->TellFailed(id, "disk full"));
  REQUIRE(program->failure().has_value());
  CHECK_THAT(*program->failure(), Catch::Contains(id) && Catch::Contains("disk full"));
  CHECK(program->finished());
  CHECK(program->Wanted().empty());
}

TEST_CASE("Lost artifact: its layer alone is wanted again, and equal bytes change nothing") {
  const JobInputs inputs = SmallInputs();
  FakeEvaluator evaluator(inputs, {.noise = 0.1});
  const auto reference = MakeProgram(SmallSpec(3), inputs);
  Drive(reference.get(), evaluator, FirstWanted(), Never);
  for (const char* step : {"bank", "additive", "search", "play_off", "finish"}) {
    const auto program = MakeProgram(SmallSpec(3), inputs);
    Task bank = program->Wanted().front();
    const auto layer = std::get<BankLayerOutcome>(evaluator.Run(bank));
    REQUIRE_OK(program->Tell(bank.task_id, layer));
    Drive(program.get(), evaluator, FirstWanted(), AtStep(step));
    const std::vector<Task> before = program->Wanted();
    program->TellArtifactLost("unknown");
    CHECK(program->Wanted().size() == before.size());
    program->TellArtifactLost(layer.artifact_digest);
    if (std::string(step) != "bank") {
      REQUIRE(program->Wanted().size() == 1);
      CHECK(program->Wanted().front().task_id == "bank/0/r1");
      CHECK(program->Progress().step == "bank");
      // Somebody who had read the artifact before it was damaged may still answer.
      REQUIRE_OK(program->Tell(before.front().task_id, evaluator.Run(before.front())));
    }
    Drive(program.get(), evaluator, FirstWanted(), Never);
    CHECK(Summary(*program) == Summary(*reference));
  }
}

TEST_CASE("Lost artifact: a rebuilt layer that differs makes a new revision, and what runs is measured again") {
  const JobInputs inputs = SmallInputs();
  for (const char* step : {"additive", "search", "play_off", "finish"}) {
    FakeEvaluator evaluator(inputs, {});
    const auto program = MakeProgram(SmallSpec(3), inputs);
    const auto layer = std::get<BankLayerOutcome>(evaluator.Run(program->Wanted().front()));
    Drive(program.get(), evaluator, FirstWanted(), AtStep(step));
    if (std::string(step) == "search") {
      Drive(program.get(), evaluator, FirstWanted(),
            [](const JobProgram& each) { return each.Progress().generation == 1 && each.Progress().stage == 1; });
    }
    const size_t num_generations = program->Generations().size();
    const std::string before = program->Wanted().front().task_id;
    program->TellArtifactLost(layer.artifact_digest);
    evaluator.options().bank_salt = "rounded otherwise";
    evaluator.options().salted_layers = {0};
    const Task rebuild = program->Wanted().front();
    REQUIRE_OK(program->Tell(rebuild.task_id, evaluator.Run(rebuild)));
    CHECK(program->Progress().step == step);
    CHECK(program->Generations().size() == num_generations);
    const Task again = program->Wanted().front();
    CHECK(again.task_id.ends_with("/b1"));
    CHECK(program->Check(before, Measurement()).code() == absl::StatusCode::kFailedPrecondition);
    Drive(program.get(), evaluator, FirstWanted(), Never);
    CHECK_FALSE(program->failure().has_value());
    CHECK(program->result().generations == 3);
    std::set<std::string> ids;
    for (const CandidateView& candidate : program->Candidates()) CHECK(ids.insert(candidate.id).second);
  }
}

TEST_CASE("Play-off: the result is never worse than the start on the select windows") {
  const JobInputs inputs = SmallInputs();
  for (uint64_t seed = 0; seed < 10; ++seed) {
    // Noise as large as the differences, so that generations drift.
    const FakeEvaluator evaluator(inputs, {.noise = 0.4});
    JobSpec spec = SmallSpec(6);
    spec.seed = seed;
    spec.play_off.tokens = seed % 2 == 0 ? 32768 : 0;
    spec.phases.push_back(SmallPhase(2));
    const auto program = MakeProgram(spec, inputs);
    std::map<std::string, double> on_select;
    std::string start;
    for (const Event& event : Drive(program.get(), evaluator, FirstWanted(), Never)) {
      if (event.task_id.starts_with("evaluate/play-off/"))
        on_select[event.task_id.substr(18)] = std::get<Measurement>(event.outcome).fitness;
    }
    for (const CandidateView& candidate : program->Candidates()) {
      if (candidate.id == "first-parent") start = candidate.mask_digest.substr(0, 16);
    }
    REQUIRE(on_select.size() >= 2);
    const double winner = on_select.at(program->result().mask_digest.substr(0, 16));
    CHECK(winner <= on_select.at(start));
    for (const auto& [digest, fitness] : on_select) CHECK(winner <= fitness);
    CHECK_THAT(program->result().chosen_because, Catch::Contains("play-off"));
  }
}

}  // namespace
}  // namespace espalier
