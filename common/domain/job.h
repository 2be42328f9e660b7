// A job: one search, as the user specified it and as it stands. Plain values; presets in job_presets.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/domain/cost.h"
#include "common/domain/ladder.h"

namespace espalier {

enum class Preset { kBalanced, kDarwinLm };
enum class FirstParent { kUniform, kAdditive, kGiven };
enum class TrainMode { kRestart, kContinue };
enum class ContinueState { kFull, kWeightsBFloat16 };
enum class Loss { kCrossEntropy, kKl, kBoth };  // kKl: to the dense model; kBoth: their mean
enum class DeviceKind { kCpu, kCuda };
enum class Runtime { kHuggingFace, kGguf, kNemotronNas, kVllmAnyModel };

struct TrainSettings {
  Loss loss = Loss::kKl;
  double learning_rate = 1e-5;
  double weight_decay = 0.01;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double clip_norm = 0;  // 0: no clipping
  // Search stages: constant rate, no warm-up (warmup_steps 0, cosine_to 1). Recovery: warm-up, then cosine from the rate
  // to rate * cosine_to over the planned steps.
  int warmup_steps = 0;
  double cosine_to = 1;
  bool operator==(const TrainSettings&) const = default;
};

struct Stage {
  int survivors = 1;
  int64_t train_tokens = 0;  // 0: this stage only scores
  int64_t score_tokens = 0;
  bool operator==(const Stage&) const = default;
};

struct Phase {
  std::string name;
  int generations = 1;
  int offspring = 16;
  std::vector<Stage> stages;
  TrainSettings train;
  int redraw_every = 1;         // generations that share one draw of windows
  double same_kind_weight = 1;  // of the mutation operators
  double cross_kind_weight = 0;
  int patience = 0;  // > 0: the phase ends after so many generations without a better one on the select windows
  bool operator==(const Phase&) const = default;
};

struct StopRules {
  std::optional<int> generations;  // cuts the list of phases in order; 0 stops at the first parent
  int64_t token_budget = 0;        // committed train tokens; 0: no limit
  double wall_seconds = 0;         // 0: no limit
  int patience = 0;                // as a phase's, over the whole job; 0: no limit
  bool operator==(const StopRules&) const = default;
};

struct Recovery {
  int64_t tokens = 0;  // 0: none
  TrainSettings train;
  int tokens_per_step = 16384;  // 0: 16 windows (recovery), 2 windows (play-off)
  bool start_trained = false;  // from the winner's trained state instead of the bank's weights
  bool operator==(const Recovery&) const = default;
};

struct GivenMask {
  std::vector<std::pair<std::string, int>> removed;  // unit name, removed count
  bool operator==(const GivenMask&) const = default;
};

struct JobSpec {
  std::string display_name;
  Preset preset = Preset::kBalanced;
  std::string model_folder;
  std::string tokens_path;
  std::string evaluation_path;      // empty: perplexities over the report pool
  int64_t evaluation_windows = 128;  // 0: all
  int sequence_length = 0;           // 0: resolved (windows.h)
  uint64_t seed = 0;

  Target target;
  CostOptions cost;
  LadderOptions ladder;
  Runtime runtime = Runtime::kHuggingFace;

  std::string criterion = "structured_obs";
  std::string compensation = "least_squares";
  std::string strategy = "evolution";
  double damping = 0.01;           // of the mean diagonal of H
  int64_t calibration_tokens = 0;  // 0: 512k on CUDA, 64k on CPU

  FirstParent first_parent = FirstParent::kAdditive;
  GivenMask given;
  int64_t additive_score_tokens = 0;  // 0: 32 windows on CUDA, 16 on CPU
  TrainMode mode = TrainMode::kContinue;
  ContinueState continue_state = ContinueState::kFull;
  std::vector<Phase> phases;
  int tokens_per_step = 1024;
  StopRules stop;

  Recovery play_off;  // short recovery of each finalist; tokens 0: finalists are compared as they are
  int64_t play_off_score_tokens = 0;  // 0: the whole select pool, at most 64 windows (32 on CPU)
  Recovery recovery;
  bool recover_yardsticks = false;
  int64_t report_score_tokens = 0;  // 0: the whole report pool, at most 64 windows

  DeviceKind device = DeviceKind::kCpu;
  int cpu_threads = 1;
  int max_attempts = 3;

  // Who gets workers first; none of it changes which masks a search finds.
  int priority = 0;                   // higher goes first
  double weight = 1;                  // share of the workers' time among jobs of one priority
  int max_workers = 0;                // at once; 0: no limit
  int64_t minimum_device_memory = 0;  // bytes; 0: on CUDA an estimate of the least, on a CPU anything
  bool operator==(const JobSpec&) const = default;
};

enum class JobState { kQueued, kRunning, kPaused, kSucceeded, kFailed, kCancelled };
bool IsFinal(JobState state);
const char* Name(JobState state);  // "QUEUED", ...
const char* Name(Preset preset);    // "BALANCED", "DARWINLM"
const char* Name(Runtime runtime);  // "HUGGING_FACE", ...
const char* Name(TrainMode mode);   // "RESTART", "CONTINUE"

}  // namespace espalier
