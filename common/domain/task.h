// A task is what a lease covers. Its payload is everything the engine needs besides the checkpoint, the token files and
// the artifacts that it names by digest; its outcome is everything the search needs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "common/domain/job.h"
#include "common/domain/mask.h"
#include "common/domain/measurement.h"
#include "common/domain/windows.h"

namespace espalier {

// What all tasks of a job share: inputs by path and digest, and the numerics that are pinned for equal results.
struct JobContext {
  std::string model_folder;
  std::string model_digest;  // checkpoint::FolderDigest
  std::string tokens_path;
  std::string tokens_digest;      // SHA-256 of the file
  std::string evaluation_path;    // may be empty
  std::string evaluation_digest;  // empty when evaluation_path is
  int64_t evaluation_windows = 128;
  int sequence_length = 0;
  Ladder ladder;
  std::string criterion;
  std::string compensation;
  double damping = 0.01;
  DeviceKind device = DeviceKind::kCpu;
  int cpu_threads = 1;
  bool operator==(const JobContext&) const = default;
};

// Builds one layer of the level bank.
struct BankLayerTask {
  int layer = 0;
  WindowKey calibration;  // Pool::kCalibrate, seed 0: not specific to a job's seed
  int64_t calibration_windows = 0;
  bool operator==(const BankLayerTask&) const = default;
};

struct BankLayerOutcome {
  std::string artifact_digest;  // the layer's file
  int64_t artifact_bytes = 0;
  std::vector<int> head_order;           // query heads in the order in which they go
  std::vector<double> attention_errors;  // squared error by level
  std::vector<double> ffn_errors;
  double seconds = 0;
};

// The bank a mask is assembled from: one artifact digest a layer.
struct BankReference {
  std::string key;  // model, calibration, ladder, criterion, compensation, damping, number format
  std::vector<std::string> layer_digests;
  bool operator==(const BankReference&) const = default;
};

// Scores one unit at every level, alone in the dense model.
struct AdditiveUnitTask {
  BankReference bank;
  int unit = 0;  // index in the ladder
  WindowKey score;
  int64_t score_windows = 0;
  bool operator==(const AdditiveUnitTask&) const = default;
};

struct AdditiveUnitOutcome {
  std::vector<double> fitness_by_level;  // nats per token; [0] is 0
  int64_t scored_tokens = 0;
  double seconds = 0;
};

// Names a retained training state: the candidate's mask after `position` tokens of a stream.
struct StateKey {
  std::string job_id;
  std::string mask_digest;
  std::string stream;  // ToText(WindowKey)
  int64_t position = 0;
  bool operator==(const StateKey&) const = default;
  auto operator<=>(const StateKey&) const = default;
};

// Assembles a mask, trains it (perhaps not at all), scores it. Stages of the search, the curve of new parents, yardsticks
// and the play-off are all this.
struct EvaluateTask {
  BankReference bank;
  Mask mask;
  std::string mask_digest;
  TrainSettings train;
  StreamRange stream;  // begin == end: no training
  int tokens_per_step = 1024;
  int64_t schedule_tokens = 0;        // length of the warm-up and cosine schedule; 0: constant rate
  std::optional<StateKey> resume;     // continue from this state; when it is gone, replay the stream from 0 to begin
  std::optional<StateKey> retain;     // keep the state reached under this name
  ContinueState continue_state = ContinueState::kFull;
  WindowKey score;
  int64_t score_windows = 0;
  bool measure_perplexity = false;  // also over the evaluation file (the report pool when there is none)
  bool operator==(const EvaluateTask&) const = default;
};

// Recovers the winner, exports it and proves the export by reading it back.
struct FinishTask {
  BankReference bank;
  Mask mask;
  std::string mask_digest;
  Recovery recovery;
  WindowKey recovery_key;
  std::optional<StateKey> start;  // --start trained
  // With `start`: the evaluation that reached that state, to be trained again when the state is gone.
  std::optional<EvaluateTask> start_evaluation;
  Runtime runtime = Runtime::kHuggingFace;
  WindowKey score;
  int64_t score_windows = 0;
  std::string provenance_json;  // copied into the export
  bool operator==(const FinishTask&) const = default;
};

struct ExportedFile {
  std::string name;    // within the export folder, e.g. "model.safetensors"
  std::string digest;  // artifact
  int64_t bytes = 0;
};

struct KeptUnit {
  std::string unit;            // Name(Unit)
  int removed = 0;
  std::vector<int> kept_heads;  // attention: dense head indices
  int kept_neurons = 0;         // ffn
};

struct FinishOutcome {
  std::vector<ExportedFile> files;
  std::vector<KeptUnit> kept;
  Measurement measurement;       // after recovery; perplexity is of the folder read back
  double export_max_logit_difference = 0;  // folder read back against the engine's candidate, fp32
};

enum class TaskKind { kBankLayer, kAdditiveUnit, kEvaluate, kFinish };
const char* Name(TaskKind kind);  // "bank_layer", "additive_unit", "evaluate", "finish"

struct Task {
  std::string job_id;
  std::string task_id;  // unique within the job and the same after every restart, e.g. "evaluate/p0/g3/s1/<digest prefix>"
  JobContext context;
  std::variant<BankLayerTask, AdditiveUnitTask, EvaluateTask, FinishTask> payload;
  TaskKind kind() const { return static_cast<TaskKind>(payload.index()); }
};

// SHA-256 over a canonical text of context and payload (not over protobuf bytes): what equal work means. Paths, job and
// task ids are not in it: files count by their digests.
std::string InputDigest(const Task& task);

using TaskOutcome = std::variant<BankLayerOutcome, AdditiveUnitOutcome, Measurement, FinishOutcome>;

}  // namespace espalier
