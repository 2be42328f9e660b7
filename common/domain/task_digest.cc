// The canonical text of a task: one "name value" line a field, in a fixed order; doubles in the shortest form that
// reads back equal.
#include <charconv>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/sha256.h"
#include "common/domain/bank_key.h"
#include "common/domain/task.h"

namespace espalier {
namespace {

class Text {
 public:
  explicit Text(const char* heading) : text_(absl::StrCat(heading, "\n")) {}
  Text& Add(const char* name, const std::string& value) {
    // The length keeps a value that contains a line end from passing for another field.
    absl::StrAppend(&text_, name, " ", value.size(), ":", value, "\n");
    return *this;
  }
  Text& Add(const char* name, int64_t value) { return Add(name, absl::StrCat(value)); }
  Text& Add(const char* name, double value) {
    char buffer[32];
    const std::to_chars_result result = std::to_chars(buffer, buffer + sizeof buffer, value);
    return Add(name, std::string(buffer, result.ptr));
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

std::string ToText(const JobContext& context) {
  return Text("context")
      .Add("model", context.model_digest)
      .Add("tokens", context.tokens_digest)
      .Add("evaluation", context.evaluation_digest)
      .Add("evaluation_windows", context.evaluation_windows)
      .Add("sequence_length", int64_t{context.sequence_length})
      .Add("ladder", LadderDigest(context.ladder))
      .Add("criterion", context.criterion)
      .Add("compensation", context.compensation)
      .Add("damping", context.damping)
      .Add("device", static_cast<int64_t>(context.device))
      .Add("cpu_threads", int64_t{context.cpu_threads})
      .text();
}

std::string ToText(const BankReference& bank) {
  return Text("bank").Add("key", bank.key).Add("layers", absl::StrJoin(bank.layer_digests, ",")).text();
}

std::string ToText(const TrainSettings& train) {
  return Text("train")
      .Add("loss", static_cast<int64_t>(train.loss))
      .Add("learning_rate", train.learning_rate)
      .Add("weight_decay", train.weight_decay)
      .Add("beta1", train.beta1)
      .Add("beta2", train.beta2)
      .Add("epsilon", train.epsilon)
      .Add("clip_norm", train.clip_norm)
      .Add("warmup_steps", int64_t{train.warmup_steps})
      .Add("cosine_to", train.cosine_to)
      .text();
}

std::string ToText(const StreamRange& range) {
  return Text("stream")
      .Add("key", ToText(range.key))
      .Add("begin", range.begin)
      .Add("end", range.end)
      .Add("stage_ends", absl::StrJoin(range.stage_ends, ","))
      .Add("repeat", int64_t{range.repeat})
      .text();
}

std::string ToText(const std::optional<StateKey>& state) {
  if (!state.has_value()) return "none";
  return Text("state")
      .Add("mask", state->mask_digest)
      .Add("stream", state->stream)
      .Add("position", state->position)
      .text();
}

std::string ToText(const BankLayerTask& task) {
  return Text("bank_layer")
      .Add("layer", int64_t{task.layer})
      .Add("calibration", ToText(task.calibration))
      .Add("windows", task.calibration_windows)
      .text();
}

std::string ToText(const AdditiveUnitTask& task) {
  return Text("additive_unit")
      .Add("bank", ToText(task.bank))
      .Add("unit", int64_t{task.unit})
      .Add("score", ToText(task.score))
      .Add("score_windows", task.score_windows)
      .text();
}

std::string ToText(const EvaluateTask& task) {
  return Text("evaluate")
      .Add("bank", ToText(task.bank))
      .Add("mask", task.mask_digest)
      .Add("train", ToText(task.train))
      .Add("stream", ToText(task.stream))
      .Add("tokens_per_step", int64_t{task.tokens_per_step})
      .Add("schedule_tokens", task.schedule_tokens)
      .Add("resume", ToText(task.resume))
      .Add("retain", ToText(task.retain))
      .Add("continue_state", static_cast<int64_t>(task.continue_state))
      .Add("score", ToText(task.score))
      .Add("score_windows", task.score_windows)
      .Add("measure_perplexity", int64_t{task.measure_perplexity})
      .text();
}

std::string ToText(const FinishTask& task) {
  return Text("finish")
      .Add("bank", ToText(task.bank))
      .Add("mask", task.mask_digest)
      .Add("recovery_tokens", task.recovery.tokens)
      .Add("recovery_train", ToText(task.recovery.train))
      .Add("recovery_tokens_per_step", int64_t{task.recovery.tokens_per_step})
      .Add("recovery_start_trained", int64_t{task.recovery.start_trained})
      .Add("recovery_key", ToText(task.recovery_key))
      .Add("start", ToText(task.start))
      .Add("start_evaluation", task.start_evaluation.has_value() ? ToText(*task.start_evaluation) : "none")
      .Add("runtime", static_cast<int64_t>(task.runtime))
      .Add("score", ToText(task.score))
      .Add("score_windows", task.score_windows)
      .Add("provenance", task.provenance_json)
      .text();
}

}  // namespace

std::string InputDigest(const Task& task) {
  const std::string payload = std::visit([](const auto& each) { return ToText(each); }, task.payload);
  return Sha256Hex(absl::StrCat("task 1\n", ToText(task.context), payload));
}

}  // namespace espalier
