// Assembly alone: candidates from a level bank whose tensors are random, on the device or partly in host memory, and
// the trainer's copy of their weights.
#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bench/bench_model.h"
#include "bench/options.h"
#include "bench/report.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "common/domain/ladder.h"
#include "worker/model/assemble.h"
#include "worker/model/device_runtime.h"
#include "worker/prune/resident_bank.h"
#include "worker/train/trainer.h"

namespace espalier::bench {
namespace {

UnitBank RandomUnit(const UnitLadder& ladder, const char* tensor, int64_t columns_each,
                    const torch::TensorOptions& options, int64_t hidden_size) {
  UnitBank unit;
  unit.unit = ladder.unit;
  unit.order.resize(ladder.size);
  std::iota(unit.order.begin(), unit.order.end(), 0);
  for (int level = 0; level < ladder.num_levels(); ++level) {
    LevelEntry entry;
    entry.removed = ladder.removed[level];
    const int kept = ladder.size - entry.removed;
    if (level > 0 && kept > 0) {
      entry.edits.push_back({tensor, EditKind::kReplacement, at::randn({hidden_size, kept * columns_each}, options)});
    }
    unit.levels.push_back(std::move(entry));
  }
  FillKept(unit, options.device());
  return unit;
}

std::vector<LayerBank> RandomBank(const LanguageModel& dense, const Ladder& ladder) {
  const ModelConfig& config = dense.config;
  const torch::TensorOptions options = dense.embedding_VD.options().requires_grad(false);
  std::vector<LayerBank> layers(config.num_layers);
  for (const UnitLadder& unit : ladder.units) {
    LayerBank& layer = layers[unit.unit.layer];
    layer.layer = unit.unit.layer;
    if (unit.unit.kind == UnitKind::kAttention) {
      layer.attention = RandomUnit(unit, "self_attn.o_proj.weight", config.head_size, options, config.hidden_size);
    } else {
      layer.ffn = RandomUnit(unit, "mlp.down_proj.weight", 1, options, config.hidden_size);
    }
  }
  return layers;
}

// That a piece holds what the bank does, read on the caller's stream as an assembly's user would.
absl::Status CheckPiece(int layer, const torch::Tensor& piece, const torch::Tensor& of_bank) {
  if (!piece.defined() || at::equal(piece, of_bank.to(piece.device()))) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("a piece of layer ", layer, " is not what the level bank holds"));
}

absl::StatusOr<LanguageModel> AssembleRandomly(const LanguageModel& dense, const Ladder& ladder, const ResidentBank& bank,
                                               KeyedRandom& random, bool is_checked) {
  PieceUpload upload(MakeDeviceCopies(dense.device()), PieceUpload::Contents::kCopied);
  std::vector<LayerPieces> pieces;
  std::vector<std::pair<int, int>> levels;
  for (int layer = 0; layer < dense.config.num_layers; ++layer) {
    const int attention = static_cast<int>(random.Below(ladder.units[2 * layer].num_levels()));
    const int ffn = static_cast<int>(random.Below(ladder.units[2 * layer + 1].num_levels()));
    ESPALIER_ASSIGN_OR_RETURN(LayerPieces of_layer, bank.PiecesAt(layer, attention, ffn, upload));
    pieces.push_back(std::move(of_layer));
    levels.emplace_back(attention, ffn);
  }
  upload.Start();
  ESPALIER_ASSIGN_OR_RETURN(LanguageModel candidate, Assemble(dense, pieces));
  upload.Await();
  for (int layer = 0; is_checked && layer < dense.config.num_layers; ++layer) {
    ESPALIER_ASSIGN_OR_RETURN(const LayerPieces held,
                              bank.layer(layer).PiecesAt(dense.config, levels[layer].first, levels[layer].second));
    ESPALIER_RETURN_IF_ERROR(CheckPiece(layer, pieces[layer].o_weight, held.o_weight));
    ESPALIER_RETURN_IF_ERROR(CheckPiece(layer, pieces[layer].down_weight, held.down_weight));
  }
  return candidate;
}

}  // namespace

absl::Status BenchAssemble(const Options& options) {
  ESPALIER_ASSIGN_OR_RETURN(const torch::Device device, OpenBenchDevice(options));
  ESPALIER_ASSIGN_OR_RETURN(const auto dense, OpenBenchModel(options, device));
  Report report("assemble", DescribeMachine(device, options));
  LadderOptions ladder_options;
  ladder_options.attention_levels = ladder_options.ffn_levels = options.levels;
  ladder_options.head_granularity = HeadGranularity::kHead;
  ESPALIER_ASSIGN_OR_RETURN(const Ladder ladder, BuildLadder(dense->config, ladder_options));
  for (const bool on_device : {true, false}) {
    if (!on_device && !device.is_cuda()) continue;
    ESPALIER_ASSIGN_OR_RETURN(const ResidentBank bank, ResidentBank::Create(dense->config, RandomBank(*dense, ladder),
                                                                            device, on_device ? -1 : 0));
    KeyedRandom random(7, "assemble-bench", {});
    double assemble_seconds = 0, trainer_seconds = 0;
    int64_t parameters = 0;
    const int count = 8 * options.repeats;
    for (int i = -2; i < count; ++i) {  // two to warm up
      SynchronizeDevice(device);
      const double start = SecondsNow();
      ESPALIER_ASSIGN_OR_RETURN(LanguageModel candidate, AssembleRandomly(*dense, ladder, bank, random, /*is_checked=*/i < 0));
      SynchronizeDevice(device);
      const double middle = SecondsNow();
      ESPALIER_ASSIGN_OR_RETURN(const auto trainer, Trainer::Create(&candidate, TrainSettings(), TrainerOptions()));
      if (i < 0) continue;
      assemble_seconds += middle - start;
      trainer_seconds += SecondsNow() - middle;
      parameters += trainer->num_parameters();
    }
    Row row;
    row.Text("bank", on_device ? "on the device" : "in host memory").Count("candidates", count);
    row.Number("bank_gib", static_cast<double>(bank.device_bytes() + bank.host_bytes()) / (1 << 30), 3);
    row.Count("mean_parameters", parameters / count);
    row.Number("assemble_ms", 1e3 * assemble_seconds / count, 2)
        .Number("make_trainer_ms", 1e3 * trainer_seconds / count, 2);
    report.Add(row);
  }
  return report.Finish(options.json);
}

}  // namespace espalier::bench
