#include "common/domain/job.h"

namespace espalier {

bool IsFinal(JobState state) {
  return state == JobState::kSucceeded || state == JobState::kFailed || state == JobState::kCancelled;
}

const char* Name(JobState state) {
  switch (state) {
    case JobState::kQueued: return "QUEUED";
    case JobState::kRunning: return "RUNNING";
    case JobState::kPaused: return "PAUSED";
    case JobState::kSucceeded: return "SUCCEEDED";
    case JobState::kFailed: return "FAILED";
    case JobState::kCancelled: return "CANCELLED";
  }
  return "UNKNOWN";
}

const char* Name(Preset preset) {
  switch (preset) {
    case Preset::kBalanced: return "BALANCED";
    case Preset::kDarwinLm: return "DARWINLM";
  }
  return "UNKNOWN";
}

const char* Name(Runtime runtime) {
  switch (runtime) {
    case Runtime::kHuggingFace: return "HUGGING_FACE";
    case Runtime::kGguf: return "GGUF";
    case Runtime::kNemotronNas: return "NEMOTRON_NAS";
    case Runtime::kVllmAnyModel: return "VLLM_ANYMODEL";
  }
  return "UNKNOWN";
}

const char* Name(TrainMode mode) { return mode == TrainMode::kRestart ? "RESTART" : "CONTINUE"; }

}  // namespace espalier
