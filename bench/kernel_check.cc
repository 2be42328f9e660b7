#include "bench/kernel_check.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <torch/csrc/autograd/autograd.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "worker/model/forward.h"
#include "worker/model/fused_norm.h"
#include "worker/model/fused_ops.h"
#include "worker/model/random_model.h"
#include "worker/score/chunked_loss.h"
#include "worker/train/adamw.h"
#include "worker/train/byte_moments.h"

namespace espalier::bench {
namespace {

using torch::Tensor;

double Apart(const Tensor& a, const Tensor& b) {
  const Tensor x = a.to(torch::kFloat64), y = b.to(torch::kFloat64);
  return ((x - y).norm() / y.norm().clamp_min(1e-30)).item<double>();
}

absl::Status Book(const std::string& name, double error, double most, Report& report) {
  report.Add(Row().Text("check", name).Number("apart", error, 9).Number("most", most, 9));
  if (error <= most) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(name, ": ", error, " apart, at most ", most, " was expected"));
}

struct Optimized {
  Tensor master, first, second, weights;
};

struct Optimizing {
  MastersFormat masters = MastersFormat::kFloat32;
  MomentsFormat moments = MomentsFormat::kFloat32;
  double clip_norm = 0;
  double rate = 1e-3;
  bool downhill = false;  // all gradients positive
};

Optimized TakeSteps(const ModelConfig& shape, torch::Device device, bool with_kernel, const Optimizing& how) {
  SwitchFusedOps(with_kernel);
  LanguageModel model = RandomLanguageModel(shape, 5, device, torch::kBFloat16);
  const FlatParameters parameters = FlattenParameters(model);
  TrainSettings settings;
  settings.weight_decay = 0.1;
  settings.clip_norm = how.clip_norm;
  FlatAdamW optimizer(parameters, settings, how.moments, how.masters);
  torch::manual_seed(11);
  for (int step = 0; step < 8; ++step) {
    std::vector<Tensor> gradients;
    for (size_t i = 0; i < parameters.leaves.size(); ++i) {
      const Tensor gradient = at::randn(parameters.leaves[i].sizes(), parameters.flat.options()) * (step % 2 == 0 ? 0.5 : 0.01);
      gradients.push_back(i % 7 == 3 && step > 4 ? Tensor() : how.downhill ? gradient.abs() : gradient);
    }
    optimizer.Step(gradients, at::full({}, how.rate * (1 + step % 3), parameters.flat.options().dtype(torch::kFloat32)));
  }
  SwitchFusedOps(true);
  Tensor first = optimizer.first_moments(), second = optimizer.second_moments();
  if (how.moments == MomentsFormat::kByte) {
    first = at::empty_like(optimizer.master(), torch::kFloat32);
    second = at::empty_like(first);
    ExpandAllMoments(MomentKind::kFirst, parameters, {optimizer.first_moments(), optimizer.first_scales()}, first);
    ExpandAllMoments(MomentKind::kSecond, parameters, {optimizer.second_moments(), optimizer.second_scales()}, second);
  }
  return {optimizer.master(), first, second, parameters.flat};
}

std::string OptimizerName(MastersFormat masters, MomentsFormat moments) {
  const char* const stored = moments == MomentsFormat::kFloat32 ? "float32" : moments == MomentsFormat::kByte ? "byte" : "bfloat16";
  return absl::StrCat("AdamW, ", masters == MastersFormat::kBFloat16 ? "masters bfloat16, " : "", "moments ", stored);
}

// The kernel against the way without it.
absl::Status CheckSteps(const ModelConfig& shape, torch::Device device, const Optimizing& how, Report& report) {
  const Optimized plain = TakeSteps(shape, device, false, how), kernel = TakeSteps(shape, device, true, how);
  const std::string name = absl::StrCat(OptimizerName(how.masters, how.moments), how.clip_norm > 0 ? ", clipped" : "", ": ");
  const bool has_masters = how.masters == MastersFormat::kFloat32, exact = how.moments == MomentsFormat::kFloat32;
  // Both round by the same random numbers; where the last bits of what is rounded differ it may go the other way. Rounded by
  // others, masters in bf16 would be several thousandths apart. Neighbours among bytes are up to a seventh apart.
  const double most_of_moments = exact ? 1e-6 : how.moments == MomentsFormat::kBFloat16 ? 2e-3 : 1e-2;
  ESPALIER_RETURN_IF_ERROR(Book(name + "masters", Apart(kernel.master, plain.master), exact && has_masters ? 1e-6 : 1e-3, report));
  ESPALIER_RETURN_IF_ERROR(Book(name + "first moments", Apart(kernel.first, plain.first), most_of_moments, report));
  ESPALIER_RETURN_IF_ERROR(Book(name + "second moments", Apart(kernel.second, plain.second), most_of_moments, report));
  if (!has_masters) return absl::OkStatus();
  return Book(name + "weights are the masters' rounding", Apart(kernel.weights, kernel.master.to(torch::kBFloat16)), 0, report);
}

// Steps of a twentieth to a fifth of what bf16 shows at 0.02, all downwards: rounded to nearest hardly any weight would move.
absl::Status CheckMean(const ModelConfig& shape, torch::Device device, MomentsFormat moments, Report& report) {
  Optimizing how{MastersFormat::kFloat32, moments, 0, 5e-6, true};
  const Tensor wide = TakeSteps(shape, device, true, how).master.to(torch::kFloat64);
  how.masters = MastersFormat::kBFloat16;
  const Tensor apart = TakeSteps(shape, device, true, how).master.to(torch::kFloat64) - wide;
  const double deviations = (apart.sum().abs() / apart.norm().clamp_min(1e-30)).item<double>();
  return Book(OptimizerName(how.masters, moments) + ": mean off that of fp32 masters, standard deviations", deviations, 5, report);
}

struct LossParts {
  Tensor loss, hidden, head;
};

LossParts LossOf(Loss loss, int64_t vocabulary, torch::Device device, bool with_kernel) {
  constexpr int64_t kRows = 300, kHidden = 256;
  SwitchFusedOps(with_kernel);
  torch::manual_seed(3);
  const auto options = torch::TensorOptions().device(device);
  const auto bf16 = [](const Tensor& x) { return x.to(torch::kBFloat16); };
  const Tensor hidden = bf16(at::randn({kRows, kHidden}, options)), head = bf16(at::randn({vocabulary, kHidden}, options) * 0.1);
  const Tensor teacher = bf16(at::randn({kRows, kHidden}, options)), teacher_head = bf16(at::randn({vocabulary, kHidden}, options) * 0.1);
  const Tensor targets = at::randint(-1, vocabulary, {kRows}, options.dtype(torch::kInt64));
  const torch::AutoGradMode with_grad(true);
  // Without the kernel: in fp32, as near to the truth as can be.
  const torch::ScalarType type = with_kernel ? torch::kBFloat16 : torch::kFloat32;
  const Tensor x = hidden.to(type).requires_grad_(true), w = head.to(type).requires_grad_(true);
  const Tensor found = ChunkedLoss(loss, x, w, teacher.to(type), teacher_head.to(type), targets);
  const std::vector<Tensor> gradients = torch::autograd::grad({found}, {x, w});
  SwitchFusedOps(true);
  return {found.detach(), gradients[0], gradients[1]};
}

}  // namespace

absl::Status CheckOptimizer(const ModelConfig& shape, torch::Device device, Report& report) {
  for (const double clip_norm : {0.0, 0.7}) {
    for (const MastersFormat masters : {MastersFormat::kFloat32, MastersFormat::kBFloat16}) {
      for (const MomentsFormat moments : {MomentsFormat::kFloat32, MomentsFormat::kBFloat16, MomentsFormat::kByte}) {
        ESPALIER_RETURN_IF_ERROR(CheckSteps(shape, device, {masters, moments, clip_norm}, report));
      }
    }
  }
  for (const MomentsFormat moments : {MomentsFormat::kFloat32, MomentsFormat::kBFloat16, MomentsFormat::kByte}) {
    ESPALIER_RETURN_IF_ERROR(CheckMean(shape, device, moments, report));
  }
  return absl::OkStatus();
}

absl::Status CheckNorm(torch::Device device, Report& report) {
  for (const int64_t D : {384, 1000, 4096, 8192}) {
    torch::manual_seed(static_cast<uint64_t>(D));
    const auto options = torch::TensorOptions().device(device);
    const auto bf16 = [](const Tensor& x) { return x.to(torch::kBFloat16); };
    const Tensor x = bf16(at::randn({3, 300, D}, options)), delta = bf16(at::randn({3, 300, D}, options)), weight = bf16(at::randn({D}, options));
    const Tensor to_hidden = at::randn({3, 300, D}, options), to_normed = at::randn({3, 300, D}, options);
    const auto run = [&](torch::ScalarType type) {
      const torch::AutoGradMode with_grad(true);
      const auto leaf = [&](const Tensor& t) { return t.to(type, false, true).requires_grad_(true); };
      const Tensor a = leaf(x), b = leaf(delta), w = leaf(weight);
      AddedAndNormed out;
      if (type == torch::kBFloat16) {
        out = AddRmsNorm(a, b, w, 1e-5);
      } else {
        out.hidden_BLD = a + b;
        out.normed_BLD = RmsNorm(out.hidden_BLD, w, 1e-5);
      }
      const Tensor sum = (out.hidden_BLD * to_hidden).sum() + (out.normed_BLD * to_normed).sum();
      std::vector<Tensor> found = torch::autograd::grad({sum}, {a, b, w});
      found.push_back(out.normed_BLD.detach());
      return found;
    };
    const std::vector<Tensor> kernel = run(torch::kBFloat16), exact = run(torch::kFloat32);
    const std::string of = absl::StrCat("addition and norm of ", D, ": ");
    ESPALIER_RETURN_IF_ERROR(Book(of + "gradient of the stream", Apart(kernel[0], exact[0]), 1e-2, report));
    ESPALIER_RETURN_IF_ERROR(Book(of + "gradient of the addend", Apart(kernel[1], exact[1]), 1e-2, report));
    ESPALIER_RETURN_IF_ERROR(Book(of + "gradient of the weight", Apart(kernel[2], exact[2]), 1e-2, report));
    ESPALIER_RETURN_IF_ERROR(Book(of + "normed", Apart(kernel[3], exact[3]), 1e-2, report));
  }
  return absl::OkStatus();
}

absl::Status CheckLoss(torch::Device device, Report& report) {
  const std::pair<const char*, Loss> losses[] = {{"cross-entropy", Loss::kCrossEntropy}, {"KL", Loss::kKl}, {"both", Loss::kBoth}};
  for (const auto& [name, loss] : losses) {
    for (const int64_t vocabulary : {4096, 4099}) {
      const LossParts exact = LossOf(loss, vocabulary, device, false), kernel = LossOf(loss, vocabulary, device, true);
      const std::string of = absl::StrCat(name, " over ", vocabulary, ": ");
      ESPALIER_RETURN_IF_ERROR(Book(of + "loss", Apart(kernel.loss, exact.loss), 1e-5, report));
      ESPALIER_RETURN_IF_ERROR(Book(of + "gradient of hidden states", Apart(kernel.hidden, exact.hidden), 5e-3, report));
      ESPALIER_RETURN_IF_ERROR(Book(of + "gradient of the head", Apart(kernel.head, exact.head), 5e-3, report));
    }
  }
  return absl::OkStatus();
}

}  // namespace espalier::bench
