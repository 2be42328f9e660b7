// Training losses over a large vocabulary. Logits are formed for a few rows at a time, and the gradients towards the hidden
// states and the head are computed in the forward pass, chunk by chunk, so that nothing of size N x V is ever held.
// Matrix products run in the inputs' dtype, softmax and sums in fp32 (in double for double inputs). No host
// synchronisation: the number of predictions stays on the device, so a step can be captured as a CUDA graph.
// The gradient is computed once: backward may be called once, and not differentiated again.
// Shape letters: N rows (positions, flattened), D hidden, V vocabulary.
#pragma once

#include <torch/types.h>

#include <cstdint>

#include "common/domain/job.h"

namespace espalier {

// Mean over rows with target >= 0 of -log p(target); rows with target -1 (padding, last positions) count nothing and get no
// gradient. Zero when no row counts. All losses return a scalar in fp32 (double for double inputs).
torch::Tensor ChunkedCrossEntropy(const torch::Tensor& hidden_ND, const torch::Tensor& head_VD, const torch::Tensor& targets_N);

// Mean over rows with targets >= 0 of KL(teacher || student), full vocabulary. No gradient flows to the teacher.
torch::Tensor ChunkedKl(const torch::Tensor& hidden_ND, const torch::Tensor& head_VD, const torch::Tensor& teacher_hidden_ND,
                        const torch::Tensor& teacher_head_VD, const torch::Tensor& targets_N);

// By the job's loss: kCrossEntropy (teacher tensors may be undefined), kKl, or kBoth (their mean; the student's logits are
// formed once).
torch::Tensor ChunkedLoss(Loss loss, const torch::Tensor& hidden_ND, const torch::Tensor& head_VD,
                          const torch::Tensor& teacher_hidden_ND, const torch::Tensor& teacher_head_VD,
                          const torch::Tensor& targets_N);

// Rows per chunk: a function of the vocabulary and the kind of device only, so that results do not depend on anything else.
int64_t LossChunkRows(int64_t vocabulary_size, torch::Device device);

}  // namespace espalier
