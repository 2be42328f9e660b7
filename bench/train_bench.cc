// The training loop alone: a pruned candidate on random windows, by tokens per step, beside the card's own matrix peak.
#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bench/bench_model.h"
#include "bench/options.h"
#include "bench/report.h"
#include "bench/shapes.h"
#include "bench/trace.h"
#include "common/base/status_macros.h"
#include "worker/model/device_runtime.h"
#include "worker/model/random_model.h"
#include "worker/score/score.h"
#include "worker/train/trainer.h"

namespace espalier::bench {
namespace {

absl::StatusOr<TrainSettings> SettingsOf(const Options& options) {
  TrainSettings settings;
  settings.learning_rate = 1e-4;
  if (options.loss == "cross-entropy") {
    settings.loss = Loss::kCrossEntropy;
  } else if (options.loss == "kl") {
    settings.loss = Loss::kKl;
  } else {
    return absl::InvalidArgumentError(absl::StrCat("loss '", options.loss, "' is neither cross-entropy nor kl"));
  }
  return settings;
}

// A way to train: one row for each shape and tokens per step.
struct Way {
  TrainerOptions options;
  std::string formats;  // in words; empty: float32 throughout
};

// The flags admit these words only.
Way MakeWay(const Options& options, const std::string& masters, const std::string& moments, bool use_graph) {
  Way way;
  if (masters == "bfloat16") way.options.masters = MastersFormat::kBFloat16;
  if (moments == "bfloat16") way.options.moments = MomentsFormat::kBFloat16;
  if (moments == "byte") way.options.moments = MomentsFormat::kByte;
  if (masters != "float32") absl::StrAppend(&way.formats, ", masters ", masters);
  if (moments != "float32") absl::StrAppend(&way.formats, ", moments ", moments);
  way.options.use_graph = use_graph;
  way.options.recompute_activations = options.recompute;
  way.options.micro_batch_tokens = options.micro_batch_tokens;
  return way;
}

std::vector<Way> WaysOf(const Options& options, torch::Device device) {
  std::vector<Way> ways;
  for (const std::string& masters : options.masters) {
    for (const std::string& moments : options.moments) {
      if (options.eager || !device.is_cuda()) ways.push_back(MakeWay(options, masters, moments, false));
      if (device.is_cuda()) ways.push_back(MakeWay(options, masters, moments, true));
    }
  }
  return ways;
}

std::vector<Step> StepsOver(int64_t num_windows, int length, int tokens_per_step, int count) {
  std::vector<Step> steps;
  int64_t window = 0;
  for (int i = 0; i < count; ++i) {
    Step step;
    const int rows = std::max(1, tokens_per_step / length);
    for (int row = 0; row < rows; ++row) step.push_back({window++ % num_windows, 0, std::min(length, tokens_per_step)});
    steps.push_back(std::move(step));
  }
  return steps;
}

// One line of the table: a trainer of its own, a first run that captures, a second one that is timed.
absl::StatusOr<Row> Measure(const Options& options, const ModelConfig& shape, const TrainData& data,
                            int tokens_per_step, const Way& way, double peak) {
  const torch::Device device = data.tokens_WL.device();
  EmptyDeviceCache(device);
  ResetPeakDeviceBytes(device);
  LanguageModel candidate = RandomLanguageModel(shape, 2, device, ComputeFormat(device));
  SetKvIndex(candidate);
  ESPALIER_ASSIGN_OR_RETURN(const TrainSettings settings, SettingsOf(options));
  ESPALIER_ASSIGN_OR_RETURN(const auto trainer, Trainer::Create(&candidate, settings, way.options));
  const auto steps = [&](int count) {
    return StepsOver(data.tokens_WL.size(0), options.sequence_length, tokens_per_step, count);
  };
  ESPALIER_ASSIGN_OR_RETURN(const TrainResult first, trainer->Run(steps(10), data, 0, {}, {}));
  std::vector<double> seconds;
  TrainResult timed;
  for (int repeat = 0; repeat < options.repeats; ++repeat) {
    const Trace trace(repeat + 1 == options.repeats ? options.trace : "");
    ESPALIER_ASSIGN_OR_RETURN(timed, trainer->Run(steps(options.steps), data, 0, {}, {}));
    seconds.push_back(timed.seconds);
  }
  std::sort(seconds.begin(), seconds.end());
  const double tokens_per_second = static_cast<double>(timed.tokens) / seconds[seconds.size() / 2];
  const double flops = TrainFlopsPerToken(shape, options.sequence_length) * tokens_per_second;
  Row row;
  const std::string queued = timed.used_graph              ? "graph"
                             : first.graph_refusal.empty() ? "eager"
                                                           : "eager (no graph: " + first.graph_refusal + ")";
  row.Text("way", queued + way.formats);
  row.Count("tokens_per_step", tokens_per_step);
  row.Count("parameters", trainer->num_parameters());
  row.Number("ms_per_step", 1e3 * seconds[seconds.size() / 2] / options.steps, 3);
  row.Number("ms_min", 1e3 * seconds.front() / options.steps, 3);
  row.Number("ms_max", 1e3 * seconds.back() / options.steps, 3);
  row.Number("tokens_per_s", tokens_per_second, 0);
  row.Number("tflop_per_s", flops / 1e12, 2);
  row.Number("percent_of_peak", 100 * flops / peak, 1);
  row.Number("capture_ms", 1e3 * first.capture_seconds, 1);
  row.Number("peak_gib", static_cast<double>(PeakDeviceBytes(device)) / (1 << 30), 2);
  row.Number("last_loss", timed.last_loss, 3);
  return row;
}

}  // namespace

absl::Status BenchTrain(const Options& options) {
  ESPALIER_ASSIGN_OR_RETURN(const torch::Device device, OpenBenchDevice(options));
  ESPALIER_ASSIGN_OR_RETURN(const auto dense, OpenBenchModel(options, device));
  const double peak = MeasureMatrixPeak(device);
  Report report("train", DescribeMachine(device, options));
  TrainData data;
  data.tokens_WL = RandomWindows(64, options.sequence_length, dense->config.vocabulary_size, device);
  if (options.loss == "kl") {
    data.teacher = dense.get();
    const ScoreBatching batching = ScoreBatchingFor(dense->config, options.sequence_length, device);
    ESPALIER_ASSIGN_OR_RETURN(const TeacherStates states, MakeTeacherStates(*dense, data.tokens_WL, batching, {}));
    data.teacher_hidden_WLD = states.hidden_WLD;
  }
  report.Add(
      Row().Text("way", "matrix product").Number("tflop_per_s", peak / 1e12, 2).Number("percent_of_peak", 100, 1));
  if (device.is_cuda()) {
    const double sustained = MeasureSustainedMatrixRate(device);
    report.Add(Row().Text("way", "matrix product, for seconds").Number("tflop_per_s", sustained / 1e12, 2).Number("percent_of_peak", 100 * sustained / peak, 1));
  }
  for (const double share : {1.0, options.kept_share}) {
    const ModelConfig shape = share == 1.0 ? dense->config : Pruned(dense->config, share);
    for (const int tokens_per_step : options.tokens_per_step) {
      for (const Way& way : WaysOf(options, device)) {
        ESPALIER_ASSIGN_OR_RETURN(const Row row, Measure(options, shape, data, tokens_per_step, way, peak));
        report.Add(row);
      }
    }
  }
  return report.Finish(options.json);
}

}  // namespace espalier::bench
