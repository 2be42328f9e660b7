// What the subcommands of espalier-bench are asked for. Free of LibTorch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace espalier::bench {

struct Options {
  std::string model;  // a model folder; empty: random weights of `shape`
  std::string shape = "small";
  std::string tokens;  // a .npy of token ids; empty: random ids
  std::string device = "cuda";
  std::string json;  // also write the figures to this file
  int sequence_length = 1024;
  int repeats = 3;
  double kept_share = 0.5;  // of heads and neurons, for candidates without a search

  // train
  std::vector<int> tokens_per_step = {1024, 4096, 8192};
  std::string loss = "cross-entropy";
  std::vector<std::string> masters = {"float32"};
  std::vector<std::string> moments = {"float32"};
  int steps = 60;
  bool eager = false;  // also without graphs
  bool recompute = false;
  int micro_batch_tokens = 0;

  // generation, bank
  std::vector<std::string> modes = {"restart", "continue"};
  std::string continue_state = "by-size";  // what CONTINUE keeps of a survivor: by-size, full, weights-bf16
  int generations = 2;  // measured, after one that is not
  int offspring = 16;
  double token_share = 1;      // of the published stages' train tokens
  double target_share = 0.57;  // of the dense model's parameters
  int64_t calibration_tokens = 524288;
  int levels = 13;
  double device_memory = 0;  // GiB of the device that the engine may take; 0: all
  double state_memory = 0;   // GiB of host memory for survivors' states; 0: a quarter of the machine's
  int slots = 1;      // tasks that run at once on the device
  std::string trace;  // train too: file for a trace of what is measured; empty: none (it slows it down)
  std::string state;  // folder for the made model, tokens and artifacts; empty: a temporary one
};

absl::Status BenchCheck(const Options& options);
absl::Status CheckRankings(const Options& options);
absl::Status BenchTrain(const Options& options);
absl::Status BenchAssemble(const Options& options);
absl::Status BenchScore(const Options& options);
absl::Status BenchBank(const Options& options);
absl::Status BenchGeneration(const Options& options);

}  // namespace espalier::bench
