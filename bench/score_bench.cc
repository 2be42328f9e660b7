// Scoring alone: the dense model's hidden states once, then a pruned candidate against them.
#include "absl/strings/str_cat.h"
#include "bench/bench_model.h"
#include "bench/options.h"
#include "bench/report.h"
#include "bench/shapes.h"
#include "common/base/status_macros.h"
#include "worker/model/device_runtime.h"
#include "worker/model/random_model.h"
#include "worker/score/score.h"

namespace espalier::bench {

absl::Status BenchScore(const Options& options) {
  ESPALIER_ASSIGN_OR_RETURN(const torch::Device device, OpenBenchDevice(options));
  ESPALIER_ASSIGN_OR_RETURN(const auto dense, OpenBenchModel(options, device));
  Report report("score", DescribeMachine(device, options));
  const ScoreBatching batching = ScoreBatchingFor(dense->config, options.sequence_length, device);
  LanguageModel candidate =
      RandomLanguageModel(Pruned(dense->config, options.kept_share), 2, device, ComputeFormat(device));
  SetKvIndex(candidate);
  for (const int64_t windows : {1, 2, 4, 8, 64}) {
    ResetPeakDeviceBytes(device);
    const torch::Tensor tokens = RandomWindows(windows, options.sequence_length, dense->config.vocabulary_size, device);
    double teacher_seconds = 1e9, score_seconds = 1e9;
    for (int repeat = 0; repeat <= options.repeats; ++repeat) {  // the best: the first one warms up
      SynchronizeDevice(device);
      const double start = SecondsNow();
      ESPALIER_ASSIGN_OR_RETURN(const TeacherStates teacher, MakeTeacherStates(*dense, tokens, batching, {}));
      SynchronizeDevice(device);
      const double middle = SecondsNow();
      ESPALIER_ASSIGN_OR_RETURN(const ScoreResult result, ScoreAgainstDense(candidate, teacher, batching, {}));
      SynchronizeDevice(device);
      teacher_seconds = std::min(teacher_seconds, middle - start);
      score_seconds = std::min(score_seconds, SecondsNow() - middle);
    }
    const double num_tokens = static_cast<double>(windows * options.sequence_length);
    Row row;
    row.Text("windows", absl::StrCat(windows)).Count("tokens", windows * options.sequence_length);
    row.Number("dense_ms", 1e3 * teacher_seconds, 2).Number("candidate_ms", 1e3 * score_seconds, 2);
    row.Number("candidate_tokens_per_s", num_tokens / score_seconds, 0);
    row.Number("peak_gib", static_cast<double>(PeakDeviceBytes(device)) / (1 << 30), 2);
    report.Add(row);
  }
  return report.Finish(options.json);
}

}  // namespace espalier::bench
