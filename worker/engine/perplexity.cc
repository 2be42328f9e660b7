#include "worker/engine/perplexity.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/domain/evaluation_windows.h"

namespace espalier {
namespace {

struct EvaluationSet {
  std::shared_ptr<const TokenWindows> tokens;
  std::vector<int64_t> windows;
};

absl::StatusOr<EvaluationSet> OpenEvaluation(TaskRun& run) {
  const JobContext& context = run.context;
  EvaluationSet set;
  if (!context.evaluation_path.empty()) {
    ESPALIER_ASSIGN_OR_RETURN(
        set.tokens, run.parts.tokens.Get(context.evaluation_path, context.evaluation_digest, context.sequence_length,
                                         run.dense->config.vocabulary_size));
    ESPALIER_ASSIGN_OR_RETURN(
        set.windows, EvaluationWindows(set.tokens->num_tokens, context.sequence_length, context.evaluation_windows));
    return set;
  }
  set.tokens = run.tokens;
  const std::vector<int64_t> pool = PoolWindows(Pool::kReport, run.tokens->num_windows);
  const int64_t pool_tokens = static_cast<int64_t>(pool.size()) * context.sequence_length;
  ESPALIER_ASSIGN_OR_RETURN(const std::vector<int64_t> picked,
                            EvaluationWindows(pool_tokens, context.sequence_length, context.evaluation_windows));
  for (const int64_t index : picked) set.windows.push_back(pool[index]);
  return set;
}

}  // namespace

absl::StatusOr<ScoreResult> LossOverWindows(const LanguageModel& model, const TokenWindows& tokens,
                                            const std::vector<int64_t>& windows, const ScoreProgress& progress) {
  const ScoreBatching batching = ScoreBatchingFor(model.config, tokens.sequence_length, model.device());
  return ScoreLoss(model, tokens.Rows(windows), batching, progress);
}

absl::StatusOr<double> EvaluationPerplexity(TaskRun& run, const LanguageModel& model) {
  ESPALIER_ASSIGN_OR_RETURN(const EvaluationSet set, OpenEvaluation(run));
  ESPALIER_ASSIGN_OR_RETURN(const ScoreResult score,
                            LossOverWindows(model, *set.tokens, set.windows, run.score_progress()));
  return score.Perplexity();
}

absl::StatusOr<double> DensePerplexity(TaskRun& run) {
  const std::string key = run.CacheKey(absl::StrCat(run.context.evaluation_digest, "/", run.context.evaluation_path,
                                                    "/", run.context.evaluation_windows));
  {
    std::lock_guard lock(run.parts.perplexity_mutex);
    const auto held = run.parts.dense_perplexities.find(key);
    if (held != run.parts.dense_perplexities.end()) return held->second;
  }
  ESPALIER_ASSIGN_OR_RETURN(const double perplexity, EvaluationPerplexity(run, *run.dense));
  std::lock_guard lock(run.parts.perplexity_mutex);
  run.parts.dense_perplexities[key] = perplexity;
  return perplexity;
}

}  // namespace espalier
