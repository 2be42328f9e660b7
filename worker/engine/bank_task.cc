// Builds one layer of the level bank. The dense model runs over the calibration tokens once for all layers that this
// worker builds: the pass waits between tasks at the door of the next layer.
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "worker/engine/tasks.h"
#include "worker/model/device_runtime.h"
#include "worker/prune/bank.h"
#include "worker/prune/bank_pieces.h"
#include "worker/prune/removal_kernel.h"

namespace espalier {
namespace {

absl::StatusOr<std::unique_ptr<CalibrationPass>> OpenPass(TaskRun& run, const BankLayerTask& task,
                                                          const std::string& key) {
  if (auto pass = run.parts.passes.Take(key, task.layer); pass != nullptr) return pass;
  ESPALIER_ASSIGN_OR_RETURN(const std::vector<int64_t> windows,
                            run.Windows(task.calibration, task.calibration_windows));
  CalibrationOptions options;
  options.hidden_memory_bytes = run.parts.memory.calibration;
  return CalibrationPass::Create(run.dense, run.tokens->Rows(windows).cpu(), options);
}

std::vector<double> Errors(const UnitBank& unit) {
  std::vector<double> errors;
  for (const LevelEntry& level : unit.levels) errors.push_back(level.squared_error);
  return errors;
}

}  // namespace

absl::StatusOr<BankLayerOutcome> RunBankLayer(TaskRun& run, const BankLayerTask& task) {
  if (task.layer < 0 || task.layer >= run.dense->config.num_layers) {
    return absl::InvalidArgumentError(absl::StrCat("layer ", task.layer, " is not in the model, which has ",
                                                   run.dense->config.num_layers, " layers"));
  }
  const Stopwatch stopwatch;
  std::string step;
  const BankProgress progress = [&](const char* name, int64_t done, int64_t total) {
    if (step != name) run.progress.Begin(step = name, total);
    run.progress.Update(done, 0);
  };
  const std::string key = run.CacheKey(absl::StrCat(ToText(task.calibration), "/", task.calibration_windows));
  // Compiles the kernel while the calibration runs; the elimination waits for it, and says so when there is none.
  std::jthread compiling;
  if (run.parts.device.is_cuda()) compiling = std::jthread([device = run.parts.device] { (void)RemovalKernel::For(device); });
  ESPALIER_ASSIGN_OR_RETURN(std::unique_ptr<CalibrationPass> pass, OpenPass(run, task, key));
  ESPALIER_ASSIGN_OR_RETURN(LayerStatistics statistics, pass->Collect(task.layer, progress, run.progress.stop()));
  SynchronizeCurrentStream(run.parts.device);  // the next layer's task may run on another stream
  if (pass->position() < run.dense->config.num_layers) run.parts.passes.Park(key, std::move(pass));

  const BankBuildSettings settings = {run.context.criterion, run.context.compensation, run.context.damping};
  ESPALIER_ASSIGN_OR_RETURN(const LayerBank bank, BuildLayerBank(*run.dense, statistics, run.context.ladder, settings,
                                                                 progress, run.progress.stop()));
  run.progress.Begin("store", 0);
  const LayerBankPieces file(bank);
  BankLayerOutcome outcome;
  ESPALIER_ASSIGN_OR_RETURN(outcome.artifact_digest, run.parts.artifacts->PutPieces(file.pieces()));
  outcome.artifact_bytes = file.bytes();
  outcome.head_order = bank.attention.order;
  outcome.attention_errors = Errors(bank.attention);
  outcome.ffn_errors = Errors(bank.ffn);
  outcome.seconds = stopwatch.Seconds();
  return outcome;
}

}  // namespace espalier
