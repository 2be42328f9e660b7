// A tiny candidate, windows of random tokens and a plain training loop, shared by the suites of this folder.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/ops/randint.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/catch.h"
#include "worker/model/random_model.h"
#include "worker/train/trainer.h"

namespace espalier::testing {

constexpr int kWindowLength = 24;
constexpr int kVocabulary = 53;

// Layer 0 is narrower than the dense one with an uneven group, layer 1 has lost its attention unit, layer 2 both units.
inline ModelConfig PrunedConfig() {
  ModelConfig config =
      SmallConfig(/*num_layers=*/4, /*hidden_size=*/32, /*num_heads=*/4, /*num_kv_heads=*/2, /*head_size=*/8,
                  /*ffn_width=*/40, /*vocabulary_size=*/kVocabulary);
  config.layers[0] = {{0, 0, 1}, 2, 24};
  config.layers[1] = {{}, 0, 32};
  config.layers[2] = {{}, 0, 0};
  return config;
}

inline LanguageModel Candidate(uint64_t seed, torch::ScalarType dtype = torch::kFloat32) {
  at::set_num_threads(1);
  LanguageModel model = RandomLanguageModel(PrunedConfig(), seed, torch::kCPU, dtype);
  SetKvIndex(model);
  return model;
}

// Windows with much to learn: each repeats a short pattern.
inline TrainData Windows(int64_t count) {
  torch::manual_seed(11);
  const torch::Tensor pattern = at::randint(kVocabulary, {count, 6}, torch::TensorOptions().dtype(torch::kInt64));
  TrainData data;
  data.tokens_WL = pattern.repeat({1, kWindowLength / 6}).to(torch::kInt32);
  return data;
}

inline TrainSettings CrossEntropySettings(double rate) {
  TrainSettings settings;
  settings.loss = Loss::kCrossEntropy;
  settings.learning_rate = rate;
  return settings;
}

// Steps with a whole window, cut ones, and several pieces in one step: 24 + 10 + 14 + 24 + 9 + 1 + 48 + 6 + 18 tokens.
inline std::vector<Step> MixedSteps() {
  return {{{0, 0, 24}}, {{1, 0, 10}}, {{1, 10, 14}}, {{2, 0, 24}}, {{3, 0, 9}}, {{3, 9, 1}}, {{4, 0, 24}, {5, 0, 24}},
          {{6, 0, 6}},  {{6, 6, 18}}};
}
constexpr int64_t kMixedTokens = 154;

inline std::vector<Step> WholeWindowSteps(int64_t count, int64_t num_windows) {
  std::vector<Step> steps;
  for (int64_t i = 0; i < count; ++i) steps.push_back({{i % num_windows, 0, kWindowLength}});
  return steps;
}

inline std::unique_ptr<Trainer> MakeTrainer(LanguageModel& model, const TrainSettings& settings,
                                            const TrainerOptions& options) {
  auto trainer = Trainer::Create(&model, settings, options);
  REQUIRE_OK(trainer);
  return *std::move(trainer);
}

inline TrainResult Train(Trainer& trainer, const std::vector<Step>& steps, const TrainData& data) {
  auto result = trainer.Run(steps, data, 0, {}, {});
  REQUIRE_OK(result);
  return *std::move(result);
}

inline torch::Tensor WeightsOf(const Trainer& trainer) {
  auto state = trainer.Save(ContinueState::kFull);
  REQUIRE_OK(state);
  return state->weights;
}

inline double LargestDifference(const torch::Tensor& a, const torch::Tensor& b) {
  return (a.to(torch::kFloat64) - b.to(torch::kFloat64)).abs().max().item<double>();
}

}  // namespace espalier::testing
