// The step of one padded shape: static tensors that every step's data are copied into, and the step's work on them,
// queued kernel by kernel or replayed as a graph.
#pragma once

#include <torch/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "worker/train/step_batches.h"
#include "worker/train/step_graph.h"

namespace espalier {

class StaticStep {
 public:
  // Takes the step whose batches are given.
  using Work = std::function<void(const std::vector<StepBatch>&)>;

  // Makes the buffers for steps of this layout; whoever has a StaticStep that Serves keeps it, and its graph.
  StaticStep(const StepLayout& layout, const TrainData& data);

  // Whether steps of this layout can be run here without wasting much on padding.
  bool Serves(const StepLayout& layout, const TrainData& data) const;

  // Copies one step's data in; all on the device.
  void Load(const StaticSteps& steps, int64_t index, const TrainData& data);

  // A graph computes every row of the layout; without one only the first `rows` are computed, those that the loaded step has.
  void Run(const Work& work, int64_t rows);
  absl::Status Capture(const Work& work, CaptureRoom room);

  const StepLayout& layout() const { return layout_; }
  bool has_graph() const { return graph_ != nullptr; }
  int64_t num_rows() const { return layout_.passes * layout_.rows; }
  bool ran_without_graph() const { return ran_; }  // so that a capture finds warm libraries
  const std::string& graph_refusal() const { return graph_refusal_; }

 private:
  std::vector<StepBatch> Batches(int64_t rows) const;

  const StepLayout layout_;
  const LanguageModel* const teacher_;
  torch::Tensor tokens_PBL_, targets_PBL_, teacher_PND_, weights_P_;
  std::unique_ptr<StepGraph> graph_;
  std::string graph_refusal_;
  bool ran_ = false;
};

}  // namespace espalier
