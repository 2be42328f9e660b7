// How long stages take, and how much of that is tail: the last worker works while the others have nothing left to do, because
// the next stage waits for who survives this one. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace espalier {

struct StageTime {
  double seconds = 0;       // from the end of the stage before to its last outcome
  double tail_seconds = 0;  // of it: from when all workers but one were through with it; 0 with a single worker
  bool operator==(const StageTime&) const = default;
};

// Told of a job's outcomes in their order, it looks back over a generation once that is over. The parent's task, which belongs
// to the last stage and runs from the generation's start, keeps its worker busy until it ends. A stage whose beginning is not
// known, because nothing was told before it, is left out.
class StageTimes {
 public:
  // `elapsed`: seconds of the job's running time, never less than before. A worker may also stand for one of a card's slots.
  void Note(const std::string& task_id, const std::string& worker_id, double elapsed);
  // No further generation follows. No-op between generations.
  void EndGeneration();

  const StageTime& sums() const { return sums_; }  // over all stages of generations that are over
  std::vector<StageTime> TakeEnded();              // those since the last call

 private:
  struct Outcome {
    int stage = 0;
    std::string mask;
    std::string worker_id;
    double at = 0;
    bool is_early = false;  // of the parent: no survivor of the stage before
  };

  std::string generation_;  // "p0/g3"; empty: none is under way
  std::vector<Outcome> outcomes_;
  std::optional<double> begin_;  // of the generation
  std::optional<double> last_;   // of what was told last
  StageTime sums_;
  std::vector<StageTime> ended_;
};

}  // namespace espalier
