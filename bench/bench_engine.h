// An engine as a worker has one, with the model, the tokens and the job of a benchmark.
#pragma once

#include <torch/types.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "bench/job_loop.h"
#include "bench/options.h"
#include "common/domain/job.h"
#include "worker/engine/engine.h"

namespace espalier::bench {

// The folder of a run, removed at the end unless the user named it.
class StateFolder {
 public:
  explicit StateFolder(const std::string& named);
  ~StateFolder();
  StateFolder(const StateFolder&) = delete;
  StateFolder& operator=(const StateFolder&) = delete;
  const std::string& path() const { return path_; }  // empty: none could be made

 private:
  std::string path_;
  const bool is_temporary_;
};

struct EngineBench {
  torch::Device device;
  Files files;
  std::unique_ptr<Engine> engine;
};

// Makes what the options do not name, below the folder.
absl::StatusOr<EngineBench> PrepareEngine(const Options& options, const std::string& folder);
EngineOptions EngineOptionsOf(const Options& options, torch::Device device, const std::string& folder);

// The DARWINLM schedule as the options change it.
JobSpec BenchSpec(const Options& options, const Files& files);

bool BankIsBuilt(const JobProgram& program);

}  // namespace espalier::bench
