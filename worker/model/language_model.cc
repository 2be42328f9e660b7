#include "worker/model/language_model.h"

#include <ATen/ops/isfinite.h>
#include <ATen/ops/stack.h>

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "worker/model/index_tensor.h"
#include "worker/model/torch_status.h"

namespace espalier {
namespace {

using torch::Tensor;

// Calls visit(name, tensor) for every tensor that may exist, in the fixed order of NamedTensors.
template <typename Model, typename Visit>
void VisitTensors(Model& model, const Visit& visit) {
  visit("model.embed_tokens.weight", model.embedding_VD);
  for (size_t l = 0; l < model.layers.size(); ++l) {
    const std::string layer = absl::StrCat("model.layers.", l, ".");
    auto& a = model.layers[l].attention;
    visit(layer + "input_layernorm.weight", a.input_norm_D);
    visit(layer + "self_attn.q_proj.weight", a.q_weight);
    visit(layer + "self_attn.q_proj.bias", a.q_bias);
    visit(layer + "self_attn.k_proj.weight", a.k_weight);
    visit(layer + "self_attn.k_proj.bias", a.k_bias);
    visit(layer + "self_attn.v_proj.weight", a.v_weight);
    visit(layer + "self_attn.v_proj.bias", a.v_bias);
    visit(layer + "self_attn.o_proj.weight", a.o_weight);
    visit(layer + "self_attn.o_proj.bias", a.o_bias);
    visit(layer + "self_attn.q_norm.weight", a.q_norm_K);
    visit(layer + "self_attn.k_norm.weight", a.k_norm_K);
    auto& f = model.layers[l].ffn;
    visit(layer + "post_attention_layernorm.weight", f.input_norm_D);
    visit(layer + "mlp.gate_proj.weight", f.gate_weight);
    visit(layer + "mlp.gate_proj.bias", f.gate_bias);
    visit(layer + "mlp.up_proj.weight", f.up_weight);
    visit(layer + "mlp.up_proj.bias", f.up_bias);
    visit(layer + "mlp.down_proj.weight", f.down_weight);
    visit(layer + "mlp.down_proj.bias", f.down_bias);
  }
  visit("model.norm.weight", model.final_norm_D);
  if (!model.config.tied_embeddings) visit("lm_head.weight", model.head_VD);
}

absl::StatusOr<torch::ScalarType> ScalarTypeOf(const std::string& name, checkpoint::Dtype dtype) {
  switch (dtype) {
    case checkpoint::Dtype::kFloat64:
      return torch::kFloat64;
    case checkpoint::Dtype::kFloat32:
      return torch::kFloat32;
    case checkpoint::Dtype::kFloat16:
      return torch::kFloat16;
    case checkpoint::Dtype::kBFloat16:
      return torch::kBFloat16;
    case checkpoint::Dtype::kInt64:
    case checkpoint::Dtype::kInt32:
    case checkpoint::Dtype::kInt16:
    case checkpoint::Dtype::kInt8:
    case checkpoint::Dtype::kUint8:
    case checkpoint::Dtype::kBool:
      break;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("tensor '", name, "' has dtype ", checkpoint::Name(dtype), "; weights are F32, F16 or BF16"));
}

// A copy on the device. The bytes are first copied into memory of LibTorch's own, because a tensor in a safetensors file
// may lie at any address and kernels expect aligned ones (and equal alignment, for equal results).
absl::StatusOr<Tensor> ReadTensor(const checkpoint::ModelFolder& folder, const std::string& name, torch::Device device,
                                  torch::ScalarType dtype) {
  const auto found = folder.tensors().find(name);
  if (found == folder.tensors().end()) {
    return absl::InvalidArgumentError(absl::StrCat(folder.path(), ": tensor '", name, "' is missing"));
  }
  ESPALIER_ASSIGN_OR_RETURN(const torch::ScalarType stored, ScalarTypeOf(name, found->second.dtype));
  const std::string_view bytes = folder.Bytes(name);
  Tensor host = torch::empty(found->second.shape, torch::TensorOptions().dtype(stored));
  if (static_cast<size_t>(host.nbytes()) != bytes.size()) {
    return absl::InvalidArgumentError(absl::StrCat(folder.path(), ": tensor '", name, "' has ", bytes.size(),
                                                   " bytes, its shape needs ", host.nbytes()));
  }
  std::memcpy(host.data_ptr(), bytes.data(), bytes.size());
  return host.to(device).to(dtype);
}

// One synchronisation for the whole model: a flag for each tensor, read together.
absl::Status CheckFinite(const LanguageModel& model, const std::string& path) {
  const auto tensors = NamedTensors(model);
  std::vector<Tensor> flags;
  flags.reserve(tensors.size());
  for (const auto& [name, tensor] : tensors) flags.push_back(at::isfinite(tensor).all());
  const Tensor finite = at::stack(flags).cpu();
  const bool* values = finite.const_data_ptr<bool>();
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (!values[i]) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": tensor '", tensors[i].first, "' holds a NaN or an infinite weight"));
    }
  }
  return absl::OkStatus();
}

absl::Status ReadAll(const checkpoint::ModelFolder& folder, torch::Device device, torch::ScalarType dtype,
                     LanguageModel& model) {
  const auto expected = checkpoint::ExpectedTensors(folder.config());
  absl::Status status;
  size_t num_read = 0;
  VisitTensors(model, [&](const std::string& name, Tensor& tensor) {
    if (!status.ok() || !expected.contains(name)) return;
    absl::StatusOr<Tensor> read = ReadTensor(folder, name, device, dtype);
    if (!read.ok()) {
      status = read.status();
      return;
    }
    tensor = *std::move(read);
    ++num_read;
  });
  ESPALIER_RETURN_IF_ERROR(status);
  if (num_read != expected.size()) {
    return absl::InternalError(absl::StrCat(folder.path(), ": ", expected.size(), " tensors expected, ", num_read, " placed"));
  }
  if (model.config.tied_embeddings) model.head_VD = model.embedding_VD;
  return absl::OkStatus();
}

}  // namespace

bool HasRegularHeads(const LayerShape& shape) {
  if (shape.num_kv_heads == 0 || shape.num_heads() % shape.num_kv_heads != 0) return shape.num_heads() == 0;
  const int per_group = shape.num_heads() / shape.num_kv_heads;
  for (int i = 0; i < shape.num_heads(); ++i) {
    if (shape.head_to_kv[i] != i / per_group) return false;
  }
  return true;
}

void SetKvIndex(LanguageModel& model) {
  std::vector<int64_t> all;
  for (const LayerShape& shape : model.config.layers) {
    if (!HasRegularHeads(shape)) all.insert(all.end(), shape.head_to_kv.begin(), shape.head_to_kv.end());
  }
  Tensor on_device;
  if (!all.empty()) on_device = IndexTensor(all, model.device());
  int64_t begin = 0;
  for (size_t l = 0; l < model.layers.size(); ++l) {
    const LayerShape& shape = model.config.layers[l];
    Tensor& index = model.layers[l].attention.kv_index_H;
    index = Tensor();
    if (HasRegularHeads(shape)) continue;
    index = on_device.narrow(0, begin, shape.num_heads());
    begin += shape.num_heads();
  }
}

absl::StatusOr<std::unique_ptr<LanguageModel>> LoadLanguageModel(const checkpoint::ModelFolder& folder, torch::Device device,
                                                                 torch::ScalarType dtype) {
  return WithTorchStatus(absl::StrCat("loading ", folder.path()), device, [&]() -> absl::StatusOr<std::unique_ptr<LanguageModel>> {
    const torch::NoGradGuard no_grad;
    auto model = std::make_unique<LanguageModel>();
    model->config = folder.config();
    model->layers.resize(model->config.num_layers);
    ESPALIER_RETURN_IF_ERROR(ReadAll(folder, device, dtype, *model));
    ESPALIER_RETURN_IF_ERROR(CheckFinite(*model, folder.path()));
    SetKvIndex(*model);
    return model;
  });
}

std::vector<std::pair<std::string, Tensor>> NamedTensors(const LanguageModel& model) {
  std::vector<std::pair<std::string, Tensor>> named;
  VisitTensors(model, [&](const std::string& name, const Tensor& tensor) {
    if (tensor.defined()) named.emplace_back(name, tensor);
  });
  return named;
}

}  // namespace espalier
