#include "coordinator/core/search_health.h"

#include <utility>

#include "tests/support/catch.h"

namespace espalier {
namespace {

// A search as far as its candidates and generations go.
class TraceProgram final : public JobProgram {
 public:
  std::vector<Task> Wanted() const override { return {}; }
  int64_t WantedRevision() const override { return 0; }
  int NumLeft(const std::string&) const override { return 0; }
  absl::Status Tell(const std::string&, const TaskOutcome&) override { return absl::OkStatus(); }
  absl::Status Check(const std::string&, const TaskOutcome&) const override { return absl::OkStatus(); }
  absl::Status TellFailed(const std::string&, const std::string&) override { return absl::OkStatus(); }
  void TellWallTimeStop() override {}
  void TellArtifactLost(const std::string&) override {}
  bool finished() const override { return false; }
  std::optional<std::string> failure() const override { return std::nullopt; }
  std::vector<StateKey> LiveStates() const override { return {}; }
  JobProgress Progress() const override { return {}; }
  std::vector<CandidateView> Candidates() const override { return candidates; }
  std::vector<GenerationView> Generations() const override { return generations; }
  const JobResult& result() const override { return result_; }

  void EndGeneration(const std::string& parent) {
    GenerationView view;
    view.generation = static_cast<int>(generations.size());
    view.parent_digest = parent;
    view.rank_agreement = 0.5;
    generations.push_back(view);
  }
  void Add(int generation, const std::string& digest, std::vector<int> levels, int64_t cost, double fitness) {
    CandidateView candidate;
    candidate.generation = generation;
    candidate.mask_digest = digest;
    candidate.mask.levels = std::move(levels);
    candidate.cost = cost;
    Measurement measurement;
    measurement.fitness = fitness;
    measurement.feasible = fitness >= 0;
    candidate.by_stage.emplace_back(0, measurement);
    candidates.push_back(std::move(candidate));
  }

  std::vector<CandidateView> candidates;
  std::vector<GenerationView> generations;

 private:
  JobResult result_;
};

TEST_CASE("SearchHealth: before a generation has ended there is nothing to tell", "[core]") {
  TraceProgram program;
  program.Add(0, "a", {1, 1}, 50, 2);
  CHECK(HealthOf(program, 100, {}).generations == 0);
}

TEST_CASE("SearchHealth: the last generation's fitness, variety and parent", "[core]") {
  TraceProgram program;
  program.Add(0, "z", {3, 3, 3, 3}, 10, 0.1);  // of an earlier generation
  program.EndGeneration("p");
  program.Add(1, "a", {0, 0, 0, 0}, 60, 3);
  program.Add(1, "b", {0, 0, 0, 1}, 70, 1);
  program.Add(1, "b", {0, 0, 0, 1}, 70, 2);
  program.Add(1, "c", {1, 1, 1, 1}, 80, -1);  // infeasible: tried, and without a fitness
  program.EndGeneration("b");
  const SearchHealth health = HealthOf(program, 100, {});
  CHECK(health.generations == 2);
  CHECK(health.best_fitness == 1);
  CHECK(health.median_fitness == 2);
  CHECK(health.worst_fitness == 3);
  CHECK(health.p10_fitness == 1);
  CHECK(health.p90_fitness == 3);
  CHECK(health.unique_ratio == 0.75);
  // Pairs differ in 1, 1, 4, 0, 3 and 3 of 4 units.
  CHECK(health.diversity_ratio == 0.5);
  CHECK(health.parent_size_ratio == 0.7);
  CHECK(health.rank_agreement == 0.5);
  CHECK(health.stagnation == 0);
}

TEST_CASE("SearchHealth: a tenth of a large generation lies outside p10 and p90 each", "[core]") {
  TraceProgram program;
  for (int i = 0; i < 100; ++i) program.Add(0, "c" + std::to_string(i), {i}, 50, i);
  program.EndGeneration("c0");
  const SearchHealth health = HealthOf(program, 100, {});
  CHECK(health.best_fitness == 0);
  CHECK(health.p10_fitness == 10);
  CHECK(health.median_fitness == 50);
  CHECK(health.p90_fitness == 90);
  CHECK(health.worst_fitness == 99);
}

TEST_CASE("SearchHealth: generations that keep the parent are counted, and asked for only when one more has ended", "[core]") {
  TraceProgram program;
  for (const char* parent : {"a", "b", "b", "b"}) program.EndGeneration(parent);
  const SearchHealth health = HealthOf(program, 100, {});
  CHECK(health.stagnation == 2);
  SearchHealth earlier = health;
  earlier.best_fitness = 42;  // a mark: the same answer again
  CHECK(HealthOf(program, 100, earlier).best_fitness == 42);
  program.EndGeneration("b");
  CHECK(HealthOf(program, 100, earlier).stagnation == 3);
}

}  // namespace
}  // namespace espalier
