#include "bench/bench_engine.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "bench/bench_model.h"
#include "common/base/status_macros.h"
#include "common/domain/job_presets.h"
#include "worker/model/device_runtime.h"

namespace espalier::bench {
namespace {

// Windows enough for the pools that the schedule draws from: 4 of 32 calibrate, 21 of 32 train.
int64_t WindowsNeeded(const Options& options) {
  const int64_t calibrate = options.calibration_tokens / options.sequence_length + 1;
  const int64_t train = static_cast<int64_t>(200'000 * options.token_share) / options.sequence_length + 2;
  const int64_t score = 65'536 / options.sequence_length + 2;
  return 32 * (1 + std::max({calibrate / 4 + 1, train / 21 + 1, score}));
}

}  // namespace

StateFolder::StateFolder(const std::string& named) : path_(named), is_temporary_(named.empty()) {
  if (!is_temporary_) return;
  std::string name = (std::filesystem::temp_directory_path() / "espalier-bench-XXXXXX").string();
  if (::mkdtemp(name.data()) != nullptr) path_ = name;
}

StateFolder::~StateFolder() {
  std::error_code ignored;
  if (is_temporary_ && !path_.empty()) std::filesystem::remove_all(path_, ignored);
}

bool BankIsBuilt(const JobProgram& program) { return program.Progress().step != "bank"; }

EngineOptions EngineOptionsOf(const Options& options, torch::Device device, const std::string& folder) {
  constexpr double kGiB = static_cast<double>(int64_t{1} << 30);
  EngineOptions engine;
  engine.artifact_folder = folder + "/artifacts";
  engine.device = device.is_cuda() ? DeviceKind::kCuda : DeviceKind::kCpu;
  engine.num_slots = options.slots;
  engine.device_memory_bytes = static_cast<int64_t>(options.device_memory * kGiB);
  engine.state_memory_bytes = static_cast<int64_t>(options.state_memory * kGiB);
  return engine;
}

JobSpec BenchSpec(const Options& options, const Files& files) {
  const DeviceKind device = options.device == "cpu" ? DeviceKind::kCpu : DeviceKind::kCuda;
  JobSpec spec = PresetSpec(Preset::kDarwinLm, device);
  spec.model_folder = files.model;
  spec.tokens_path = files.tokens;
  spec.sequence_length = options.sequence_length;
  spec.seed = 1;
  spec.target.share = options.target_share;
  spec.calibration_tokens = options.calibration_tokens;
  spec.additive_score_tokens = options.sequence_length;  // the additive table is not measured here
  spec.ladder.attention_levels = spec.ladder.ffn_levels = options.levels;
  Phase& phase = spec.phases[0];
  phase.generations = options.generations + 1;
  phase.offspring = options.offspring;
  for (Stage& stage : phase.stages) {
    stage.train_tokens = static_cast<int64_t>(static_cast<double>(stage.train_tokens) * options.token_share);
    stage.survivors = std::min(stage.survivors, options.offspring);
  }
  return spec;
}

absl::StatusOr<EngineBench> PrepareEngine(const Options& options, const std::string& folder) {
  if (folder.empty()) return absl::UnavailableError("no temporary folder could be made; name one with --state");
  ESPALIER_ASSIGN_OR_RETURN(const torch::Device device, OpenBenchDevice(options));
  const auto make_model = [&](const std::string& path) -> absl::Status {
    ESPALIER_ASSIGN_OR_RETURN(const auto model, OpenBenchModel(options, device));
    return WriteModelFolder(*model, path);
  };
  const auto make_tokens = [&](const std::string& path) -> absl::Status {
    const std::string model = options.model.empty() ? absl::StrCat(folder, "/model") : options.model;
    ESPALIER_ASSIGN_OR_RETURN(const auto config, checkpoint::ReadModelConfig(model));
    const int64_t num_windows = WindowsNeeded(options);
    return WriteTokenFile(RandomWindows(num_windows, options.sequence_length, config.vocabulary_size, torch::kCPU), path);
  };
  ESPALIER_ASSIGN_OR_RETURN(Files files, PrepareFiles(options, folder, make_model, make_tokens));
  EmptyDeviceCache(device);
  ESPALIER_ASSIGN_OR_RETURN(std::unique_ptr<Engine> engine, MakeTorchEngine(EngineOptionsOf(options, device, folder)));
  return EngineBench{device, std::move(files), std::move(engine)};
}

}  // namespace espalier::bench
