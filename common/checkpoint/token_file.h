// A .npy file of token ids: uint16, uint32, int32 or int64, one- or two-dimensional, little-endian, C order.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace espalier::checkpoint {

class TokenFile {
 public:
  // Checks the header, the size and that every id is in [0, vocabulary_size) (vocabulary_size 0: not checked): the
  // message names the first offending id, its position and the vocabulary.
  static absl::StatusOr<std::unique_ptr<TokenFile>> Open(const std::string& path, int vocabulary_size);
  virtual ~TokenFile() = default;
  virtual const std::string& path() const = 0;
  virtual int64_t num_tokens() const = 0;
  virtual int row_length() const = 0;  // of a two-dimensional file, else 0
  // Copies tokens [begin, begin + count) into out.
  virtual void Read(int64_t begin, int64_t count, int64_t* out) const = 0;
};

}  // namespace espalier::checkpoint
