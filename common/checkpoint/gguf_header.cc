#include "common/checkpoint/gguf_header.h"

#include "common/checkpoint/number_formats.h"

namespace espalier::checkpoint {
namespace {

// Value types of the format.
constexpr uint32_t kUint32 = 4, kInt32 = 5, kFloat = 6, kBool = 7, kString = 8, kArray = 9;

template <typename Number>
void Append(std::string* bytes, Number value) {
  bytes->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void AppendText(std::string* bytes, const std::string& text) {
  Append<uint64_t>(bytes, text.size());
  bytes->append(text);
}

}  // namespace

int64_t GgufBytes(GgufType type, int64_t elements) {
  switch (type) {
    case GgufType::kFloat32: return elements * 4;
    case GgufType::kFloat16:
    case GgufType::kBFloat16: return elements * 2;
    case GgufType::kQ8: return elements / kQ8BlockSize * kQ8BlockBytes;
  }
  return 0;
}

int64_t GgufPadding(int64_t bytes) { return (kGgufAlignment - bytes % kGgufAlignment) % kGgufAlignment; }

void GgufHeader::Key(const std::string& key, uint32_t type) {
  ++num_pairs_;
  AppendText(&pairs_, key);
  Append<uint32_t>(&pairs_, type);
}

void GgufHeader::Add(const std::string& key, uint32_t value) {
  Key(key, kUint32);
  Append(&pairs_, value);
}

void GgufHeader::Add(const std::string& key, float value) {
  Key(key, kFloat);
  Append(&pairs_, value);
}

void GgufHeader::Add(const std::string& key, bool value) {
  Key(key, kBool);
  Append<uint8_t>(&pairs_, value ? 1 : 0);
}

void GgufHeader::Add(const std::string& key, const std::string& value) {
  Key(key, kString);
  AppendText(&pairs_, value);
}

void GgufHeader::Add(const std::string& key, const std::vector<int32_t>& values) {
  Key(key, kArray);
  Append<uint32_t>(&pairs_, kInt32);
  Append<uint64_t>(&pairs_, values.size());
  for (const int32_t value : values) Append(&pairs_, value);
}

void GgufHeader::Add(const std::string& key, const std::vector<float>& values) {
  Key(key, kArray);
  Append<uint32_t>(&pairs_, kFloat);
  Append<uint64_t>(&pairs_, values.size());
  for (const float value : values) Append(&pairs_, value);
}

void GgufHeader::Add(const std::string& key, const std::vector<std::string>& values) {
  Key(key, kArray);
  Append<uint32_t>(&pairs_, kString);
  Append<uint64_t>(&pairs_, values.size());
  for (const std::string& value : values) AppendText(&pairs_, value);
}

void GgufHeader::AddTensor(const std::string& name, const std::vector<int64_t>& shape, GgufType type) {
  ++num_tensors_;
  AppendText(&tensors_, name);
  Append<uint32_t>(&tensors_, static_cast<uint32_t>(shape.size()));
  int64_t elements = 1;
  for (auto size = shape.rbegin(); size != shape.rend(); ++size) {  // ggml names the contiguous dimension first
    Append<uint64_t>(&tensors_, static_cast<uint64_t>(*size));
    elements *= *size;
  }
  Append<uint32_t>(&tensors_, static_cast<uint32_t>(type));
  Append<uint64_t>(&tensors_, static_cast<uint64_t>(offset_));
  const int64_t bytes = GgufBytes(type, elements);
  offset_ += bytes + GgufPadding(bytes);
}

std::string GgufHeader::Bytes() const {
  std::string bytes = "GGUF";
  Append<uint32_t>(&bytes, 3);
  Append<uint64_t>(&bytes, num_tensors_);
  Append<uint64_t>(&bytes, num_pairs_);
  bytes += pairs_;
  bytes += tensors_;
  bytes.append(static_cast<size_t>(GgufPadding(static_cast<int64_t>(bytes.size()))), '\0');
  return bytes;
}

}  // namespace espalier::checkpoint
