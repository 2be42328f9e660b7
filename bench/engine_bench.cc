// Whole generations and whole level banks through the engine, as a worker runs them.
#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "bench/bench_engine.h"
#include "bench/bench_model.h"
#include "bench/job_loop.h"
#include "bench/options.h"
#include "bench/progress.h"
#include "bench/report.h"
#include "bench/trace.h"
#include "common/base/status_macros.h"
#include "coordinator/search/retained_states.h"
#include "coordinator/search/stage_times.h"
#include "worker/model/device_runtime.h"
#include "worker/train/step_graph.h"

namespace espalier::bench {
namespace {

constexpr double kGiB = static_cast<double>(int64_t{1} << 30);

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// What the measured generations took.
struct GenerationSums {
  std::vector<double> seconds;
  double assemble = 0, train = 0, score = 0, busy = 0;
  std::map<std::string, double> assemble_of_stage, busy_of_stage;
  int64_t trained_tokens = 0, replayed_tokens = 0, peak_bytes = 0, refused_graphs = 0;
  int64_t evaluations = 0;
  PlacedBytes retained;
  StageTime stages;  // with the card's slots for workers
};

// "s2" of "evaluate/p0/g4/s2/16df39d13223f919".
std::string StageOf(const std::string& task_id) {
  const std::vector<std::string> parts = absl::StrSplit(task_id, '/');
  return parts.size() > 3 ? parts[3] : "";
}

// Of the stage that assembly (with the retained state that is brought back) costs most, in per cent of its tasks' seconds.
double LargestAssemblyShare(const GenerationSums& sums) {
  double largest = 0;
  for (const auto& [stage, busy] : sums.busy_of_stage) largest = std::max(largest, sums.assemble_of_stage.at(stage) / busy);
  return 100 * largest;
}

// Of the generations behind the first one.
StageTime TailsOf(const std::vector<TaskRecord>& records, size_t measured) {
  StageTimes times;
  for (const TaskRecord& record : records) times.Note(record.task.task_id, absl::StrCat(record.slot), record.end);
  times.EndGeneration();
  const std::vector<StageTime> ended = times.TakeEnded();
  StageTime sums;
  for (size_t i = ended.size() - std::min(measured, ended.size()); i < ended.size(); ++i) {
    sums.seconds += ended[i].seconds;
    sums.tail_seconds += ended[i].tail_seconds;
  }
  return sums;
}

absl::StatusOr<GenerationSums> MeasureGenerations(const Options& options, JobLoop& loop) {
  const auto generations = [](const JobProgram& program) { return static_cast<int>(program.Generations().size()); };
  ESPALIER_RETURN_IF_ERROR(loop.RunUntil([&](const JobProgram& program) { return generations(program) >= 1; }));
  SayDone(absl::StrCat("generation 1 of ", options.generations + 1, ", which is not counted"));
  const size_t first_record = loop.records().size();
  GenerationSums sums;
  const int64_t refused_before = StepGraph::NumRefused();
  const Trace trace(options.trace);
  for (int done = 2; done <= options.generations + 1; ++done) {
    const double start = loop.Seconds();
    ESPALIER_RETURN_IF_ERROR(loop.RunUntil([&](const JobProgram& program) { return generations(program) >= done; }));
    sums.seconds.push_back(loop.Seconds() - start);
    SayDone(absl::StrCat("generation ", done, " of ", options.generations + 1));
  }
  for (size_t i = first_record; i < loop.records().size(); ++i) {
    const TaskRecord& record = loop.records()[i];
    const auto* measurement = std::get_if<Measurement>(&record.outcome);
    if (measurement == nullptr) continue;
    sums.assemble += measurement->assemble_seconds;
    sums.train += measurement->train_seconds;
    sums.score += measurement->score_seconds;
    sums.busy += record.end - record.begin;
    sums.assemble_of_stage[StageOf(record.task.task_id)] += measurement->assemble_seconds;
    sums.busy_of_stage[StageOf(record.task.task_id)] += record.end - record.begin;
    sums.trained_tokens += measurement->trained_tokens;
    sums.replayed_tokens += measurement->replayed_tokens;
    sums.peak_bytes = std::max(sums.peak_bytes, measurement->peak_bytes);
    ++sums.evaluations;
  }
  sums.refused_graphs = StepGraph::NumRefused() - refused_before;
  sums.retained = loop.most_retained();
  sums.stages = TailsOf(loop.records(), loop.spec().phases[0].stages.size() * sums.seconds.size());
  return sums;
}

Row RowOf(const std::string& mode, int tokens_per_step, int slots, const GenerationSums& sums) {
  const double count = static_cast<double>(sums.seconds.size());
  double wall = 0;
  for (double seconds : sums.seconds) wall += seconds;
  Row row;
  row.Text("mode", mode).Count("tokens_per_step", tokens_per_step).Count("slots", slots);
  row.Number("seconds", Median(sums.seconds), 3);
  row.Number("min", *std::min_element(sums.seconds.begin(), sums.seconds.end()), 3);
  row.Number("max", *std::max_element(sums.seconds.begin(), sums.seconds.end()), 3);
  // Seconds of slots by phase: with one slot they add up to the mean of the seconds.
  row.Number("assemble_s", sums.assemble / count, 3).Number("train_s", sums.train / count, 3);
  row.Number("score_s", sums.score / count, 3);
  row.Number("assemble_most_pct", LargestAssemblyShare(sums), 1);
  row.Number("task_rest_s", (sums.busy - sums.assemble - sums.train - sums.score) / count, 3);
  row.Number("idle_s", (wall * slots - sums.busy) / count, 3);
  // Of the seconds: one slot was at work and the others were through with the stage.
  row.Number("tail_s", sums.stages.tail_seconds / count, 3);
  row.Count("evaluations", sums.evaluations / static_cast<int64_t>(sums.seconds.size()));
  row.Count("train_tokens", sums.trained_tokens / static_cast<int64_t>(sums.seconds.size()));
  row.Count("replayed", sums.replayed_tokens / static_cast<int64_t>(sums.seconds.size()));
  row.Number("train_tokens_per_s", static_cast<double>(sums.trained_tokens) / wall, 0);
  row.Count("refused_graphs", sums.refused_graphs);  // of all generations: candidates that trained without one
  row.Number("peak_gib", static_cast<double>(sums.peak_bytes) / kGiB, 2);
  // The most that survivors' states took at once, by place.
  row.Number("states_device_gib", static_cast<double>(sums.retained.device) / kGiB, 2);
  row.Number("states_host_gib", static_cast<double>(sums.retained.host) / kGiB, 2);
  row.Number("states_disk_gib", static_cast<double>(sums.retained.disk) / kGiB, 2);
  return row;
}

}  // namespace

absl::Status BenchGeneration(const Options& options) {
  const StateFolder folder(options.state);
  ESPALIER_ASSIGN_OR_RETURN(const EngineBench bench, PrepareEngine(options, folder.path()));
  Report report("generation", DescribeMachine(bench.device, options));
  std::map<std::string, TaskOutcome> known;
  for (const std::string& mode : options.modes) {
    if (mode != "restart" && mode != "continue") {
      return absl::InvalidArgumentError(absl::StrCat("mode '", mode, "' is neither restart nor continue"));
    }
    for (const int tokens_per_step : options.tokens_per_step) {
      JobSpec spec = BenchSpec(options, bench.files);
      spec.mode = mode == "restart" ? TrainMode::kRestart : TrainMode::kContinue;
      spec.tokens_per_step = tokens_per_step;
      spec.continue_state = options.continue_state == "weights-bf16" ? ContinueState::kWeightsBFloat16 : ContinueState::kFull;
      if (options.continue_state == "by-size") {
        ESPALIER_ASSIGN_OR_RETURN(spec.continue_state, ContinueStateBySize(spec, bench.files.inputs));
      }
      ESPALIER_ASSIGN_OR_RETURN(const auto loop, JobLoop::Create(spec, bench.files.inputs, bench.engine.get(), &known));
      if (!BankIsBuilt(loop->program())) ESPALIER_RETURN_IF_ERROR(loop->RunUntil(BankIsBuilt));
      SayDone("the level bank is there");
      ESPALIER_ASSIGN_OR_RETURN(const GenerationSums sums, MeasureGenerations(options, *loop));
      report.Add(RowOf(mode, tokens_per_step, bench.engine->num_slots(), sums));
      bench.engine->KeepOnly({});
    }
  }
  return report.Finish(options.json);
}

absl::Status BenchBank(const Options& options) {
  const StateFolder folder(options.state);
  ESPALIER_ASSIGN_OR_RETURN(const EngineBench bench, PrepareEngine(options, folder.path()));
  Report report("bank", DescribeMachine(bench.device, options));
  for (int repeat = 0; repeat <= options.repeats; ++repeat) {
    std::map<std::string, TaskOutcome> known;  // of this repeat alone: every bank is built
    JobSpec spec = BenchSpec(options, bench.files);
    // Another damping is another bank, so that nothing kept from the last repeat can be used again.
    spec.damping = 0.01 + 1e-6 * repeat;
    ESPALIER_ASSIGN_OR_RETURN(const auto loop, JobLoop::Create(spec, bench.files.inputs, bench.engine.get(), &known));
    ResetPeakDeviceBytes(bench.device);
    ESPALIER_RETURN_IF_ERROR(loop->RunUntil(BankIsBuilt));
    std::map<std::string, double> by_step;
    int64_t bytes = 0;
    double busy = 0, last_end = 0;
    for (const TaskRecord& record : loop->records()) {
      const auto* layer = std::get_if<BankLayerOutcome>(&record.outcome);
      if (layer == nullptr) continue;
      bytes += layer->artifact_bytes;
      busy += record.end - record.begin;
      last_end = std::max(last_end, record.end);
      for (const auto& [step, seconds] : record.seconds_by_step) by_step[step] += seconds;
    }
    Row row;
    row.Text("run", repeat == 0 ? "first" : absl::StrCat("again ", repeat))
        .Count("calibration_tokens", options.calibration_tokens);
    row.Count("layers", bench.files.inputs.dense.num_layers)
        .Count("levels", options.levels)
        .Number("seconds", last_end, 3);
    double named = 0;
    for (const auto& [step, seconds] : by_step) {
      row.Number(step + "_s", seconds, 3);
      named += seconds;
    }
    row.Number("rest_s", busy - named, 3).Number("bank_gib", static_cast<double>(bytes) / kGiB, 3);
    row.Number("peak_gib", static_cast<double>(PeakDeviceBytes(bench.device)) / kGiB, 2);
    report.Add(row);
  }
  return report.Finish(options.json);
}

}  // namespace espalier::bench
