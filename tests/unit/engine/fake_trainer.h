#pragma once

#include "worker/train/trainer.h"

namespace espalier::testing {

// A trainer whose state is one number.
class FakeTrainer final : public Trainer {
 public:
  explicit FakeTrainer(float value, int* alive) : value_(value), alive_(alive) { ++*alive_; }
  ~FakeTrainer() override { --*alive_; }

  absl::StatusOr<TrainResult> Run(const std::vector<Step>&, const TrainData&, int64_t, const TrainProgressFunction&,
                                  std::stop_token) override {
    return TrainResult{};
  }
  absl::Status BeginAgain(const LanguageModel&) override { return absl::OkStatus(); }
  absl::StatusOr<TrainState> Save(ContinueState format) const override {
    TrainState state;
    state.format = format;
    state.weights = torch::full({25}, value_, format == ContinueState::kFull ? torch::kFloat32 : torch::kBFloat16);
    if (format == ContinueState::kFull) {
      state.first_moments = torch::zeros({25});
      state.second_moments = torch::zeros({25});
    }
    return state;
  }
  absl::StatusOr<TrainState> SaveOnDevice(ContinueState format) const override { return Save(format); }
  absl::Status Restore(const TrainState&) override { return absl::OkStatus(); }
  absl::Status RoundAsRetained(ContinueState) override { return absl::OkStatus(); }
  int64_t steps_taken() const override { return 0; }
  int64_t num_parameters() const override { return 25; }
  int64_t state_bytes(ContinueState format) const override { return format == ContinueState::kFull ? 300 : 50; }

 private:
  float value_;
  int* alive_;
};

}  // namespace espalier::testing
