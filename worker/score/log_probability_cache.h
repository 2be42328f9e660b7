// The dense model's log-probabilities on the score windows, kept in memory where that pays: on a CPU the second product
// with the output head is a third of a candidate's scoring, and small models' log-probabilities fit easily. On CUDA, and
// where they would be large, nothing is kept and they are formed again for each candidate.
// Filled by whoever scores first; thread-safe. Two threads may compute the same chunk, with the same bits.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <map>
#include <mutex>

namespace espalier {

class LogProbabilityCache {
 public:
  static constexpr int64_t kMaxBytes = int64_t{128} << 20;

  // `bytes`: of all log-probabilities together.
  LogProbabilityCache(int64_t bytes, torch::Device device) : is_used_(!device.is_cuda() && bytes <= kMaxBytes) {}

  // Rows [begin, begin + count), from compute() when they are not there.
  template <typename Compute>
  torch::Tensor Get(int64_t begin, int64_t count, const Compute& compute) {
    if (!is_used_) return compute();
    {
      const std::lock_guard lock(mutex_);
      const auto found = chunks_.find(begin);
      if (found != chunks_.end() && found->second.size(0) == count) return found->second;
    }
    const torch::Tensor computed = compute();
    const std::lock_guard lock(mutex_);
    chunks_.insert_or_assign(begin, computed);
    return computed;
  }

 private:
  const bool is_used_;
  std::mutex mutex_;
  std::map<int64_t, torch::Tensor> chunks_;  // by first row
};

}  // namespace espalier
