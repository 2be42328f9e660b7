// The CUDA source of worker/score/loss_kernel.cc: from a chunk's logits to the loss and its gradient, reading the logits twice.
// Where the operators of chunked_loss.cc write and read them again for every step of the formula.
#pragma once

namespace espalier {

inline constexpr char kLossSource[] = R"cuda(
constexpr int kThreads = 512;
constexpr int kWarps = kThreads / 32;

template <int V>
struct alignas(4 * V) Floats {
  float at[V];
};

// The log of a sum of exponentials, as its largest term and the sum beside it (Milakov and Gimelshein, arXiv 1805.02867).
struct LogSum {
  float largest, sum;
};
__device__ inline LogSum Join(LogSum a, LogSum b) {
  if (b.largest > a.largest) {
    const LogSum c = a;
    a = b;
    b = c;
  }
  if (b.sum > 0) a.sum += b.sum * expf(b.largest - a.largest);
  return a;
}

// Every thread gets the block's total; always joined in the same order.
__device__ inline float LogSumOfBlock(LogSum mine) {
  __shared__ LogSum of_warp[kWarps];
  for (int lanes = 16; lanes > 0; lanes /= 2) {
    const LogSum other = {__shfl_xor_sync(~0u, mine.largest, lanes), __shfl_xor_sync(~0u, mine.sum, lanes)};
    mine = Join(mine, other);
  }
  __syncthreads();
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = mine;
  __syncthreads();
  LogSum total = of_warp[0];
  for (int warp = 1; warp < kWarps; ++warp) total = Join(total, of_warp[warp]);
  return total.largest + logf(total.sum);
}

__device__ inline float SumOfBlock(float mine) {
  __shared__ float of_warp[kWarps];
  for (int lanes = 16; lanes > 0; lanes /= 2) mine += __shfl_xor_sync(~0u, mine, lanes);
  __syncthreads();
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = mine;
  __syncthreads();
  float total = 0;
  for (int warp = 0; warp < kWarps; ++warp) total += of_warp[warp];
  return total;
}

template <int V>
__device__ float LogSumOfRow(const float* row, unsigned vocabulary) {
  LogSum mine = {-3.402823466e38f, 0};
  for (unsigned v = threadIdx.x * V; v < vocabulary; v += kThreads * V) {
    const Floats<V> x = *reinterpret_cast<const Floats<V>*>(row + v);
    float largest = x.at[0];
#pragma unroll
    for (int i = 1; i < V; ++i) largest = fmaxf(largest, x.at[i]);
    if (largest > mine.largest) {
      mine.sum *= expf(mine.largest - largest);
      mine.largest = largest;
    }
#pragma unroll
    for (int i = 0; i < V; ++i) mine.sum += expf(x.at[i] - mine.largest);
  }
  return LogSumOfBlock(mine);
}

// One block a row. to[n, v] = weight[n] * (p - kl * q - ce * [v == target]), p of the student, q of the teacher; loss[n] is the row's
// share of the loss, ce * -log p(target) + kl * sum q (log q - log p), times its weight. ce + kl = 1.
template <int V>
__device__ void LogitsGradient(const float* logits, const float* teacher, const long long* targets, const float* weights,
                               float ce, float kl, bf16* to, float* loss, unsigned vocabulary) {
  const unsigned long long n = blockIdx.x, begin = n * vocabulary;
  const float* row = logits + begin;
  const float* teacher_row = kl > 0 ? teacher + begin : nullptr;
  const float weight = weights[n], log_sum = LogSumOfRow<V>(row, vocabulary);
  const float teacher_log_sum = kl > 0 ? LogSumOfRow<V>(teacher_row, vocabulary) : 0;
  const unsigned target = targets[n] < 0 ? 0 : static_cast<unsigned>(targets[n]);
  float divergence = 0;
  for (unsigned v = threadIdx.x * V; v < vocabulary; v += kThreads * V) {
    const Floats<V> x = *reinterpret_cast<const Floats<V>*>(row + v);
    Floats<V> y = {};
    if (kl > 0) y = *reinterpret_cast<const Floats<V>*>(teacher_row + v);
    Pack<V> out;
#pragma unroll
    for (int i = 0; i < V; ++i) {
      const float log_p = x.at[i] - log_sum;
      float gradient = expf(log_p);
      if (kl > 0) {
        const float log_q = y.at[i] - teacher_log_sum, q = expf(log_q);
        gradient -= kl * q;
        if (q > 0) divergence += q * (log_q - log_p);
      }
      if (v + i == target) gradient -= ce;
      out.at[i] = Round(weight * gradient);
    }
    Store<V>(to + begin + v, out);
  }
  if (kl > 0) divergence = SumOfBlock(divergence);
  if (threadIdx.x == 0) loss[n] = weight * (ce * (log_sum - row[target]) + kl * divergence);
}

#define ESPALIER_KERNELS(V)                                                                                                    \
  extern "C" __global__ void logits_gradient_##V(const float* logits, const float* teacher, const long long* targets,          \
                                                 const float* weights, float ce, float kl, bf16* to, float* loss,              \
                                                 unsigned vocabulary) {                                                        \
    LogitsGradient<V>(logits, teacher, targets, weights, ce, kl, to, loss, vocabulary);                                        \
  }
ESPALIER_KERNELS(4)
ESPALIER_KERNELS(1)
)cuda";

}  // namespace espalier
