// Whole searches, asserted.
#include "coordinator/search/job_program.h"

#include <limits>
#include <map>
#include <set>

#include "common/domain/runtime_profile.h"
#include "coordinator/search/full.h"
#include "coordinator/search/search_plan.h"
#include "coordinator/search/stage_plan.h"
#include "coordinator/search/uniform.h"
#include "tests/unit/search/search_fixtures.h"

namespace espalier {
namespace {

using namespace testing;

// The bank's exact costs, as the program has them.
CostTable ExactCost(const JobSpec& spec, const JobInputs& inputs, const FakeEvaluator& evaluator, Ladder* ladder) {
  const auto plan = MakeSearchPlan("job-1", Resolved(spec, inputs), inputs);
  REQUIRE_OK(plan);
  *ladder = plan->ladder;
  HeadOrders orders;
  Task task;
  task.context = plan->context;
  for (int layer = 0; layer < inputs.dense.num_layers; ++layer) {
    task.payload = BankLayerTask{layer, {}, 0};
    orders.push_back(std::get<BankLayerOutcome>(evaluator.Run(task)).head_order);
  }
  return BuildCostTable(inputs.dense, plan->ladder, spec.cost, orders);
}

TEST_CASE("JobProgram: a search finds the best mask of a small space, better than its yardsticks") {
  const JobInputs inputs = SmallInputs();
  const FakeEvaluator evaluator(inputs, {});
  const JobSpec spec = SmallSpec(40);
  const auto program = MakeProgram(spec, inputs);
  Drive(program.get(), evaluator, FirstWanted(), Never);
  REQUIRE_FALSE(program->failure().has_value());

  Ladder ladder;
  const CostTable cost = ExactCost(spec, inputs, evaluator, &ladder);
  const int64_t target = *ResolveTarget(spec.target, cost);
  double best = std::numeric_limits<double>::infinity();
  Mask mask{std::vector<int>(ladder.units.size(), 0)};
  for (int code = 0; code < 15625; ++code) {
    for (int unit = 0, rest = code; unit < 6; ++unit, rest /= 5) mask.levels[unit] = rest % 5;
    if (cost.Of(mask) <= target) best = std::min(best, FakeEvaluator::Fitness(ladder, mask, 16384));
  }
  const JobResult& result = program->result();
  CHECK(result.fitness == Approx(best));
  CHECK(FakeEvaluator::Fitness(ladder, result.mask, 16384) == Approx(best));
  CHECK(cost.Of(result.mask) == result.parameters);
  CHECK(result.parameters <= result.target_parameters);
  CHECK(IsFull(cost, target, result.mask));
  REQUIRE(result.yardsticks.contains("uniform"));
  REQUIRE(result.yardsticks.contains("additive"));
  CHECK(result.yardsticks.at("uniform").mask == UniformMask(ladder, cost, target));
  for (const auto& [name, yardstick] : result.yardsticks) {
    CHECK(yardstick.parameters <= result.target_parameters);
    CHECK(yardstick.one_shot_fitness == Approx(FakeEvaluator::Fitness(ladder, yardstick.mask, 0)));
    CHECK(yardstick.one_shot_perplexity == Approx(30 * std::exp(yardstick.one_shot_fitness)));
  }
  CHECK(result.generations == 40);
  CHECK(result.stopped_because == "generations");
  CHECK(result.dense_perplexity == 30);
  CHECK(result.one_shot_perplexity == Approx(30 * std::exp(result.one_shot_fitness)));
  REQUIRE(result.finish.has_value());
  CHECK(result.finish->kept.size() == 6);
  CHECK(program->Progress().step == "done");
  CHECK(program->Wanted().empty());
}

TEST_CASE("JobProgram: offspring are counted by operator, and one improved exactly where the parent changed") {
  const JobInputs inputs = SmallInputs();
  const FakeEvaluator evaluator(inputs, {});
  JobSpec spec = SmallSpec(12);
  spec.phases[0].same_kind_weight = 1;
  const auto program = MakeProgram(spec, inputs);
  Drive(program.get(), evaluator, FirstWanted(), Never);
  std::map<int, int> drawn_in;
  for (const CandidateView& candidate : program->Candidates()) drawn_in[candidate.generation] += candidate.id.starts_with("p0/g");
  std::map<Operator, int> drawn_by;
  std::string parent;
  int num_changes = 0;
  for (const GenerationView& generation : program->Generations()) {
    int drawn = 0;
    int improved = 0;
    for (const Operator by : kOperators) {
      drawn += generation.offspring[by].drawn;
      improved += generation.offspring[by].improved;
      drawn_by[by] += generation.offspring[by].drawn;
    }
    CHECK(drawn == drawn_in[generation.generation]);
    CHECK(improved <= 2);  // survivors of the stage before the last
    if (!parent.empty()) CHECK((improved > 0) == (generation.parent_digest != parent));
    num_changes += generation.parent_digest != parent;
    parent = generation.parent_digest;
  }
  CHECK(num_changes > 1);
  for (const Operator by : kOperators) CHECK(drawn_by[by] > 0);
}

TEST_CASE("JobProgram: every candidate fits the target and is full, and none is measured twice in a generation") {
  const JobInputs inputs = SmallInputs();
  const FakeEvaluator evaluator(inputs, {.noise = 0.05});
  const JobSpec spec = SmallSpec(12);
  const auto program = MakeProgram(spec, inputs);
  Drive(program.get(), evaluator, FirstWanted(), Never);
  Ladder ladder;
  const CostTable cost = ExactCost(spec, inputs, evaluator, &ladder);
  const int64_t target = *ResolveTarget(spec.target, cost);
  std::map<int, std::set<std::string>> by_generation;
  std::vector<std::string> parents = {""};
  for (const GenerationView& generation : program->Generations()) parents.push_back(generation.parent_digest);
  int num_offspring = 0;
  for (const CandidateView& candidate : program->Candidates()) {
    CHECK(candidate.cost == cost.Of(candidate.mask));
    CHECK(candidate.cost <= target);
    CHECK(IsFull(cost, target, candidate.mask));
    if (candidate.id.front() != 'p') continue;
    ++num_offspring;
    CHECK(by_generation[candidate.generation].insert(candidate.mask_digest).second);
    CHECK(candidate.mask_digest != parents[candidate.generation]);
  }
  CHECK(num_offspring == 12 * 8);
}

// Train tokens and evaluations of each generation of the search, from the tasks that were told.
struct Counted {
  int64_t train_tokens = 0;
  int num_evaluations = 0;
};
std::map<int, Counted> CountByGeneration(const std::vector<Event>& events) {
  std::map<int, Counted> counted;
  for (const Event& event : events) {
    int phase = 0, generation = 0;
    if (std::sscanf(event.task_id.c_str(), "evaluate/p%d/g%d/", &phase, &generation) != 2) continue;
    counted[generation].train_tokens += std::get<Measurement>(event.outcome).trained_tokens;
    ++counted[generation].num_evaluations;
  }
  return counted;
}

TEST_CASE(
    "Token arithmetic: a published generation trains 1.56M tokens, continued 1.08M, with the parent reused 0.88M") {
  const JobInputs inputs = SmallInputs();
  const FakeEvaluator evaluator(inputs, {});
  JobSpec spec = DarwinLmSpec(4);
  SECTION("RESTART, as published") {
    const auto program = MakeProgram(spec, inputs);
    const auto counted = CountByGeneration(Drive(program.get(), evaluator, FirstWanted(), Never));
    REQUIRE(counted.size() == 4);
    for (const auto& [generation, count] : counted) {
      CHECK(count.train_tokens == 1'560'000);
      CHECK(count.num_evaluations == 31);
    }
    CHECK(program->result().trained_tokens == 4 * 1'560'000);
    CHECK(ResolveJob(spec, inputs)->train_tokens == 4 * 1'560'000);
  }
  SECTION("CONTINUE, the parent trained again in every draw and reused within one") {
    spec.mode = TrainMode::kContinue;
    spec.phases[0].redraw_every = 2;
    const auto program = MakeProgram(spec, inputs);
    const auto counted = CountByGeneration(Drive(program.get(), evaluator, FirstWanted(), Never));
    for (const auto& [generation, count] : counted) {
      CHECK(count.train_tokens == (generation % 2 == 0 ? 1'080'000 : 880'000));
      CHECK(count.num_evaluations == (generation % 2 == 0 ? 31 : 30));
    }
    CHECK(ResolveJob(spec, inputs)->train_tokens == 2 * (1'080'000 + 880'000));
    CHECK(program->result().trained_tokens == 2 * (1'080'000 + 880'000));
  }
  CHECK(TokensOfGeneration(Resolved(DarwinLmSpec(1), inputs), 0, false) ==
        GenerationTokens{1'560'000, 16 * 1024 + 8 * 2048 + 4 * 4096 + 3 * 8192, 31});
}

TEST_CASE(
    "Streams: RESTART reads from the start, CONTINUE goes on where the last stage ended, with the same stage ends") {
  const JobInputs inputs = SmallInputs();
  const FakeEvaluator evaluator(inputs, {});
  for (TrainMode mode : {TrainMode::kRestart, TrainMode::kContinue}) {
    JobSpec spec = SmallSpec(1);
    spec.mode = mode;
    const auto program = MakeProgram(spec, inputs);
    int num_trained = 0;
    while (!program->finished()) {
      const Task task = program->Wanted().front();
      if (task.task_id.starts_with("evaluate/p0")) {
        const EvaluateTask& evaluate = std::get<EvaluateTask>(task.payload);
        CHECK(evaluate.stream.stage_ends == std::vector<int64_t>{4096, 16384});
        const bool is_last = task.task_id.find("/s2/") != std::string::npos;
        const bool is_parent = program->Candidates()[2].mask_digest == evaluate.mask_digest;
        const bool continues = mode == TrainMode::kContinue && is_last && !is_parent;
        CHECK(evaluate.stream.begin == (continues ? 4096 : 0));
        CHECK(evaluate.resume.has_value() == continues);
        CHECK(evaluate.retain.has_value() == (mode == TrainMode::kContinue && evaluate.stream.end == 4096));
        num_trained += evaluate.stream.end > 0;
      }
      REQUIRE_OK(program->Tell(task.task_id, evaluator.Run(task)));
    }
    CHECK(num_trained == 4 + 2 + 1);
  }
}

TEST_CASE("JobProgram: the parent's task of the last stage is wanted from the generation's start, and the same search comes out whenever it is told") {
  const JobInputs inputs = SmallInputs();
  const Choose last_wanted = [](const std::vector<Task>& wanted) { return wanted.size() - 1; };
  const bool all_infeasible = GENERATE(false, true);
  std::vector<std::string> summaries;
  for (const Choose& choose : {FirstWanted(), last_wanted, AnyOf(3, 5)}) {
    FakeEvaluator evaluator(inputs, {.noise = 0.1});
    const auto program = MakeProgram(SmallSpec(3), inputs);
    Drive(program.get(), evaluator, FirstWanted(), AtStep("search"));
    std::string parent;
    for (const CandidateView& candidate : program->Candidates()) {
      if (candidate.id == "first-parent") parent = candidate.mask_digest;
    }
    const std::vector<Task> wanted = program->Wanted();
    const auto* first = std::get_if<EvaluateTask>(&wanted.front().payload);
    REQUIRE(first != nullptr);
    CHECK(first->mask_digest == parent);
    CHECK(first->stream.end == 16384);
    CHECK(program->Progress().stage == 0);
    CHECK(program->Progress().tasks_total == 8);  // the offspring's
    CHECK(program->NumLeft(wanted[1].task_id) == 8);  // the eighth outcome ends the stage, with or without the parent's
    if (all_infeasible) {
      for (const CandidateView& candidate : program->Candidates()) {
        if (candidate.mask_digest != parent) evaluator.options().infeasible.insert(candidate.mask_digest);
      }
    }
    Drive(program.get(), evaluator, choose, Never);
    REQUIRE_FALSE(program->failure().has_value());
    if (all_infeasible) CHECK(program->Generations().front().parent_digest == parent);
    summaries.push_back(Summary(*program));
  }
  CHECK(summaries[1] == summaries[0]);
  CHECK(summaries[2] == summaries[0]);
}

TEST_CASE("LiveStates: what may still be resumed, and nothing else") {
  const JobInputs inputs = SmallInputs();
  const FakeEvaluator evaluator(inputs, {});
  const auto program = MakeProgram(SmallSpec(1), inputs);
  const auto at_stage_1 = [](const JobProgram& each) {
    return each.Progress().step == "search" && each.Progress().stage == 1;
  };
  Drive(program.get(), evaluator, FirstWanted(), at_stage_1);
  CHECK(program->LiveStates().size() == 4);  // retained by the four members once they are done
  std::map<std::string, double> told;
  for (const Task& task : program->Wanted()) {
    if (!task.task_id.starts_with("evaluate/p0/g0/s1")) continue;
    const EvaluateTask& evaluate = std::get<EvaluateTask>(task.payload);
    const TaskOutcome outcome = evaluator.Run(task);
    REQUIRE_OK(program->Tell(task.task_id, outcome));
    told[evaluate.mask_digest] = std::get<Measurement>(outcome).fitness;
    if (told.size() < 4) {
      const size_t untold = 4 - told.size();
      CHECK(program->LiveStates().size() == untold + std::min<size_t>(told.size(), 2));
    }
  }
  REQUIRE(program->Progress().stage == 2);
  const std::vector<StateKey> live = program->LiveStates();
  REQUIRE(live.size() == 2);
  for (const StateKey& key : live) {
    CHECK(key.position == 4096);
    CHECK(std::count_if(told.begin(), told.end(),
                        [&](const auto& each) { return each.second < told.at(key.mask_digest); }) < 2);
  }
  Drive(program.get(), evaluator, FirstWanted(), Never);
  CHECK(program->LiveStates().empty());
}

TEST_CASE("start_trained: the winner's last state is kept and named to the finish, with the way to reach it again") {
  const JobInputs inputs = SmallInputs();
  const FakeEvaluator evaluator(inputs, {});
  JobSpec spec = SmallSpec(3);
  spec.recovery.start_trained = true;
  spec.recovery.tokens = 65536;
  const auto program = MakeProgram(spec, inputs);
  Drive(program.get(), evaluator, FirstWanted(), AtStep("finish"));
  const Task task = program->Wanted().front();
  const FinishTask& finish = std::get<FinishTask>(task.payload);
  REQUIRE(finish.start.has_value());
  CHECK(finish.start->mask_digest == finish.mask_digest);
  CHECK(finish.start->position == 16384);
  REQUIRE(finish.start_evaluation.has_value());
  CHECK(finish.start_evaluation->retain == finish.start);
  CHECK(program->LiveStates() == std::vector<StateKey>{*finish.start});
}

TEST_CASE("JobProgram: without generations the result is the first parent, exported") {
  const JobInputs inputs = SmallInputs();
  const FakeEvaluator evaluator(inputs, {});
  for (FirstParent first : {FirstParent::kUniform, FirstParent::kAdditive}) {
    JobSpec spec = SmallSpec(5);
    spec.stop.generations = 0;
    spec.first_parent = first;
    const auto program = MakeProgram(spec, inputs);
    Drive(program.get(), evaluator, FirstWanted(), Never);
    const JobResult& result = program->result();
    CHECK(result.generations == 0);
    CHECK(result.mask == result.yardsticks.at(first == FirstParent::kUniform ? "uniform" : "additive").mask);
    CHECK(result.trained_tokens == 0);
    CHECK(result.fitness == result.one_shot_fitness);
    CHECK(result.yardsticks.at("additive").one_shot_fitness <= result.yardsticks.at("uniform").one_shot_fitness);
  }
}

TEST_CASE("JobProgram: a given first parent is taken, made full where it leaves room") {
  const JobInputs inputs = SmallInputs();
  const FakeEvaluator evaluator(inputs, {});
  JobSpec spec = SmallSpec(1);
  spec.stop.generations = 0;
  spec.first_parent = FirstParent::kGiven;
  spec.given.removed = {{"attention[0]", 4}, {"ffn[1]", 128}, {"ffn[2]", 64}, {"attention[2]", 2}};
  const auto program = MakeProgram(spec, inputs);
  Drive(program.get(), evaluator, FirstWanted(), Never);
  REQUIRE_FALSE(program->failure().has_value());
  Ladder ladder;
  const CostTable cost = ExactCost(spec, inputs, evaluator, &ladder);
  CHECK(IsFull(cost, *ResolveTarget(spec.target, cost), program->result().mask));
}

TEST_CASE("JobProgram: recovered yardsticks are measured on request") {
  const JobInputs inputs = SmallInputs();
  const FakeEvaluator evaluator(inputs, {});
  JobSpec spec = SmallSpec(1);
  spec.recovery.tokens = 100'000;
  spec.recover_yardsticks = true;
  const auto program = MakeProgram(spec, inputs);
  Drive(program.get(), evaluator, FirstWanted(), Never);
  for (const auto& [name, yardstick] : program->result().yardsticks) {
    REQUIRE(yardstick.recovered_perplexity.has_value());
    CHECK(*yardstick.recovered_perplexity < yardstick.one_shot_perplexity);
  }
}

}  // namespace
}  // namespace espalier
