#include "client/job_flags.h"

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/suggest/choices.h"
#include "common/base/files.h"
#include "common/base/status_macros.h"
#include "common/checkpoint/first_parent_folder.h"
#include "common/checkpoint/model_folder.h"
#include "common/checkpoint/token_file.h"
#include "common/domain/cost.h"
#include "common/domain/ladder.h"
#include "common/domain/windows.h"
#include "common/wire/job_conversion.h"
#include "common/wire/job_file.h"

namespace espalier {
namespace {

template <typename Enum>
absl::StatusOr<Enum> Choose(const std::string& flag, const std::string& text,
                            const std::map<std::string, Enum>& choices) {
  const auto found = choices.find(text);
  if (found != choices.end()) return found->second;
  std::vector<std::string> names;
  for (const auto& [name, value] : choices) names.push_back(name);
  return absl::InvalidArgumentError(absl::StrCat(flag, ": ", NotOneOf(text, names)));
}

std::string AbsolutePath(const std::string& path) {
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(path, error);
  return error ? path : absolute.lexically_normal().string();
}

absl::StatusOr<int> ParseInt(const std::string& flag, const std::string& text) {
  ESPALIER_ASSIGN_OR_RETURN(const int64_t value, ParseCount(flag, text));
  if (value > INT32_MAX) return absl::InvalidArgumentError(absl::StrCat(flag, ": ", text, " is too large"));
  return static_cast<int>(value);
}

absl::Status SetChoices(const JobFlags& flags, v1::JobSpec* spec) {
  if (!flags.preset.empty()) {
    ESPALIER_ASSIGN_OR_RETURN(
        const v1::Preset preset,
        Choose<v1::Preset>("--preset", flags.preset, {{"balanced", v1::BALANCED}, {"darwinlm", v1::DARWINLM}}));
    spec->set_preset(preset);
  }
  if (!flags.mode.empty()) {
    ESPALIER_ASSIGN_OR_RETURN(
        const v1::TrainMode mode,
        Choose<v1::TrainMode>("--mode", flags.mode, {{"restart", v1::RESTART}, {"continue", v1::CONTINUE}}));
    spec->set_mode(mode);
  }
  if (!flags.device.empty()) {
    ESPALIER_ASSIGN_OR_RETURN(const v1::DeviceKind device,
                              Choose<v1::DeviceKind>("--device", flags.device, {{"cpu", v1::CPU}, {"cuda", v1::CUDA}}));
    spec->set_device(device);
  }
  if (!flags.head_granularity.empty()) {
    ESPALIER_ASSIGN_OR_RETURN(const v1::HeadGranularity granularity,
                              Choose<v1::HeadGranularity>("--head-granularity", flags.head_granularity,
                                                          {{"head", v1::HEAD}, {"kv-group", v1::KV_GROUP}}));
    spec->mutable_ladder()->set_head_granularity(granularity);
  }
  if (!flags.runtime.empty()) {
    ESPALIER_ASSIGN_OR_RETURN(const v1::Runtime runtime, Choose<v1::Runtime>("--runtime", flags.runtime,
                                                                             {{"huggingface", v1::HUGGING_FACE},
                                                                              {"gguf", v1::GGUF},
                                                                              {"nemotron-nas", v1::NEMOTRON_NAS},
                                                                              {"vllm-anymodel", v1::VLLM_ANYMODEL}}));
    spec->set_runtime(runtime);
  }
  return absl::OkStatus();
}

// A folder of a pruned model, by anybody's tool: its mask of the dense model.
absl::StatusOr<v1::GivenMask> ReadMaskOfFolder(const std::string& folder, const std::string& model) {
  if (model.empty())
    return absl::InvalidArgumentError("--first-parent FOLDER needs --model: the mask is of that model");
  ESPALIER_ASSIGN_OR_RETURN(const ModelConfig dense, checkpoint::ReadModelConfig(model));
  ESPALIER_ASSIGN_OR_RETURN(const checkpoint::RemovedUnits removed, checkpoint::ReadRemovedUnits(folder, dense));
  v1::GivenMask mask;
  for (const auto& [unit, count] : removed) {
    v1::GivenMask::Removal* removal = mask.add_removed();
    removal->set_unit(unit);
    removal->set_removed(count);
  }
  return mask;
}

// `model` is the dense model's folder, from the flags or the job file.
absl::Status SetFirstParent(const JobFlags& flags, const std::string& model, v1::JobSpec* spec) {
  if (flags.first_parent.empty()) return absl::OkStatus();
  if (flags.first_parent == "uniform" || flags.first_parent == "additive") {
    spec->set_first_parent(flags.first_parent == "uniform" ? v1::UNIFORM : v1::ADDITIVE);
    return absl::OkStatus();
  }
  std::error_code error;
  if (std::filesystem::is_directory(flags.first_parent, error)) {
    ESPALIER_ASSIGN_OR_RETURN(*spec->mutable_given_mask(), ReadMaskOfFolder(flags.first_parent, model));
  } else {
    ESPALIER_ASSIGN_OR_RETURN(*spec->mutable_given_mask(), ReadMaskFile(flags.first_parent));
  }
  spec->set_first_parent(v1::GIVEN);
  return absl::OkStatus();
}

absl::Status SetNumbers(const JobFlags& flags, v1::JobSpec* spec) {
  if (!flags.target.empty()) {
    const absl::StatusOr<Target> target = ParseTarget(flags.target);
    if (!target.ok()) return absl::InvalidArgumentError(absl::StrCat("--target: ", target.status().message()));
    if (target->count > 0) {
      spec->mutable_target()->set_count(target->count);
    } else {
      spec->mutable_target()->set_share(target->share);
    }
  }
  if (!flags.seed.empty()) {
    uint64_t seed = 0;
    if (!absl::SimpleAtoi(flags.seed, &seed)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--seed: '", flags.seed, "' is no whole number from 0 to 2^64 - 1"));
    }
    spec->set_seed(seed);
  }
  if (!flags.generations.empty()) {
    ESPALIER_ASSIGN_OR_RETURN(const int generations, ParseInt("--generations", flags.generations));
    spec->mutable_stop()->set_generations(generations);
  }
  if (!flags.token_budget.empty()) {
    ESPALIER_ASSIGN_OR_RETURN(const int64_t budget, ParseCount("--token-budget", flags.token_budget));
    spec->mutable_stop()->set_token_budget(budget);
  }
  if (!flags.wall_time.empty()) {
    absl::Duration limit;
    if (!absl::ParseDuration(flags.wall_time, &limit) || limit <= absl::ZeroDuration()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--wall-time: '", flags.wall_time, "' is no duration such as 90s, 15m or 2h"));
    }
    spec->mutable_stop()->set_wall_seconds(absl::ToDoubleSeconds(limit));
  }
  if (!flags.sequence_length.empty()) {
    ESPALIER_ASSIGN_OR_RETURN(const int length, ParseInt("--sequence-length", flags.sequence_length));
    spec->set_sequence_length(length);
  }
  if (!flags.tokens_per_step.empty()) {
    ESPALIER_ASSIGN_OR_RETURN(const int tokens, ParseInt("--tokens-per-step", flags.tokens_per_step));
    spec->set_tokens_per_step(tokens);
  }
  if (!flags.recovery_tokens.empty()) {
    ESPALIER_ASSIGN_OR_RETURN(const int64_t tokens, ParseCount("--recovery-tokens", flags.recovery_tokens));
    spec->mutable_recovery()->set_tokens(tokens);
  }
  return absl::OkStatus();
}

// Who gets workers first.
absl::Status SetScheduling(const JobFlags& flags, v1::JobSpec* spec) {
  if (!flags.priority.empty()) {
    int32_t priority = 0;
    if (!absl::SimpleAtoi(flags.priority, &priority)) {
      return absl::InvalidArgumentError(absl::StrCat("--priority: '", flags.priority, "' is no whole number"));
    }
    spec->set_priority(priority);
  }
  if (!flags.weight.empty()) {
    double weight = 0;
    if (!absl::SimpleAtod(flags.weight, &weight) || !std::isfinite(weight)) {
      return absl::InvalidArgumentError(absl::StrCat("--weight: '", flags.weight, "' is no number"));
    }
    spec->set_weight(weight);
  }
  if (!flags.max_workers.empty()) {
    ESPALIER_ASSIGN_OR_RETURN(const int workers, ParseInt("--max-workers", flags.max_workers));
    spec->set_max_workers(workers);
  }
  if (!flags.minimum_device_memory.empty()) {
    ESPALIER_ASSIGN_OR_RETURN(const int64_t bytes, ParseBytes("--minimum-device-memory", flags.minimum_device_memory));
    spec->set_minimum_device_memory(bytes);
  }
  return absl::OkStatus();
}

absl::Status SetEvaluationWindows(const JobFlags& flags, v1::JobSpec* spec) {
  if (flags.evaluate_tokens.empty()) return absl::OkStatus();
  ESPALIER_ASSIGN_OR_RETURN(const int64_t tokens, ParseCount("--evaluate-tokens", flags.evaluate_tokens));
  ESPALIER_ASSIGN_OR_RETURN(const int64_t windows,
                            WindowsFor(tokens, spec->sequence_length(), spec->tokens_path(), spec->model_folder()));
  spec->set_evaluation_windows(windows);
  return absl::OkStatus();
}

absl::Status AddUnit(const std::string& path, const std::string& unit, const nlohmann::json& value,
                     v1::GivenMask* mask) {
  const absl::StatusOr<Unit> parsed = ParseUnit(unit);
  if (!parsed.ok()) return absl::InvalidArgumentError(absl::StrCat("'", path, "': ", parsed.status().message()));
  if (!value.is_object() || !value.contains("removed") || !value["removed"].is_number_integer() ||
      value["removed"] < 0) {
    return absl::InvalidArgumentError(absl::StrCat("'", path, "': ", unit, " has no whole number 'removed'"));
  }
  v1::GivenMask::Removal* removal = mask->add_removed();
  removal->set_unit(unit);
  removal->set_removed(value["removed"].get<int>());
  return absl::OkStatus();
}

}  // namespace

void AddJobFlags(CLI::App& command, JobFlags& flags) {
  command.add_option("--job", flags.job_file, "job file (JobSpec as .textproto or .json); flags beat it")
      ->type_name("FILE");
  command.add_option("--model", flags.model, "Hugging Face folder of the dense model")->type_name("FOLDER");
  command.add_option("--tokens", flags.tokens, ".npy file of token ids to calibrate, train and score on")
      ->type_name("FILE");
  command.add_option("--target", flags.target, "size of the result: a share (60%) or a count (2.36M, 4.6B, 2362560)");
  command.add_option("--evaluate", flags.evaluate, ".npy file of held-out token ids for the perplexities")
      ->type_name("FILE");
  command.add_option("--evaluate-tokens", flags.evaluate_tokens,
                     "tokens of it to use, in whole windows (128 windows; 0: all)");
  command.add_option("--generations", flags.generations,
                     "most generations of the whole job (0: stop at the first parent)");
  command.add_option("--seed", flags.seed, "of every random choice (0)");
  command.add_option("--preset", flags.preset, "named schedule (balanced)")
      ->check(KnownValues({"balanced", "darwinlm"}));
  command.add_option("--mode", flags.mode, "train each stage anew (restart) or go on (continue)")
      ->check(KnownValues({"restart", "continue"}));
  command.add_option("--first-parent", flags.first_parent,
                     "uniform, additive, a mask FILE (JSON) or the FOLDER of a pruned model (any block_configs)");
  command.add_option("--head-granularity", flags.head_granularity, "what a level of attention removes")
      ->check(KnownValues({"head", "kv-group"}));
  command.add_option("--runtime", flags.runtime, "what has to load the result")
      ->check(KnownValues({"huggingface", "gguf", "nemotron-nas", "vllm-anymodel"}));
  command.add_option("--sequence-length", flags.sequence_length,
                     "tokens of a window (from the token file or the model)");
  command.add_option("--tokens-per-step", flags.tokens_per_step, "tokens of an optimiser step in the search");
  command.add_option("--token-budget", flags.token_budget, "most training tokens of the search, e.g. 20M");
  command.add_option("--wall-time", flags.wall_time, "end the search after this time, e.g. 15m");
  command.add_option("--recovery-tokens", flags.recovery_tokens,
                     "train the winner on so many tokens before the export, e.g. 5M");
  command.add_flag("--recover-yardsticks", flags.recover_yardsticks,
                   "train the uniform and the additive mask as well, to compare");
  command.add_option("--device", flags.device, "where candidates are trained")->check(KnownValues({"cpu", "cuda"}));
  command.add_option("--priority", flags.priority, "jobs of higher priority get workers first, -100 to 100 (0)");
  command.add_option("--weight", flags.weight, "share of the workers' time among jobs of one priority (1)");
  command.add_option("--max-workers", flags.max_workers, "most workers at once (0: no limit)");
  command.add_option("--minimum-device-memory", flags.minimum_device_memory,
                     "only workers with so much, e.g. 40GB (on CUDA: as estimated)");
  command.add_option("--name", flags.display_name, "a name to recognise the job by");
}

absl::StatusOr<v1::JobSpec> ToSpec(const JobFlags& flags) {
  v1::JobSpec spec;
  if (!flags.job_file.empty()) {
    ESPALIER_ASSIGN_OR_RETURN(spec, wire::ReadJobFile(flags.job_file));
  }
  v1::JobSpec over;
  if (!flags.model.empty()) over.set_model_folder(flags.model);
  if (!flags.tokens.empty()) over.set_tokens_path(flags.tokens);
  if (!flags.evaluate.empty()) over.set_evaluation_path(flags.evaluate);
  if (!flags.display_name.empty()) over.set_display_name(flags.display_name);
  if (flags.recover_yardsticks) over.set_recover_yardsticks(true);
  ESPALIER_RETURN_IF_ERROR(SetChoices(flags, &over));
  ESPALIER_RETURN_IF_ERROR(SetFirstParent(flags, flags.model.empty() ? spec.model_folder() : flags.model, &over));
  ESPALIER_RETURN_IF_ERROR(SetNumbers(flags, &over));
  ESPALIER_RETURN_IF_ERROR(SetScheduling(flags, &over));
  if (over.has_preset() && spec.has_preset() && over.preset() != spec.preset()) {
    return absl::InvalidArgumentError(absl::StrCat("two presets: --preset ", flags.preset, ", but '", flags.job_file,
                                                   "' says ", v1::Preset_Name(spec.preset()), "; name one of them"));
  }
  wire::MergeOver(over, &spec);
  if (spec.model_folder().empty())
    return absl::InvalidArgumentError("no model named: give --model FOLDER (or model_folder in the job file)");
  if (spec.tokens_path().empty())
    return absl::InvalidArgumentError("no tokens named: give --tokens FILE.npy (or tokens_path in the job file)");
  if (!spec.has_target())
    return absl::InvalidArgumentError("no target named: give --target, e.g. 60% (or target in the job file)");
  spec.set_model_folder(AbsolutePath(spec.model_folder()));
  spec.set_tokens_path(AbsolutePath(spec.tokens_path()));
  if (!spec.evaluation_path().empty()) spec.set_evaluation_path(AbsolutePath(spec.evaluation_path()));
  ESPALIER_RETURN_IF_ERROR(SetEvaluationWindows(flags, &spec));
  return spec;
}

absl::StatusOr<int64_t> ParseCount(const std::string& flag, const std::string& text) {
  static const std::map<char, double> kSuffixes = {{'k', 1e3}, {'K', 1e3}, {'m', 1e6},
                                                   {'M', 1e6}, {'b', 1e9}, {'B', 1e9}};
  std::string digits = text;
  double factor = 1;
  if (!digits.empty() && kSuffixes.contains(digits.back())) {
    factor = kSuffixes.at(digits.back());
    digits.pop_back();
  }
  double value = 0;
  if (!absl::SimpleAtod(digits, &value) || !(value >= 0) || value * factor > 9e15 ||
      (factor == 1 && value != std::floor(value))) {
    return absl::InvalidArgumentError(absl::StrCat(flag, ": '", text, "' is no count such as 4096, 100k, 5M or 2.5B"));
  }
  return std::llround(value * factor);
}

absl::StatusOr<int64_t> ParseBytes(const std::string& flag, const std::string& text) {
  static const std::vector<std::pair<std::string, double>> kUnits = {
      {"TiB", 1099511627776.0}, {"GiB", 1073741824.0}, {"MiB", 1048576.0}, {"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6},
      {"", 1}};
  for (const auto& [unit, factor] : kUnits) {
    if (!text.ends_with(unit)) continue;
    double value = 0;
    if (!absl::SimpleAtod(text.substr(0, text.size() - unit.size()), &value) || !(value >= 0) || value * factor > 9e15)
      break;
    return std::llround(value * factor);
  }
  return absl::InvalidArgumentError(absl::StrCat(flag, ": '", text, "' is no size such as 40GB, 24GiB or 512MiB"));
}

absl::StatusOr<v1::GivenMask> ReadMaskFile(const std::string& path) {
  ESPALIER_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, 16 << 20));
  nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (json.is_discarded()) return absl::InvalidArgumentError(absl::StrCat("'", path, "' is no JSON"));
  if (json.is_object() && json.contains("mask")) json = json["mask"];
  if (!json.is_object())
    return absl::InvalidArgumentError(absl::StrCat("'", path, "' holds no mask: an object by unit is needed"));
  v1::GivenMask mask;
  for (const auto& [unit, value] : json.items()) ESPALIER_RETURN_IF_ERROR(AddUnit(path, unit, value, &mask));
  return mask;
}

absl::StatusOr<int64_t> WindowsFor(int64_t tokens, int sequence_length, const std::string& tokens_path,
                                   const std::string& model) {
  if (tokens == 0) return 0;
  int length = sequence_length;
  if (length == 0) {
    ESPALIER_ASSIGN_OR_RETURN(const ModelConfig config, checkpoint::ReadModelConfig(model));
    ESPALIER_ASSIGN_OR_RETURN(const auto file, checkpoint::TokenFile::Open(tokens_path, 0));
    length = ResolveSequenceLength(0, file->row_length(), config.max_positions);
  }
  return WindowsForTokens(tokens, length);
}

}  // namespace espalier
