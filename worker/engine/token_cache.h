// Token files as windows: read and checked once, kept on the device where they fit.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/engine/file_stamp.h"
#include "worker/model/device_runtime.h"

namespace espalier {

// The windows of one file at one sequence length. Immutable.
struct TokenWindows {
  std::string digest;      // SHA-256 of the file
  int64_t num_tokens = 0;  // of the file, the tail included
  int64_t num_windows = 0;
  int sequence_length = 0;
  torch::Tensor ids_NL;  // int32, on the device or, when large, in host memory
  torch::Device device = torch::kCPU;

  // [windows.size(), L] int64 on the device. Indices must be below num_windows.
  torch::Tensor Rows(const std::vector<int64_t>& windows) const;
};

class TokenCache {
 public:
  explicit TokenCache(torch::Device device);

  // kFailedPrecondition when the file's digest is not `digest` (empty: taken as it is); kInvalidArgument for a file
  // that is no token file, an id outside of [0, vocabulary_size), or a file without one whole window.
  absl::StatusOr<std::shared_ptr<const TokenWindows>> Get(const std::string& path, const std::string& digest,
                                                          int sequence_length, int vocabulary_size);
  void Clear();

 private:
  const torch::Device device_;
  DigestCache digests_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const TokenWindows>> entries_;  // by digest, length and vocabulary
};

}  // namespace espalier
