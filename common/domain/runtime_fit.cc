#include "common/domain/runtime_fit.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/domain/ladder.h"
#include "common/domain/runtime_refusal.h"

namespace espalier {
namespace {

constexpr int kBucket = 256;

std::string UnitName(UnitKind kind, size_t layer) { return Name(Unit{kind, static_cast<int>(layer)}); }

absl::Status CheckEvenShares(const ModelConfig& candidate, Runtime runtime) {
  for (size_t i = 0; i < candidate.layers.size(); ++i) {
    const LayerShape& layer = candidate.layers[i];
    if (SharesKvEvenly(layer)) continue;
    return RefuseForRuntime(runtime, absl::StrCat(UnitName(UnitKind::kAttention, i), " keeps ", layer.num_heads(),
                                        " query heads that share ", layer.num_kv_heads,
                                        " KV heads unevenly, which it cannot hold; search with head granularity "
                                        "KV_GROUP, or export for HUGGING_FACE"));
  }
  return absl::OkStatus();
}

absl::Status CheckNoQkNorm(const ModelConfig& candidate, Runtime runtime) {
  if (!candidate.qk_norm) return absl::OkStatus();
  return RefuseForRuntime(runtime, absl::StrCat("the model (", Name(candidate.family),
                                      ") has q/k norms, which it cannot load; use HUGGING_FACE or VLLM_ANYMODEL"));
}

absl::Status CheckGguf(const ModelConfig& candidate) {
  const Runtime runtime = Runtime::kGguf;
  ESPALIER_RETURN_IF_ERROR(CheckNoQkNorm(candidate, runtime));
  ESPALIER_RETURN_IF_ERROR(CheckEvenShares(candidate, runtime));
  if (candidate.layers.empty() || candidate.layers.front().num_heads() == 0) {
    return RefuseForRuntime(runtime,
                  "attention[0] is removed, and llama.cpp reads the head size from layer 0; search with --runtime gguf, "
                  "which keeps that unit");
  }
  return absl::OkStatus();
}

// vLLM enters the residual stream at the first attention; an FFN before it fails.
absl::Status CheckFirstAttention(const ModelConfig& candidate) {
  for (size_t i = 0; i < candidate.layers.size(); ++i) {
    const LayerShape& layer = candidate.layers[i];
    if (layer.num_heads() > 0) return absl::OkStatus();
    if (layer.ffn_width > 0) {
      return RefuseForRuntime(Runtime::kNemotronNas,
                    absl::StrCat(UnitName(UnitKind::kAttention, i), " is removed and ", UnitName(UnitKind::kFfn, i),
                                 " stays, but the first layer that keeps anything must keep its attention"));
    }
  }
  return RefuseForRuntime(Runtime::kNemotronNas, "all attention units are removed");
}

absl::Status CheckNemotron(const ModelConfig& candidate) {
  const Runtime runtime = Runtime::kNemotronNas;
  ESPALIER_RETURN_IF_ERROR(CheckNoQkNorm(candidate, runtime));
  ESPALIER_RETURN_IF_ERROR(CheckEvenShares(candidate, runtime));
  ESPALIER_RETURN_IF_ERROR(CheckFirstAttention(candidate));
  int heads = 0;
  size_t first = 0;
  for (size_t i = 0; i < candidate.layers.size(); ++i) {
    const LayerShape& layer = candidate.layers[i];
    if (layer.num_heads() > 0 && heads == 0) {
      heads = layer.num_heads();
      first = i;
    }
    if (layer.num_heads() > 0 && layer.num_heads() != heads) {
      return RefuseForRuntime(runtime, absl::StrCat(UnitName(UnitKind::kAttention, i), " keeps ", layer.num_heads(),
                                          " query heads, ", UnitName(UnitKind::kAttention, first), " keeps ", heads,
                                          "; their number is one for the whole model"));
    }
    if (layer.ffn_width == 0) continue;
    if (const auto mult = FfnMultOf(layer.ffn_width, candidate.hidden_size); !mult.ok())
      return RefuseForRuntime(runtime, absl::StrCat(UnitName(UnitKind::kFfn, i), " ", mult.status().message()));
  }
  return absl::OkStatus();
}

}  // namespace

bool SharesKvEvenly(const LayerShape& layer) {
  if (layer.num_heads() == 0) return true;
  if (layer.num_kv_heads == 0 || layer.num_heads() % layer.num_kv_heads != 0) return false;
  const int share = layer.num_heads() / layer.num_kv_heads;
  for (int head = 0; head < layer.num_heads(); ++head) {
    if (layer.head_to_kv[static_cast<size_t>(head)] != head / share) return false;
  }
  return true;
}

absl::StatusOr<double> FfnMultOf(int width, int hidden_size) {
  if (width % kBucket != 0)
    return absl::InvalidArgumentError(absl::StrCat("keeps ", width, " neurons, which is no multiple of ", kBucket));
  const double mult = 1.5 * (width - kBucket / 2) / hidden_size;
  const int back = static_cast<int>(2 * mult * hidden_size / 3);
  if ((back + kBucket - 1) / kBucket * kBucket != width) {
    return absl::InvalidArgumentError(
        absl::StrCat("keeps ", width, " neurons, which no ffn_mult gives at hidden size ", hidden_size));
  }
  return mult;
}

absl::Status CheckRuntimeFits(const ModelConfig& candidate, Runtime runtime) {
  switch (runtime) {
    case Runtime::kHuggingFace: return absl::OkStatus();
    case Runtime::kGguf: return CheckGguf(candidate);
    case Runtime::kNemotronNas: return CheckNemotron(candidate);
    case Runtime::kVllmAnyModel: return CheckEvenShares(candidate, runtime);
  }
  return absl::InvalidArgumentError(absl::StrCat("runtime ", static_cast<int>(runtime), " is not known"));
}

}  // namespace espalier
