#include "worker/prune/statistics.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "worker/model/device_runtime.h"
#include "worker/model/forward.h"

namespace espalier {
namespace {

// Adds scale * x^T x for the rows x of all positions. Products of bf16 numbers are exact in fp32, so on CUDA the tensor
// cores sum them in fp32: the full precision of fp32 at many times its speed.
void AddMoments(const torch::Tensor& inner_BLn, double scale, torch::Tensor moment_nn) {
  const torch::Tensor x = inner_BLn.flatten(0, 1);
  if (x.is_cuda() && x.scalar_type() == torch::kBFloat16) {
    moment_nn.add_(at::mm(x.t(), x, torch::kFloat32), scale);
    return;
  }
  const torch::Tensor x32 = x.to(torch::kFloat32);
  moment_nn.addmm_(x32.t(), x32, 1, scale);
}

class DenseCalibrationPass final : public CalibrationPass {
 public:
  DenseCalibrationPass(std::shared_ptr<const LanguageModel> dense, torch::Tensor tokens_NL, int64_t rows_per_batch, torch::Device home)
      : dense_(std::move(dense)), tokens_NL_(std::move(tokens_NL)), rows_per_batch_(rows_per_batch), home_(home) {
    rotary_ = MakeRotaryTables(dense_->config, tokens_NL_.size(1), dense_->device(), dense_->embedding_VD.scalar_type());
  }

  absl::StatusOr<LayerStatistics> Collect(int layer, const BankProgress& progress, std::stop_token stop) override {
    if (layer < 0 || layer >= dense_->config.num_layers) {
      return absl::InvalidArgumentError(absl::StrCat("layer ", layer, " of a model with ", dense_->config.num_layers, " layers"));
    }
    absl::StatusOr<LayerStatistics> result = CollectOrThrow(layer, progress, stop);
    if (!result.ok()) position_ = kNowhere;
    return result;
  }

  int position() const override { return std::max(position_, 0); }

 private:
  static constexpr int kNowhere = -1;

  absl::StatusOr<LayerStatistics> CollectOrThrow(int layer, const BankProgress& progress, std::stop_token stop) {
    try {
      const c10::NoGradGuard no_gradients;
      if (position_ == kNowhere || position_ > layer) Restart();
      const int64_t layers_to_run = layer - position_ + 1;
      tokens_done_ = 0;
      tokens_to_do_ = layers_to_run * tokens_NL_.numel();
      while (position_ < layer) {
        ESPALIER_RETURN_IF_ERROR(Run(nullptr, progress, stop));
      }
      LayerStatistics statistics = Empty(layer);
      ESPALIER_RETURN_IF_ERROR(Run(&statistics, progress, stop));
      ESPALIER_RETURN_IF_ERROR(CheckFinite(layer, "attention output projection", statistics.attention_moment_nn));
      ESPALIER_RETURN_IF_ERROR(CheckFinite(layer, "FFN down projection", statistics.ffn_moment_nn));
      return statistics;
    } catch (...) {
      return StatusOfCurrentException(dense_->device());
    }
  }

  void Restart() {
    const torch::Tensor& embedding = dense_->embedding_VD;
    if (!hidden_NLD_.defined()) {
      const auto options = torch::TensorOptions(home_).dtype(embedding.scalar_type()).pinned_memory(home_.is_cpu() && embedding.is_cuda());
      hidden_NLD_ = torch::empty({tokens_NL_.size(0), tokens_NL_.size(1), embedding.size(1)}, options);
    }
    for (int64_t begin = 0; begin < tokens_NL_.size(0); begin += rows_per_batch_) {
      const int64_t rows = std::min(rows_per_batch_, tokens_NL_.size(0) - begin);
      hidden_NLD_.narrow(0, begin, rows).copy_(Embed(*dense_, tokens_NL_.narrow(0, begin, rows).to(dense_->device())));
    }
    position_ = 0;
  }

  LayerStatistics Empty(int layer) const {
    const ModelConfig& config = dense_->config;
    const auto options = torch::TensorOptions(dense_->device()).dtype(torch::kFloat32);
    LayerStatistics statistics;
    statistics.layer = layer;
    statistics.num_tokens = tokens_NL_.numel();
    const int64_t attention_columns = int64_t{config.num_heads} * config.head_size;
    statistics.attention_moment_nn = torch::zeros({attention_columns, attention_columns}, options);
    statistics.ffn_moment_nn = torch::zeros({config.ffn_width, config.ffn_width}, options);
    return statistics;
  }

  // Takes all windows through the layer at position_, with or without looking at it.
  absl::Status Run(LayerStatistics* statistics, const BankProgress& progress, std::stop_token stop) {
    for (int64_t begin = 0; begin < tokens_NL_.size(0); begin += rows_per_batch_) {
      if (stop.stop_requested()) return absl::CancelledError("the calibration was stopped");
      const int64_t rows = std::min(rows_per_batch_, tokens_NL_.size(0) - begin);
      torch::Tensor slot = hidden_NLD_.narrow(0, begin, rows);
      const torch::Tensor hidden = slot.to(dense_->device());
      slot.copy_(statistics == nullptr ? LayerForward(*dense_, position_, hidden, rotary_) : Observe(hidden, *statistics));
      tokens_done_ += rows * tokens_NL_.size(1);
      if (progress) progress("calibrate", tokens_done_, tokens_to_do_);
    }
    ++position_;
    return absl::OkStatus();
  }

  // LayerForward with the inputs of both output projections seen on the way.
  torch::Tensor Observe(const torch::Tensor& hidden_BLD, LayerStatistics& statistics) const {
    const ModelConfig& config = dense_->config;
    const LayerWeights& weights = dense_->layers[position_];
    const double scale = 2.0 / static_cast<double>(statistics.num_tokens);
    const torch::Tensor heads = AttentionInner(config, config.layers[position_], weights.attention, hidden_BLD, rotary_);
    AddMoments(heads, scale, statistics.attention_moment_nn);
    const torch::Tensor middle = hidden_BLD + at::linear(heads, weights.attention.o_weight, weights.attention.o_bias);
    const torch::Tensor neurons = FfnInner(config, weights.ffn, middle);
    AddMoments(neurons, scale, statistics.ffn_moment_nn);
    return middle + at::linear(neurons, weights.ffn.down_weight, weights.ffn.down_bias);
  }

  static absl::Status CheckFinite(int layer, const char* what, const torch::Tensor& moment_nn) {
    if (at::isfinite(moment_nn.sum()).item<bool>()) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("layer ", layer, ": what enters the ", what, " is not finite for some calibration token"));
  }

  std::shared_ptr<const LanguageModel> dense_;
  torch::Tensor tokens_NL_;
  int64_t rows_per_batch_;
  torch::Device home_;  // where the hidden states live
  RotaryTables rotary_;
  torch::Tensor hidden_NLD_;
  int position_ = kNowhere;
  int64_t tokens_done_ = 0;
  int64_t tokens_to_do_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<CalibrationPass>> CalibrationPass::Create(std::shared_ptr<const LanguageModel> dense,
                                                                         torch::Tensor tokens_NL, const CalibrationOptions& options) {
  if (tokens_NL.dim() != 2 || tokens_NL.scalar_type() != torch::kInt64 || tokens_NL.numel() == 0) {
    return absl::InvalidArgumentError("calibration tokens must be int64 [windows, length], with at least one window");
  }
  const torch::Device device = dense->device();
  try {
    const int64_t batch_tokens = options.tokens_per_batch > 0 ? options.tokens_per_batch : (device.is_cuda() ? 8192 : 2048);
    const int64_t rows_per_batch = std::max<int64_t>(1, batch_tokens / tokens_NL.size(1));
    const int64_t hidden_bytes = tokens_NL.numel() * dense->config.hidden_size * dense->embedding_VD.element_size();
    const bool fits = options.hidden_memory_bytes == 0 || hidden_bytes <= options.hidden_memory_bytes;
    return std::make_unique<DenseCalibrationPass>(std::move(dense), std::move(tokens_NL), rows_per_batch,
                                                  fits ? device : torch::Device(torch::kCPU));
  } catch (...) {
    return StatusOfCurrentException(device);
  }
}

}  // namespace espalier
