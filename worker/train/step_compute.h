// Forward, loss and backward of one batch. Uses autograd's gradients directly (no .grad is kept), so that nothing has
// to be zeroed or added up when a step is one batch.
#pragma once

#include <torch/types.h>

#include <vector>

#include "common/domain/job.h"
#include "worker/model/forward.h"
#include "worker/model/language_model.h"
#include "worker/train/flat_parameters.h"
#include "worker/train/step_batches.h"

namespace espalier {

struct ComputeSettings {
  Loss loss = Loss::kKl;
  // Activation recomputation (Chen et al., arXiv 1604.06174): the forward pass keeps the hidden state that enters each
  // layer, the backward pass computes the layer again.
  bool recompute_activations = false;
};

class StepCompute {
 public:
  // All arguments must outlive the object.
  StepCompute(const LanguageModel& model, const FlatParameters& parameters, const ComputeSettings& settings);

  // The dense model for KL losses (null with cross-entropy).
  void SetTeacher(const LanguageModel* teacher) { teacher_ = teacher; }

  // Rotary tables for rows of up to `length` positions; before the first batch and before a capture.
  void Reserve(int64_t length);

  // Adds the batch's share of the step's loss and gradients (leaf order) to `loss` and `gradients`, which start empty.
  void Accumulate(const StepBatch& batch, torch::Tensor& loss, std::vector<torch::Tensor>& gradients) const;

 private:
  torch::Tensor LossOf(const torch::Tensor& final_hidden_BLD, const StepBatch& batch,
                       const torch::Tensor& teacher_ND) const;
  torch::Tensor TeacherHidden(const StepBatch& batch, const RotaryTables& rotary) const;
  torch::Tensor Plain(const StepBatch& batch, const RotaryTables& rotary, std::vector<torch::Tensor>& gradients) const;
  torch::Tensor Recomputing(const StepBatch& batch, const RotaryTables& rotary,
                            std::vector<torch::Tensor>& gradients) const;

  const LanguageModel& model_;
  const FlatParameters& parameters_;
  const ComputeSettings settings_;
  const LanguageModel* teacher_ = nullptr;
  RotaryTables rotary_;
};

}  // namespace espalier
