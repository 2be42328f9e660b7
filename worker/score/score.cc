#include "worker/score/score.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "worker/model/torch_status.h"
#include "worker/score/chunk_logits.h"

namespace espalier {
namespace {

using torch::Tensor;

// The final hidden states [b, L, D] of windows [begin, begin + count).
using HiddenOfWindows = std::function<Tensor(int64_t begin, int64_t count)>;

absl::Status CheckTokens(const Tensor& tokens_WL) {
  if (tokens_WL.dim() == 2 && tokens_WL.size(0) > 0 && tokens_WL.size(1) > 1 && tokens_WL.scalar_type() == torch::kInt64) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("score windows are int64 of shape [windows, length >= 2], not ", c10::str(tokens_WL.sizes())));
}

absl::Status Report(const ScoreProgress& progress, int64_t done_tokens, int64_t total_tokens) {
  if (!progress || progress(done_tokens, total_tokens)) return absl::OkStatus();
  return absl::CancelledError(absl::StrCat("stopped after ", done_tokens, " of ", total_tokens, " tokens"));
}

// Calls run(begin, count) for one batch of windows after the other.
template <typename Run>
absl::Status ForEachBatch(const Tensor& tokens_WL, const ScoreBatching& batching, const ScoreProgress& progress, const Run& run) {
  const int64_t W = tokens_WL.size(0), L = tokens_WL.size(1);
  for (int64_t begin = 0; begin < W; begin += batching.windows_per_batch) {
    const int64_t count = std::min(batching.windows_per_batch, W - begin);
    run(begin, count);
    ESPALIER_RETURN_IF_ERROR(Report(progress, (begin + count) * L, W * L));
  }
  return absl::OkStatus();
}

// Sums over each window, on the device until the end; `kl` undefined: loss alone.
struct Sums {
  Tensor kl_W, nll_W;  // double
};

// The predictions of b windows, [b * (L-1), ...].
Tensor Predictions(const Tensor& hidden_bLD) {
  return hidden_bLD.narrow(1, 0, hidden_bLD.size(1) - 1).reshape({-1, hidden_bLD.size(2)});
}

// `teacher` may be null. Adds windows [first_window, first_window + b).
void AddBatch(const Tensor& candidate_bLD, const Tensor& head_VD, const Tensor& tokens_WL, const TeacherStates* teacher,
              int64_t rows_per_chunk, int64_t first_window, Sums& sums) {
  const int64_t b = candidate_bLD.size(0), L = tokens_WL.size(1);
  const Tensor hidden_ND = Predictions(candidate_bLD);
  const Tensor teacher_ND = teacher != nullptr ? Predictions(teacher->hidden_WLD.narrow(0, first_window, b)) : Tensor();
  const Tensor targets_N1 = tokens_WL.narrow(0, first_window, b).narrow(1, 1, L - 1).reshape({-1, 1});
  const int64_t N = hidden_ND.size(0);
  const Tensor nll_N = at::empty({N}, hidden_ND.options().dtype(torch::kFloat64));
  const Tensor kl_N = teacher != nullptr ? at::empty_like(nll_N) : Tensor();
  for (int64_t begin = 0; begin < N; begin += rows_per_chunk) {
    const int64_t n = std::min(rows_per_chunk, N - begin);
    const Tensor log_p = at::log_softmax(ChunkLogits(hidden_ND.narrow(0, begin, n), head_VD), -1);
    nll_N.narrow(0, begin, n).copy_(log_p.gather(1, targets_N1.narrow(0, begin, n)).squeeze(1).neg_());
    if (teacher == nullptr) continue;
    const Tensor log_q = teacher->log_probabilities->Get(first_window * (L - 1) + begin, n, [&] {
      return at::log_softmax(ChunkLogits(teacher_ND.narrow(0, begin, n), teacher->head_VD), -1);
    });
    kl_N.narrow(0, begin, n).copy_(log_q.sub(log_p).mul_(log_q.exp()).sum(-1, /*keepdim=*/false, torch::kFloat64));
  }
  sums.nll_W.narrow(0, first_window, b).copy_(nll_N.view({b, L - 1}).sum(1));
  if (kl_N.defined()) sums.kl_W.narrow(0, first_window, b).copy_(kl_N.view({b, L - 1}).sum(1));
}

std::vector<double> Means(const Tensor& sums_W, int64_t predictions) {
  const Tensor host = sums_W.cpu();
  const double* values = host.const_data_ptr<double>();
  std::vector<double> means(values, values + host.numel());
  for (double& mean : means) mean /= static_cast<double>(predictions);
  return means;
}

// `teacher` may be null: loss alone.
absl::StatusOr<ScoreResult> Score(const HiddenOfWindows& hidden_of, const Tensor& head_VD, const Tensor& tokens_WL,
                                  const TeacherStates* teacher, const ScoreBatching& batching, const ScoreProgress& progress) {
  ESPALIER_RETURN_IF_ERROR(CheckTokens(tokens_WL));
  return WithTorchStatus("scoring", tokens_WL.device(), [&]() -> absl::StatusOr<ScoreResult> {
    const c10::InferenceMode inference;
    const int64_t W = tokens_WL.size(0), L = tokens_WL.size(1);
    Sums sums{Tensor(), at::zeros({W}, tokens_WL.options().dtype(torch::kFloat64))};
    if (teacher != nullptr) sums.kl_W = at::zeros_like(sums.nll_W);
    ESPALIER_RETURN_IF_ERROR(ForEachBatch(tokens_WL, batching, progress, [&](int64_t begin, int64_t count) {
      AddBatch(hidden_of(begin, count), head_VD, tokens_WL, teacher, batching.rows_per_chunk, begin, sums);
    }));
    ScoreResult result;
    result.tokens = W * L;
    result.window_nll = Means(sums.nll_W, L - 1);
    if (teacher != nullptr) result.window_kl = Means(sums.kl_W, L - 1);
    return result;
  });
}

RotaryTables TablesFor(const LanguageModel& model, const Tensor& tokens_WL) {
  return MakeRotaryTables(model.config, tokens_WL.size(1), model.device(), model.embedding_VD.scalar_type());
}

int64_t LogProbabilityBytes(const Tensor& tokens_WL, const Tensor& head_VD) {
  const int64_t predictions = tokens_WL.size(0) * (tokens_WL.size(1) - 1);
  return predictions * head_VD.size(0) * static_cast<int64_t>(c10::elementSize(AccumulationType(head_VD)));
}

double Mean(const std::vector<double>& values) {
  return values.empty() ? 0 : std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace

ScoreBatching ScoreBatchingFor(const ModelConfig& dense, int64_t window_length, torch::Device device) {
  // Inner activations of a batch stay near 1 GiB of bf16 on a GPU; on a CPU a batch is small enough for its caches.
  const int64_t width = std::max({dense.ffn_width, dense.hidden_size, dense.num_heads * dense.head_size});
  const int64_t tokens = device.is_cuda() ? std::clamp<int64_t>((int64_t{1} << 29) / width, 4096, 65536) : 1024;
  const int64_t logits = device.is_cuda() ? int64_t{1} << 26 : int64_t{1} << 20;
  return {std::max<int64_t>(tokens / window_length, 1), std::max<int64_t>(logits / dense.vocabulary_size, 16)};
}

int64_t TeacherStates::bytes() const {
  return static_cast<int64_t>(hidden_WLD.nbytes()) + static_cast<int64_t>(tokens_WL.nbytes());
}

absl::StatusOr<TeacherStates> MakeTeacherStates(const LanguageModel& dense, const Tensor& tokens_WL,
                                                const ScoreBatching& batching, const ScoreProgress& progress) {
  ESPALIER_RETURN_IF_ERROR(CheckTokens(tokens_WL));
  return WithTorchStatus("caching the dense model's states", dense.device(), [&]() -> absl::StatusOr<TeacherStates> {
    const torch::NoGradGuard no_grad;  // not inference mode: training reads these states beside tensors with gradients
    const int64_t log_probability_bytes = LogProbabilityBytes(tokens_WL, dense.head_VD);
    TeacherStates states{tokens_WL, Tensor(), dense.head_VD, TablesFor(dense, tokens_WL),
                         std::make_shared<LogProbabilityCache>(log_probability_bytes, dense.device())};
    states.hidden_WLD = at::empty({tokens_WL.size(0), tokens_WL.size(1), dense.config.hidden_size}, dense.embedding_VD.options());
    ESPALIER_RETURN_IF_ERROR(ForEachBatch(tokens_WL, batching, progress, [&](int64_t begin, int64_t count) {
      states.hidden_WLD.narrow(0, begin, count).copy_(FinalHidden(dense, tokens_WL.narrow(0, begin, count), states.rotary));
    }));
    return states;
  });
}

absl::StatusOr<ScoreResult> ScoreAgainstDense(const LanguageModel& candidate, const TeacherStates& teacher,
                                              const ScoreBatching& batching, const ScoreProgress& progress) {
  return ScoreFromLayer(candidate, 0, Tensor(), teacher, batching, progress);
}

absl::StatusOr<ScoreResult> ScoreLoss(const LanguageModel& model, const Tensor& tokens_WL, const ScoreBatching& batching,
                                      const ScoreProgress& progress) {
  ESPALIER_RETURN_IF_ERROR(CheckTokens(tokens_WL));
  RotaryTables rotary;
  const auto hidden_of = [&](int64_t begin, int64_t count) {
    if (!rotary.cos_LK.defined()) rotary = TablesFor(model, tokens_WL);
    return FinalHidden(model, tokens_WL.narrow(0, begin, count), rotary);
  };
  return Score(hidden_of, model.head_VD, tokens_WL, nullptr, batching, progress);
}

absl::StatusOr<Tensor> DenseStatesEntering(const LanguageModel& dense, const TeacherStates& teacher, const Tensor& entering_WLD,
                                           int from, int to, const ScoreBatching& batching, const ScoreProgress& progress) {
  return WithTorchStatus("caching the dense model's states", dense.device(), [&]() -> absl::StatusOr<Tensor> {
    const torch::NoGradGuard no_grad;
    const Tensor states = at::empty_like(teacher.hidden_WLD);
    ESPALIER_RETURN_IF_ERROR(ForEachBatch(teacher.tokens_WL, batching, progress, [&](int64_t begin, int64_t count) {
      const Tensor entering = entering_WLD.defined() ? entering_WLD.narrow(0, begin, count)
                                                     : Embed(dense, teacher.tokens_WL.narrow(0, begin, count));
      states.narrow(0, begin, count).copy_(HiddenAt(dense, entering, from, to, teacher.rotary));
    }));
    return states;
  });
}

absl::StatusOr<ScoreResult> ScoreFromLayer(const LanguageModel& candidate, int layer, const Tensor& entering_WLD,
                                           const TeacherStates& teacher, const ScoreBatching& batching,
                                           const ScoreProgress& progress) {
  const auto hidden_of = [&](int64_t begin, int64_t count) {
    const Tensor entering = entering_WLD.defined() ? entering_WLD.narrow(0, begin, count)
                                                   : Embed(candidate, teacher.tokens_WL.narrow(0, begin, count));
    return FinalNorm(candidate, HiddenAt(candidate, entering, layer, candidate.config.num_layers, teacher.rotary));
  };
  return Score(hidden_of, candidate.head_VD, teacher.tokens_WL, &teacher, batching, progress);
}

double ScoreResult::MeanKl() const { return Mean(window_kl); }
double ScoreResult::MeanNll() const { return Mean(window_nll); }
double ScoreResult::Perplexity() const { return std::exp(MeanNll()); }

double ScoreResult::StandardErrorOfKl() const {
  if (window_kl.size() < 2) return 0;
  const double mean = MeanKl();
  double squares = 0;
  for (const double kl : window_kl) squares += (kl - mean) * (kl - mean);
  const double count = static_cast<double>(window_kl.size());
  return std::sqrt(squares / (count - 1) / count);
}

}  // namespace espalier
