// What makes training fast must not change it: fused kernels against plain operators, and graphs and shared cards against
// one eager step after the other, within the noise of the number format. Ends with an error when it does not hold.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/randn.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bench/bench_model.h"
#include "bench/kernel_check.h"
#include "bench/options.h"
#include "bench/report.h"
#include "bench/shapes.h"
#include "common/base/status_macros.h"
#include "worker/model/device_runtime.h"
#include "worker/model/forward.h"
#include "worker/model/fused_ops.h"
#include "worker/model/random_model.h"
#include "worker/train/trainer.h"

namespace espalier::bench {
namespace {

using torch::Tensor;

// Relative distance in the Euclidean norm.
double Distance(const Tensor& a, const Tensor& b) {
  const Tensor x = a.to(torch::kFloat64), y = b.to(torch::kFloat64);
  return ((x - y).norm() / y.norm().clamp_min(1e-30)).item<double>();
}

struct UnitResult {
  Tensor output;
  std::vector<Tensor> gradients;
};

// A layer's output and gradients with its weights in the format of `like`.
UnitResult RunLayer(const ModelConfig& config, const LayerWeights& weights, const Tensor& hidden, bool fused,
                    torch::ScalarType dtype) {
  SwitchFusedOps(fused);
  const torch::AutoGradMode with_grad(true);
  LayerWeights own = weights;
  const auto leaf = [&](Tensor& tensor) {
    if (!tensor.defined() || tensor.scalar_type() == torch::kInt64) return;
    tensor = tensor.detach().to(dtype).requires_grad_(true);
  };
  for (Tensor* tensor : {&own.attention.input_norm_D, &own.attention.qkv_weight, &own.attention.o_weight, &own.ffn.input_norm_D,
                         &own.ffn.gate_up_weight, &own.ffn.down_weight}) {
    leaf(*tensor);
  }
  const Tensor x = hidden.detach().to(dtype).requires_grad_(true);
  const RotaryTables rotary = MakeRotaryTables(config, hidden.size(1), hidden.device(), dtype);
  const Tensor middle = x + AttentionForward(config, config.layers[0], own.attention, x, rotary);
  const Tensor out = middle + FfnForward(config, own.ffn, middle);
  const Tensor loss = (out.to(torch::kFloat32) * out.to(torch::kFloat32)).mean();
  UnitResult result{out.detach(), torch::autograd::grad({loss}, {x, own.attention.qkv_weight, own.ffn.gate_up_weight})};
  SwitchFusedOps(true);
  return result;
}

LayerWeights Fuse(LayerWeights layer) {
  layer.attention.qkv_weight = at::cat({layer.attention.q_weight, layer.attention.k_weight, layer.attention.v_weight});
  layer.ffn.gate_up_weight = at::cat({layer.ffn.gate_weight, layer.ffn.up_weight});
  return layer;
}

struct LayerCase {
  std::string name;
  std::vector<int> kv_of_head;
  int num_kv_heads, head_size, ffn_width;
};

absl::StatusOr<Row> CheckLayer(const LayerCase& of, torch::Device device) {
  ESPALIER_ASSIGN_OR_RETURN(ModelConfig config, NamedShape("small"));
  config.head_size = of.head_size;
  config.layers.resize(1);
  config.num_layers = 1;
  config.layers[0].num_kv_heads = of.num_kv_heads;
  config.layers[0].head_to_kv = of.kv_of_head;
  config.layers[0].ffn_width = of.ffn_width;
  LanguageModel model = RandomLanguageModel(config, 7, device, torch::kBFloat16);
  SetKvIndex(model);
  const LayerWeights layer = Fuse(model.layers[0]);
  const auto on_device = torch::TensorOptions().device(device);
  const Tensor hidden = at::randn({3, 96, config.hidden_size}, on_device).to(torch::kBFloat16);
  const UnitResult exact = RunLayer(config, layer, hidden, false, torch::kFloat32);
  const UnitResult plain = RunLayer(config, layer, hidden, false, torch::kBFloat16);
  const UnitResult fused = RunLayer(config, layer, hidden, true, torch::kBFloat16);
  double plain_error = Distance(plain.output, exact.output), fused_error = Distance(fused.output, exact.output);
  for (size_t i = 0; i < exact.gradients.size(); ++i) {
    plain_error = std::max(plain_error, Distance(plain.gradients[i], exact.gradients[i]));
    fused_error = std::max(fused_error, Distance(fused.gradients[i], exact.gradients[i]));
  }
  Row row;
  row.Text("check", of.name).Number("plain_error", plain_error, 5).Number("fused_error", fused_error, 5);
  // Fewer roundings: never further from fp32 than the plain operators are, but for chance.
  if (!(fused_error <= 1.2 * plain_error && plain_error < 0.05)) {
    return absl::InternalError(absl::StrCat(of.name, ": fused kernels are off by ", fused_error, ", plain ones by ", plain_error));
  }
  return row;
}

struct LossPair {
  double first = 0, last = 0;
};

// `nudge` > 0: some weights begin a rounding away from where the others do.
absl::StatusOr<LossPair> TrainOnce(const ModelConfig& shape, const TrainData& data, bool fused, bool graph,
                                   int nudge = 0) {
  constexpr int kSteps = 60;
  SwitchFusedOps(fused);
  LanguageModel candidate = RandomLanguageModel(shape, 2, data.tokens_WL.device(), torch::kBFloat16);
  SetKvIndex(candidate);
  if (nudge > 0) candidate.layers[0].ffn.down_weight.narrow(0, nudge, 1).mul_(1 + 1.0 / 128);
  TrainSettings settings;
  settings.loss = Loss::kCrossEntropy;
  settings.learning_rate = 1e-4;
  TrainerOptions options;
  options.use_graph = graph;
  ESPALIER_ASSIGN_OR_RETURN(const auto trainer, Trainer::Create(&candidate, settings, options));
  std::vector<Step> plan;
  const int length = static_cast<int>(data.tokens_WL.size(1));
  for (int step = 0; step < kSteps; ++step) plan.push_back({{step % data.tokens_WL.size(0), 0, length}});
  ESPALIER_ASSIGN_OR_RETURN(const TrainResult result, trainer->Run(plan, data, 0, {}, {}));
  if (graph != result.used_graph) return absl::InternalError("a graph was wanted and not used: " + result.graph_refusal);
  return LossPair{result.first_loss, result.last_loss};
}

// The measure is how far runs of plain eager steps end apart when a few of their weights begin a rounding apart.
absl::Status CheckTraining(const ModelConfig& shape, const TrainData& data, Report& report) {
  ESPALIER_ASSIGN_OR_RETURN(const LossPair plain, TrainOnce(shape, data, false, false));
  double noise = 0;
  for (const int nudge : {1, 2, 3, 4}) {
    ESPALIER_ASSIGN_OR_RETURN(const LossPair nudged, TrainOnce(shape, data, false, false, nudge));
    noise = std::max(noise, std::abs(nudged.last - plain.last));
  }
  report.Add(Row().Text("check", "a rounding, eager").Number("apart", noise, 5));
  const auto compare = [&](const std::string& name, const LossPair& found) -> absl::Status {
    Row row;
    row.Text("check", name).Number("first_loss", found.first, 5).Number("last_loss", found.last, 5);
    row.Number("apart", std::abs(found.last - plain.last), 5);
    report.Add(row);
    if (std::abs(found.last - plain.last) <= 3 * noise && std::abs(found.first - plain.first) <= 2e-3) return absl::OkStatus();
    return absl::InternalError(absl::StrCat(name, ": the loss goes from ", found.first, " to ", found.last, ", plain eager steps from ",
                                            plain.first, " to ", plain.last, "; a rounding moves its end by ", noise));
  };
  ESPALIER_RETURN_IF_ERROR(compare("plain, eager", plain));
  ESPALIER_ASSIGN_OR_RETURN(const LossPair fused, TrainOnce(shape, data, true, false));
  ESPALIER_RETURN_IF_ERROR(compare("fused, eager", fused));
  ESPALIER_ASSIGN_OR_RETURN(const LossPair graph, TrainOnce(shape, data, true, true));
  ESPALIER_RETURN_IF_ERROR(compare("fused, graph", graph));
  ESPALIER_ASSIGN_OR_RETURN(const LossPair again, TrainOnce(shape, data, true, true));
  ESPALIER_RETURN_IF_ERROR(compare("fused, graph in the memory of one that is gone", again));
  std::vector<absl::StatusOr<LossPair>> together(4, absl::UnknownError("not run"));
  {
    std::vector<std::jthread> threads;
    for (auto& one : together) {
      threads.emplace_back([&] {
        UseDevice(data.tokens_WL.device());
        one = TrainOnce(shape, data, true, true);
      });
    }
  }
  for (const auto& one : together) {
    ESPALIER_RETURN_IF_ERROR(one.status());
    ESPALIER_RETURN_IF_ERROR(compare("fused, graph, one of 4 at once", *one));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status BenchCheck(const Options& options) {
  ESPALIER_ASSIGN_OR_RETURN(const torch::Device device, OpenBenchDevice(options));
  if (!device.is_cuda()) return absl::InvalidArgumentError("the check compares what only a GPU does; it needs --device cuda");
  Report report("check", DescribeMachine(device, options));
  const std::vector<LayerCase> cases = {{"grouped heads", {0, 0, 1, 1, 2, 2}, 3, 64, 1024},
                                        {"uneven heads", {0, 1, 1, 2}, 3, 64, 1000},
                                        {"one head a group", {0, 1, 2}, 3, 64, 8},
                                        {"odd FFN width", {0, 0, 1}, 2, 64, 777},
                                        {"small odd head", {0, 0, 1, 1}, 2, 20, 512}};
  for (const LayerCase& of : cases) {
    ESPALIER_ASSIGN_OR_RETURN(const Row row, CheckLayer(of, device));
    report.Add(row);
  }
  ESPALIER_ASSIGN_OR_RETURN(const ModelConfig dense, NamedShape("small"));
  const ModelConfig shape = Pruned(dense, options.kept_share);
  ESPALIER_RETURN_IF_ERROR(CheckNorm(device, report));
  ESPALIER_RETURN_IF_ERROR(CheckLoss(device, report));
  ESPALIER_RETURN_IF_ERROR(CheckOptimizer(shape, device, report));
  TrainData data;
  data.tokens_WL = RandomWindows(16, options.sequence_length, shape.vocabulary_size, device);
  ESPALIER_RETURN_IF_ERROR(CheckTraining(shape, data, report));
  return report.Finish(options.json);
}

}  // namespace espalier::bench
