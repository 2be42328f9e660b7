#include "worker/train/train_state.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros_like.h>

#include <charconv>
#include <cstring>
#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/checkpoint/safetensors.h"

namespace espalier {
namespace {

using checkpoint::Dtype;
using Metadata = std::map<std::string, std::string>;

constexpr char kSchema[] = "espalier-train-state-1";

std::string_view BytesOf(const torch::Tensor& tensor) {
  return {static_cast<const char*>(tensor.const_data_ptr()), static_cast<size_t>(tensor.nbytes())};
}

checkpoint::TensorToWrite ToWrite(const std::string& name, const torch::Tensor& tensor) {
  const Dtype dtype = tensor.scalar_type() == torch::kBFloat16 ? Dtype::kBFloat16
                      : tensor.scalar_type() == torch::kUInt8  ? Dtype::kUint8
                                                               : Dtype::kFloat32;
  return {name, dtype, {tensor.numel()}, BytesOf(tensor)};
}

absl::StatusOr<int64_t> ReadNumber(const Metadata& metadata, const std::string& key, const std::string& name) {
  const auto found = metadata.find(key);
  int64_t value = -1;
  if (found != metadata.end()) {
    const std::string& text = found->second;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) value = -1;
  }
  if (value >= 0) return value;
  return absl::DataLossError(absl::StrCat(name, ": metadata '", key, "' should be a number, is '",
                                          found == metadata.end() ? "" : found->second, "'"));
}

absl::StatusOr<torch::Tensor> ReadTensor(std::string_view bytes,
                                         const std::map<std::string, checkpoint::TensorInfo>& tensors,
                                         const std::string& key, int64_t elements, const std::string& name) {
  const auto found = tensors.find(key);
  if (found == tensors.end()) return absl::DataLossError(absl::StrCat(name, ": tensor '", key, "' is missing"));
  const checkpoint::TensorInfo& info = found->second;
  if (info.dtype != Dtype::kFloat32 && info.dtype != Dtype::kBFloat16 && info.dtype != Dtype::kUint8) {
    return absl::DataLossError(
        absl::StrCat(name, ": tensor '", key, "' is ", checkpoint::Name(info.dtype), "; F32, BF16 or U8 was expected"));
  }
  if (info.shape.size() != 1 || (elements >= 0 && info.num_elements() != elements)) {
    return absl::DataLossError(absl::StrCat(name, ": tensor '", key, "' has ", info.num_elements(), " elements in ",
                                            info.shape.size(), " dimensions; ", elements, " in one were expected"));
  }
  const torch::Tensor tensor = torch::empty({info.num_elements()}, info.dtype == Dtype::kFloat32    ? torch::kFloat32
                                                                   : info.dtype == Dtype::kBFloat16 ? torch::kBFloat16
                                                                                                    : torch::kUInt8);
  std::memcpy(tensor.mutable_data_ptr(), bytes.data() + info.begin, static_cast<size_t>(tensor.nbytes()));
  return tensor;
}

}  // namespace

int64_t TrainState::bytes() const {
  int64_t sum = 0;
  for (const torch::Tensor& tensor : {weights, first_moments, second_moments, first_scales, second_scales}) {
    if (tensor.defined()) sum += static_cast<int64_t>(tensor.nbytes());
  }
  return sum;
}

void ForgetTraining(TrainState& state) {
  state.steps_taken = state.moment_steps = 0;
  // With scales of zero every byte stands for zero.
  for (torch::Tensor* tensor : {&state.first_moments, &state.second_moments, &state.first_scales, &state.second_scales}) {
    if (tensor->defined()) *tensor = torch::zeros_like(*tensor);  // others may hold the same tensors
  }
}

void BringToHost(TrainState& state) {
  for (torch::Tensor* tensor :
       {&state.weights, &state.first_moments, &state.second_moments, &state.first_scales, &state.second_scales}) {
    if (!tensor->defined() || !tensor->is_cuda()) continue;
    const torch::Tensor host = torch::empty(tensor->sizes(), tensor->options().device(torch::kCPU).pinned_memory(true));
    host.copy_(*tensor);
    *tensor = host;
  }
}

std::string ToBytes(const TrainState& state) {
  std::vector<checkpoint::TensorToWrite> tensors = {ToWrite("weights", state.weights)};
  if (state.format == ContinueState::kFull) {
    tensors.push_back(ToWrite("first_moments", state.first_moments));
    tensors.push_back(ToWrite("second_moments", state.second_moments));
    if (state.first_scales.defined()) {
      tensors.push_back(ToWrite("first_scales", state.first_scales));
      tensors.push_back(ToWrite("second_scales", state.second_scales));
    }
  }
  const Metadata metadata = {{"schema", kSchema},
                             {"format", state.format == ContinueState::kFull ? "full" : "weights_bfloat16"},
                             {"mask_digest", state.mask_digest},
                             {"stream", state.stream},
                             {"position", absl::StrCat(state.position)},
                             {"steps_taken", absl::StrCat(state.steps_taken)},
                             {"moment_steps", absl::StrCat(state.moment_steps)}};
  return checkpoint::SerializeSafetensors(tensors, metadata);
}

absl::StatusOr<TrainState> TrainStateFromBytes(std::string_view bytes, const std::string& name) {
  Metadata metadata;
  ESPALIER_ASSIGN_OR_RETURN(const auto tensors, checkpoint::ParseSafetensorsHeader(bytes, name, &metadata));
  if (metadata["schema"] != kSchema) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": is no training state of this version ('", kSchema, "')"));
  }
  TrainState state;
  const std::string& format = metadata["format"];
  if (format != "full" && format != "weights_bfloat16") {
    return absl::DataLossError(absl::StrCat(name, ": unknown format '", format, "'"));
  }
  state.format = format == "full" ? ContinueState::kFull : ContinueState::kWeightsBFloat16;
  state.mask_digest = metadata["mask_digest"];
  state.stream = metadata["stream"];
  ESPALIER_ASSIGN_OR_RETURN(state.position, ReadNumber(metadata, "position", name));
  ESPALIER_ASSIGN_OR_RETURN(state.steps_taken, ReadNumber(metadata, "steps_taken", name));
  ESPALIER_ASSIGN_OR_RETURN(state.moment_steps, ReadNumber(metadata, "moment_steps", name));
  ESPALIER_ASSIGN_OR_RETURN(state.weights, ReadTensor(bytes, tensors, "weights", -1, name));
  if (state.format == ContinueState::kFull) {
    const int64_t elements = state.weights.numel();
    ESPALIER_ASSIGN_OR_RETURN(state.first_moments, ReadTensor(bytes, tensors, "first_moments", elements, name));
    ESPALIER_ASSIGN_OR_RETURN(state.second_moments, ReadTensor(bytes, tensors, "second_moments", elements, name));
    if (state.first_moments.scalar_type() == torch::kUInt8) {
      ESPALIER_ASSIGN_OR_RETURN(state.first_scales, ReadTensor(bytes, tensors, "first_scales", -1, name));
      ESPALIER_ASSIGN_OR_RETURN(state.second_scales,
                                ReadTensor(bytes, tensors, "second_scales", state.first_scales.numel(), name));
    }
  }
  return state;
}

}  // namespace espalier
