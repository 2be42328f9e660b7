#include "worker/model/assemble.h"

#include <ATen/ops/cat.h>

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "worker/model/index_tensor.h"
#include "worker/model/torch_status.h"

namespace espalier {
namespace {

using torch::Tensor;

absl::Status CheckAscending(const std::string& what, const std::vector<int>& indices, int size) {
  int last = -1;
  for (const int index : indices) {
    if (index <= last || index >= size) {
      return absl::InvalidArgumentError(
          absl::StrCat(what, " holds ", index, " after ", last, "; indices rise and stay below ", size));
    }
    last = index;
  }
  if (indices.empty()) return absl::InvalidArgumentError(absl::StrCat(what, " is empty; a unit without any is Keep::kNone"));
  return absl::OkStatus();
}

absl::Status CheckShape(const std::string& what, const Tensor& tensor, at::IntArrayRef shape) {
  if (!tensor.defined() || tensor.sizes() == shape) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(what, " has shape ", c10::str(tensor.sizes()), ", needed is ", c10::str(shape)));
}

absl::Status CheckPieces(const ModelConfig& config, int layer, const LayerPieces& pieces) {
  const int64_t D = config.hidden_size, K = config.head_size;
  const std::string where = absl::StrCat("layer ", layer, ": ");
  if (pieces.attention == Keep::kSome) {
    ESPALIER_RETURN_IF_ERROR(CheckAscending(where + "kept_heads", pieces.kept_heads, config.num_heads));
    ESPALIER_RETURN_IF_ERROR(CheckAscending(where + "kept_kv_heads", pieces.kept_kv_heads, config.num_kv_heads));
    for (const int head : pieces.kept_heads) {
      const int kv = head / config.heads_per_group();
      if (std::find(pieces.kept_kv_heads.begin(), pieces.kept_kv_heads.end(), kv) == pieces.kept_kv_heads.end()) {
        return absl::InvalidArgumentError(absl::StrCat(where, "kept head ", head, " reads KV head ", kv, ", which is not kept"));
      }
    }
    ESPALIER_RETURN_IF_ERROR(
        CheckShape(where + "o_weight", pieces.o_weight, {D, static_cast<int64_t>(pieces.kept_heads.size()) * K}));
    ESPALIER_RETURN_IF_ERROR(CheckShape(where + "o_bias", pieces.o_bias, {D}));
  }
  if (pieces.ffn == Keep::kSome) {
    if (!pieces.kept_neurons.defined() || pieces.kept_neurons.scalar_type() != torch::kInt64 || pieces.kept_neurons.dim() != 1 ||
        pieces.kept_neurons.numel() == 0 || pieces.kept_neurons.numel() > config.ffn_width) {
      return absl::InvalidArgumentError(absl::StrCat(where, "kept_neurons is no list of 1 to ", config.ffn_width, " indices"));
    }
    ESPALIER_RETURN_IF_ERROR(CheckShape(where + "down_weight", pieces.down_weight, {D, pieces.kept_neurons.numel()}));
    ESPALIER_RETURN_IF_ERROR(CheckShape(where + "down_bias", pieces.down_bias, {D}));
  }
  return absl::OkStatus();
}

LayerShape ShapeOf(const ModelConfig& config, const LayerPieces& pieces) {
  LayerShape shape = DenseLayer(config);
  if (pieces.attention != Keep::kAll) {
    shape.head_to_kv.clear();
    shape.num_kv_heads = 0;
  }
  if (pieces.attention == Keep::kSome) {
    for (const int head : pieces.kept_heads) {
      const auto kv = std::find(pieces.kept_kv_heads.begin(), pieces.kept_kv_heads.end(), head / config.heads_per_group());
      shape.head_to_kv.push_back(static_cast<int>(kv - pieces.kept_kv_heads.begin()));
    }
    shape.num_kv_heads = static_cast<int>(pieces.kept_kv_heads.size());
  }
  if (pieces.ffn != Keep::kAll) shape.ffn_width = 0;
  if (pieces.ffn == Keep::kSome) shape.ffn_width = static_cast<int>(pieces.kept_neurons.numel());
  return shape;
}

// The head indices of all layers, on the device by one copy. Heads stay whole, so an index for each head is enough: weights
// are viewed as [heads, K, ...].
struct HeadIndices {
  std::vector<Tensor> heads;     // by layer; undefined where none are needed
  std::vector<Tensor> kv_heads;
};

HeadIndices IndicesOnDevice(const std::vector<LayerPieces>& pieces, torch::Device device) {
  std::vector<int64_t> all;
  for (const LayerPieces& layer : pieces) {
    if (layer.attention != Keep::kSome) continue;
    all.insert(all.end(), layer.kept_heads.begin(), layer.kept_heads.end());
    all.insert(all.end(), layer.kept_kv_heads.begin(), layer.kept_kv_heads.end());
  }
  HeadIndices indices{std::vector<Tensor>(pieces.size()), std::vector<Tensor>(pieces.size())};
  if (all.empty()) return indices;
  const Tensor on_device = IndexTensor(all, device);
  int64_t begin = 0;
  const auto take = [&](size_t count) {
    begin += static_cast<int64_t>(count);
    return on_device.narrow(0, begin - static_cast<int64_t>(count), static_cast<int64_t>(count));
  };
  for (size_t l = 0; l < pieces.size(); ++l) {
    if (pieces[l].attention != Keep::kSome) continue;
    indices.heads[l] = take(pieces[l].kept_heads.size());
    indices.kv_heads[l] = take(pieces[l].kept_kv_heads.size());
  }
  return indices;
}

Tensor TakeRows(const Tensor& weight, const Tensor& heads, int64_t head_size) {
  if (!weight.defined()) return weight;
  std::vector<int64_t> by_head = {-1, head_size};
  std::vector<int64_t> flat = {-1};
  if (weight.dim() == 2) {
    by_head.push_back(weight.size(1));
    flat.push_back(weight.size(1));
  }
  return weight.view(by_head).index_select(0, heads).view(flat);
}

Tensor TakeColumns(const Tensor& weight, const Tensor& heads, int64_t head_size) {
  return weight.view({weight.size(0), -1, head_size}).index_select(1, heads).view({weight.size(0), -1});
}

Tensor OrDense(const Tensor& replacement, const Tensor& dense) {
  return replacement.defined() ? replacement.to(dense.device(), dense.scalar_type()) : dense;
}
// A replaced bias may be new: the compensation of a model without biases can bring one.
Tensor BiasOrDense(const Tensor& replacement, const Tensor& dense, const Tensor& weight) {
  return replacement.defined() ? replacement.to(weight.device(), weight.scalar_type()) : dense;
}

AttentionWeights SliceAttention(const ModelConfig& config, const AttentionWeights& dense, const LayerPieces& pieces,
                                const Tensor& heads, const Tensor& kv_heads) {
  const int64_t K = config.head_size;
  AttentionWeights weights = dense;  // norms are shared
  weights.qkv_weight = weights.qkv_bias = Tensor();
  weights.q_weight = TakeRows(dense.q_weight, heads, K);
  weights.q_bias = TakeRows(dense.q_bias, heads, K);
  if (static_cast<int>(pieces.kept_kv_heads.size()) < config.num_kv_heads) {
    weights.k_weight = TakeRows(dense.k_weight, kv_heads, K);
    weights.k_bias = TakeRows(dense.k_bias, kv_heads, K);
    weights.v_weight = TakeRows(dense.v_weight, kv_heads, K);
    weights.v_bias = TakeRows(dense.v_bias, kv_heads, K);
  }
  weights.o_weight = pieces.o_weight.defined() ? OrDense(pieces.o_weight, dense.o_weight) : TakeColumns(dense.o_weight, heads, K);
  weights.o_bias = BiasOrDense(pieces.o_bias, dense.o_bias, dense.o_weight);
  return weights;
}

FfnWeights SliceFfn(const FfnWeights& dense, const LayerPieces& pieces) {
  const Tensor kept = pieces.kept_neurons.to(dense.gate_weight.device());
  const auto take = [&](const Tensor& tensor) { return tensor.defined() ? tensor.index_select(0, kept) : tensor; };
  FfnWeights weights = dense;
  weights.gate_up_weight = weights.gate_up_bias = Tensor();
  weights.gate_weight = take(dense.gate_weight);
  weights.gate_bias = take(dense.gate_bias);
  weights.up_weight = take(dense.up_weight);
  weights.up_bias = take(dense.up_bias);
  weights.down_weight = pieces.down_weight.defined() ? OrDense(pieces.down_weight, dense.down_weight)
                                                     : dense.down_weight.index_select(1, kept);
  weights.down_bias = BiasOrDense(pieces.down_bias, dense.down_bias, dense.down_weight);
  return weights;
}

}  // namespace

absl::StatusOr<LanguageModel> Assemble(const LanguageModel& dense, const std::vector<LayerPieces>& pieces) {
  if (static_cast<int>(pieces.size()) != dense.config.num_layers) {
    return absl::InvalidArgumentError(
        absl::StrCat("pieces of ", pieces.size(), " layers for a model of ", dense.config.num_layers));
  }
  for (size_t l = 0; l < pieces.size(); ++l) {
    ESPALIER_RETURN_IF_ERROR(CheckPieces(dense.config, static_cast<int>(l), pieces[l]));
  }
  return WithTorchStatus("assembling a candidate", dense.device(), [&]() -> absl::StatusOr<LanguageModel> {
    const torch::NoGradGuard no_grad;
    const HeadIndices indices = IndicesOnDevice(pieces, dense.device());
    LanguageModel model = dense;  // handles only, no data
    for (size_t l = 0; l < pieces.size(); ++l) {
      const LayerPieces& layer = pieces[l];
      model.config.layers[l] = ShapeOf(dense.config, layer);
      if (layer.attention == Keep::kNone) model.layers[l].attention = AttentionWeights();
      if (layer.attention == Keep::kSome) {
        model.layers[l].attention =
            SliceAttention(dense.config, dense.layers[l].attention, layer, indices.heads[l], indices.kv_heads[l]);
      }
      if (layer.ffn == Keep::kNone) model.layers[l].ffn = FfnWeights();
      if (layer.ffn == Keep::kSome) model.layers[l].ffn = SliceFfn(dense.layers[l].ffn, layer);
    }
    SetKvIndex(model);
    return model;
  });
}

absl::StatusOr<LanguageModel> AssembleWithLayer(const LanguageModel& dense, int layer, const LayerPieces& pieces) {
  std::vector<LayerPieces> all(dense.config.num_layers);
  if (layer < 0 || layer >= dense.config.num_layers) {
    return absl::InvalidArgumentError(absl::StrCat("layer ", layer, " of a model of ", dense.config.num_layers));
  }
  all[layer] = pieces;
  return Assemble(dense, all);
}

void FuseProjections(LanguageModel& model) {
  const torch::NoGradGuard no_grad;
  for (size_t l = 0; l < model.layers.size(); ++l) {
    AttentionWeights& a = model.layers[l].attention;
    if (a.q_weight.defined()) {
      const int64_t q_rows = a.q_weight.size(0), kv_rows = a.k_weight.size(0);
      a.qkv_weight = at::cat({a.q_weight, a.k_weight, a.v_weight});
      a.q_weight = a.qkv_weight.narrow(0, 0, q_rows);
      a.k_weight = a.qkv_weight.narrow(0, q_rows, kv_rows);
      a.v_weight = a.qkv_weight.narrow(0, q_rows + kv_rows, kv_rows);
      if (a.q_bias.defined()) {
        a.qkv_bias = at::cat({a.q_bias, a.k_bias, a.v_bias});
        a.q_bias = a.qkv_bias.narrow(0, 0, q_rows);
        a.k_bias = a.qkv_bias.narrow(0, q_rows, kv_rows);
        a.v_bias = a.qkv_bias.narrow(0, q_rows + kv_rows, kv_rows);
      }
    }
    FfnWeights& f = model.layers[l].ffn;
    if (f.gate_weight.defined()) {
      const int64_t rows = f.gate_weight.size(0);
      f.gate_up_weight = at::cat({f.gate_weight, f.up_weight});
      f.gate_weight = f.gate_up_weight.narrow(0, 0, rows);
      f.up_weight = f.gate_up_weight.narrow(0, rows, rows);
      if (f.gate_bias.defined()) {
        f.gate_up_bias = at::cat({f.gate_bias, f.up_bias});
        f.gate_bias = f.gate_up_bias.narrow(0, 0, rows);
        f.up_bias = f.gate_up_bias.narrow(0, rows, rows);
      }
    }
  }
}

}  // namespace espalier
