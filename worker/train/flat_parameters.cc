#include "worker/train/flat_parameters.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>

#include "common/base/check.h"

namespace espalier {
namespace {

// Tensors of the model that become one leaf: a single one, or several laid end to end along their first dimension.
struct Slot {
  std::vector<torch::Tensor*> parts;
  torch::Tensor* fused = nullptr;  // the model's place for the leaf when there are several parts

  int64_t numel() const {
    int64_t sum = 0;
    for (const torch::Tensor* part : parts) sum += part->numel();
    return sum;
  }
  std::vector<int64_t> shape() const {
    std::vector<int64_t> sizes = parts[0]->sizes().vec();
    for (size_t i = 1; i < parts.size(); ++i) sizes[0] += parts[i]->size(0);
    return sizes;
  }
};

void AddSingle(torch::Tensor& tensor, std::vector<Slot>& slots) {
  if (tensor.defined()) slots.push_back({{&tensor}, nullptr});
}

void AddFused(std::vector<torch::Tensor*> parts, torch::Tensor& fused, std::vector<Slot>& slots) {
  if (parts[0]->defined()) slots.push_back({std::move(parts), &fused});
}

void AddLayer(LayerWeights& layer, std::vector<Slot>& slots) {
  AttentionWeights& a = layer.attention;
  AddSingle(a.input_norm_D, slots);
  AddFused({&a.q_weight, &a.k_weight, &a.v_weight}, a.qkv_weight, slots);
  AddFused({&a.q_bias, &a.k_bias, &a.v_bias}, a.qkv_bias, slots);
  AddSingle(a.q_norm_K, slots);
  AddSingle(a.k_norm_K, slots);
  AddSingle(a.o_weight, slots);
  AddSingle(a.o_bias, slots);
  FfnWeights& f = layer.ffn;
  AddSingle(f.input_norm_D, slots);
  AddFused({&f.gate_weight, &f.up_weight}, f.gate_up_weight, slots);
  AddFused({&f.gate_bias, &f.up_bias}, f.gate_up_bias, slots);
  AddSingle(f.down_weight, slots);
  AddSingle(f.down_bias, slots);
}

// Copies the slot's tensors to `offset` and points the model at the copy. Returns the leaf.
torch::Tensor Place(const torch::Tensor& flat, int64_t offset, Slot& slot) {
  const torch::Tensor leaf = flat.narrow(0, offset, slot.numel()).view(slot.shape()).detach();
  int64_t row = 0;
  for (torch::Tensor* part : slot.parts) {
    const int64_t rows = part->size(0);
    const torch::Tensor view = leaf.narrow(0, row, rows);
    view.copy_(*part);
    *part = view;
    row += rows;
  }
  leaf.requires_grad_(true);
  if (slot.fused != nullptr) {
    *slot.fused = leaf;
  } else {
    *slot.parts[0] = leaf;
  }
  return leaf;
}

}  // namespace

FlatParameters FlattenParameters(LanguageModel& model) {
  const torch::NoGradGuard no_grad;
  const bool tied = model.head_VD.is_same(model.embedding_VD);
  FlatParameters result;
  std::vector<Slot> slots;
  AddSingle(model.embedding_VD, slots);
  for (LayerWeights& layer : model.layers) {
    const int first = static_cast<int>(slots.size());
    AddLayer(layer, slots);
    result.layer_leaves.emplace_back(first, static_cast<int>(slots.size()));
  }
  result.final_norm = static_cast<int>(slots.size());
  AddSingle(model.final_norm_D, slots);
  if (!tied) {
    result.head = static_cast<int>(slots.size());
    AddSingle(model.head_VD, slots);
  }

  int64_t total = 0;
  for (const Slot& slot : slots) {
    result.offsets.push_back(total);
    result.num_parameters += slot.numel();
    total += (slot.numel() + kLeafAlignment - 1) / kLeafAlignment * kLeafAlignment;
  }
  result.flat = torch::zeros({total}, model.embedding_VD.options().requires_grad(false));
  for (size_t i = 0; i < slots.size(); ++i) result.leaves.push_back(Place(result.flat, result.offsets[i], slots[i]));
  if (tied) model.head_VD = model.embedding_VD;
  return result;
}

}  // namespace espalier
