// The head of a GGUF file, version 3: typed key-value pairs, then the list of tensors; their data follows, each tensor
// at a multiple of 32 bytes. Format: ggml-org/ggml, docs/gguf.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace espalier::checkpoint {

enum class GgufType : uint32_t { kFloat32 = 0, kFloat16 = 1, kQ8 = 8, kBFloat16 = 30 };

// Bytes of a tensor of so many elements (for kQ8 a multiple of 32).
int64_t GgufBytes(GgufType type, int64_t elements);

constexpr int64_t kGgufAlignment = 32;
// Bytes of padding that follow a tensor of so many bytes.
int64_t GgufPadding(int64_t bytes);

class GgufHeader {
 public:
  void Add(const std::string& key, uint32_t value);
  void Add(const std::string& key, float value);
  void Add(const std::string& key, bool value);
  void Add(const std::string& key, const std::string& value);
  void Add(const std::string& key, const char* value) { Add(key, std::string(value)); }
  void Add(const std::string& key, const std::vector<int32_t>& values);
  void Add(const std::string& key, const std::vector<float>& values);
  void Add(const std::string& key, const std::vector<std::string>& values);

  // `shape` as safetensors gives it, rows first. The data must follow in the order of these calls.
  void AddTensor(const std::string& name, const std::vector<int64_t>& shape, GgufType type);

  // Everything before the data section, padded to its beginning.
  std::string Bytes() const;

 private:
  void Key(const std::string& key, uint32_t type);
  std::string pairs_, tensors_;
  uint64_t num_pairs_ = 0, num_tensors_ = 0;
  int64_t offset_ = 0;
};

}  // namespace espalier::checkpoint
