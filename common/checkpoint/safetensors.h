// The safetensors format, read with distrust: header size, offsets, overlaps, holes, dtypes and shapes are all checked
// before any byte of data is used. No LibTorch here. Format: 8 bytes little-endian header length, JSON header, data.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace espalier::checkpoint {

enum class Dtype { kFloat64, kFloat32, kFloat16, kBFloat16, kInt64, kInt32, kInt16, kInt8, kUint8, kBool };
int64_t BytesOf(Dtype dtype);
const char* Name(Dtype dtype);  // "F32", "BF16", ...

struct TensorInfo {
  Dtype dtype = Dtype::kFloat32;
  std::vector<int64_t> shape;
  int64_t begin = 0;  // offsets into the file (not into the data section)
  int64_t end = 0;
  int64_t num_elements() const;
};

// An open, memory-mapped file whose header has been checked. Views stay valid while the object lives.
class SafetensorsFile {
 public:
  // kInvalidArgument / kDataLoss name file, tensor and value. A pickle is recognised and refused as such.
  static absl::StatusOr<std::unique_ptr<SafetensorsFile>> Open(const std::string& path);
  virtual ~SafetensorsFile() = default;

  virtual const std::string& path() const = 0;
  virtual const std::map<std::string, TensorInfo>& tensors() const = 0;
  virtual const std::map<std::string, std::string>& metadata() const = 0;
  virtual std::string_view Bytes(const TensorInfo& tensor) const = 0;
};

// The checks alone, for bytes in memory (artifacts, fuzzing): `name` stands for the path in messages.
absl::StatusOr<std::map<std::string, TensorInfo>> ParseSafetensorsHeader(std::string_view file, const std::string& name,
                                                                         std::map<std::string, std::string>* metadata);

struct TensorToWrite {
  std::string name;
  Dtype dtype = Dtype::kFloat32;
  std::vector<int64_t> shape;
  std::string_view bytes;  // must live until written
};

// The length and header alone; the tensors' bytes follow in the given order.
std::string SafetensorsHeader(const std::vector<TensorToWrite>& tensors,
                              const std::map<std::string, std::string>& metadata);

// Deterministic bytes: tensors in the given order, metadata sorted, header padded with spaces to 8.
std::string SerializeSafetensors(const std::vector<TensorToWrite>& tensors,
                                 const std::map<std::string, std::string>& metadata);

}  // namespace espalier::checkpoint
