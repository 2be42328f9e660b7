#include "worker/engine/candidate.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "worker/engine/number_format.h"
#include "worker/model/assemble.h"

namespace espalier {
namespace {

// The levels of a layer's two units; units that the ladder does not have stay intact.
struct LayerLevels {
  int attention = 0;
  int ffn = 0;
};

std::vector<LayerLevels> LevelsByLayer(const ModelConfig& dense, const Ladder& ladder, const Mask& mask) {
  std::vector<LayerLevels> levels(dense.num_layers);
  for (size_t unit = 0; unit < ladder.units.size(); ++unit) {
    LayerLevels& layer = levels[ladder.units[unit].unit.layer];
    (ladder.units[unit].unit.kind == UnitKind::kAttention ? layer.attention : layer.ffn) = mask.levels[unit];
  }
  return levels;
}

}  // namespace

absl::Status CheckMask(const Ladder& ladder, const Mask& mask, const std::string& mask_digest) {
  ESPALIER_RETURN_IF_ERROR(Validate(ladder, mask));
  const std::string digest = Digest(ladder, mask);
  if (mask_digest.empty() || digest == mask_digest) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("the mask has digest ", digest, ", the task says ", mask_digest));
}

ModelConfig LargestShape(const ModelConfig& dense, const Ladder& ladder, const Mask& mask) {
  ModelConfig shape = dense;
  for (size_t index = 0; index < ladder.units.size(); ++index) {
    const UnitLadder& unit = ladder.units[index];
    LayerShape& layer = shape.layers[unit.unit.layer];
    const int kept = unit.size - unit.removed[mask.levels[index]];
    if (unit.unit.kind == UnitKind::kFfn) {
      layer.ffn_width = kept;
      continue;
    }
    const int with_groups = ladder.head_granularity == HeadGranularity::kKvGroup ? kept / dense.heads_per_group() : kept;
    layer.num_kv_heads = kept == 0 ? 0 : ladder.keep_kv_whole ? dense.num_kv_heads : std::min(with_groups, dense.num_kv_heads);
    layer.head_to_kv.resize(kept);
    for (int head = 0; head < kept; ++head) layer.head_to_kv[head] = head * layer.num_kv_heads / kept;
  }
  return shape;
}

absl::StatusOr<std::unique_ptr<LanguageModel>> AssembleMask(TaskRun& run, const BankReference& bank, const Mask& mask,
                                                            BankPlace place, PieceUpload::Contents contents) {
  const ModelConfig& config = run.dense->config;
  ESPALIER_ASSIGN_OR_RETURN(const auto resident,
                            run.parts.banks.Get(bank, run.model_digest, config, run.context.ladder, place));
  PieceUpload upload(MakeDeviceCopies(run.parts.device), contents);
  const std::vector<LayerLevels> levels = LevelsByLayer(config, run.context.ladder, mask);
  std::vector<LayerPieces> pieces;
  for (int layer = 0; layer < config.num_layers; ++layer) {
    ESPALIER_ASSIGN_OR_RETURN(LayerPieces of_layer,
                              resident->PiecesAt(layer, levels[layer].attention, levels[layer].ffn, upload));
    pieces.push_back(std::move(of_layer));
  }
  upload.Start();
  // Assembly passes the pieces on without a look at them, unless their format is not the dense model's.
  const bool is_cast = ScalarTypeOf(config.number_format) != run.parts.dtype;
  if (is_cast) upload.Await();
  ESPALIER_ASSIGN_OR_RETURN(LanguageModel model, Assemble(*run.dense, pieces));
  upload.Await();
  return std::make_unique<LanguageModel>(std::move(model));
}

absl::StatusOr<std::vector<KeptUnit>> KeptUnits(TaskRun& run, const BankReference& bank, const Mask& mask) {
  const Ladder& ladder = run.context.ladder;
  ESPALIER_ASSIGN_OR_RETURN(const auto resident,
                            run.parts.banks.Get(bank, run.model_digest, run.dense->config, ladder, BankPlace::kAnywhere));
  std::vector<KeptUnit> kept;
  for (size_t index = 0; index < ladder.units.size(); ++index) {
    const UnitLadder& unit = ladder.units[index];
    KeptUnit entry;
    entry.unit = Name(unit.unit);
    entry.removed = unit.removed[mask.levels[index]];
    if (unit.unit.kind == UnitKind::kAttention) {
      entry.kept_heads = KeptHeads(resident->layer(unit.unit.layer).attention.order, entry.removed);
    } else {
      entry.kept_neurons = unit.size - entry.removed;
    }
    kept.push_back(std::move(entry));
  }
  return kept;
}

}  // namespace espalier
