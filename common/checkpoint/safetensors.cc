#include "common/checkpoint/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/checkpoint/mapped_file.h"
#include "common/checkpoint/strict_json.h"

namespace espalier::checkpoint {
namespace {

using nlohmann::json;
static_assert(std::endian::native == std::endian::little, "safetensors and npy files are read in place");

// The reference reader's limit is 100 MB; the headers of the largest published models stay below 2 MB.
constexpr uint64_t kMaxHeaderBytes = 25'000'000;
constexpr size_t kMaxTensors = 100'000;
constexpr size_t kMaxRank = 8;
constexpr size_t kMaxNameLength = 512;

constexpr std::pair<Dtype, const char*> kDtypeNames[] = {
    {Dtype::kFloat64, "F64"}, {Dtype::kFloat32, "F32"}, {Dtype::kFloat16, "F16"}, {Dtype::kBFloat16, "BF16"},
    {Dtype::kInt64, "I64"},   {Dtype::kInt32, "I32"},   {Dtype::kInt16, "I16"},   {Dtype::kInt8, "I8"},
    {Dtype::kUint8, "U8"},    {Dtype::kBool, "BOOL"},
};

absl::Status Refuse(const std::string& name, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat("'", name, "': ", what));
}
absl::Status RefuseTensor(const std::string& name, const std::string& tensor, const std::string& what) {
  return Refuse(name, absl::StrCat("tensor '", tensor, "': ", what));
}

bool IsPrintable(const std::string& text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f; });
}

absl::StatusOr<uint64_t> HeaderLength(std::string_view file, const std::string& name) {
  const bool opens_object = file.size() > 8 && file[8] == '{';
  if (!opens_object) {
    if (const std::string kind = ForeignKind(file); !kind.empty()) {
      return Refuse(name, absl::StrCat("this is ", kind, "; weights are read from safetensors files only"));
    }
  }
  if (file.size() < 10)
    return absl::DataLossError(
        absl::StrCat("'", name, "': ", file.size(), " bytes are too few for a safetensors file; is it truncated?"));
  uint64_t length = 0;
  std::memcpy(&length, file.data(), sizeof(length));
  if (length > kMaxHeaderBytes) {
    return Refuse(name, absl::StrCat("the header claims ", length, " bytes, the limit is ", kMaxHeaderBytes));
  }
  if (length > file.size() - 8) {
    return absl::DataLossError(absl::StrCat("'", name, "': the header claims ", length, " bytes, the file has ",
                                            file.size(), "; is it truncated?"));
  }
  if (!opens_object) return Refuse(name, "the header does not begin with '{'; this is not a safetensors file");
  return length;
}

absl::StatusOr<std::vector<int64_t>> ReadIntegers(const json& entry, const char* key, const std::string& name,
                                                  const std::string& tensor) {
  const auto found = entry.find(key);
  if (found == entry.end() || !found->is_array())
    return RefuseTensor(name, tensor, absl::StrCat("'", key, "' is no list"));
  std::vector<int64_t> values;
  for (const json& value : *found) {
    if (!value.is_number_unsigned() || value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
      return RefuseTensor(name, tensor, absl::StrCat("'", key, "' holds ", ShortText(value), ", not a natural number"));
    }
    values.push_back(value.get<int64_t>());
  }
  return values;
}

absl::StatusOr<TensorInfo> ReadEntry(const json& entry, const std::string& name, const std::string& tensor,
                                     int64_t data_begin, int64_t data_bytes) {
  if (tensor.empty() || tensor.size() > kMaxNameLength || !IsPrintable(tensor)) {
    return Refuse(name,
                  absl::StrCat("a tensor's name is empty, unprintable or longer than ", kMaxNameLength, " bytes"));
  }
  if (!entry.is_object()) return RefuseTensor(name, tensor, "its entry is no object");
  for (const auto& [key, value] : entry.items()) {
    if (key != "dtype" && key != "shape" && key != "data_offsets")
      return RefuseTensor(name, tensor, absl::StrCat("unknown key '", key, "'"));
  }
  TensorInfo info;
  const json dtype = entry.value("dtype", json());
  const auto* known = std::find_if(std::begin(kDtypeNames), std::end(kDtypeNames), [&](const auto& pair) {
    return dtype.is_string() && dtype.get<std::string>() == pair.second;
  });
  if (known == std::end(kDtypeNames))
    return RefuseTensor(name, tensor, absl::StrCat("dtype ", ShortText(dtype), " is not supported"));
  info.dtype = known->first;
  ESPALIER_ASSIGN_OR_RETURN(info.shape, ReadIntegers(entry, "shape", name, tensor));
  if (info.shape.size() > kMaxRank)
    return RefuseTensor(name, tensor, absl::StrCat("rank ", info.shape.size(), " is above ", kMaxRank));
  ESPALIER_ASSIGN_OR_RETURN(std::vector<int64_t> offsets, ReadIntegers(entry, "data_offsets", name, tensor));
  if (offsets.size() != 2) return RefuseTensor(name, tensor, "'data_offsets' must hold two numbers");
  if (offsets[0] > offsets[1])
    return RefuseTensor(name, tensor, absl::StrCat("data_offsets [", offsets[0], ", ", offsets[1], "] run backwards"));
  int64_t bytes = BytesOf(info.dtype);
  for (const int64_t size : info.shape) {
    if (__builtin_mul_overflow(bytes, size, &bytes))
      return RefuseTensor(name, tensor, absl::StrCat("shape [", absl::StrJoin(info.shape, ", "), "] overflows"));
  }
  if (bytes != offsets[1] - offsets[0]) {
    return RefuseTensor(
        name, tensor,
        absl::StrCat("shape [", absl::StrJoin(info.shape, ", "), "] of ", Name(info.dtype), " takes ", bytes,
                     " bytes, data_offsets [", offsets[0], ", ", offsets[1], "] hold ", offsets[1] - offsets[0]));
  }
  if (offsets[1] > data_bytes) {
    return absl::DataLossError(absl::StrCat("'", name, "': tensor '", tensor, "': data_offsets [", offsets[0], ", ",
                                            offsets[1], "] end outside of the file, which holds ", data_bytes,
                                            " bytes of data; is it truncated?"));
  }
  info.begin = data_begin + offsets[0];
  info.end = data_begin + offsets[1];
  return info;
}

// After sorting, each tensor begins where the one before ended; overlaps and holes make files that mean different
// things to different readers.
absl::Status CheckLayout(const std::map<std::string, TensorInfo>& tensors, const std::string& name, int64_t data_begin,
                         int64_t file_bytes) {
  std::vector<std::pair<std::pair<int64_t, int64_t>, const std::string*>> ranges;
  for (const auto& [tensor, info] : tensors) ranges.push_back({{info.begin, info.end}, &tensor});
  std::sort(ranges.begin(), ranges.end());
  int64_t end = data_begin;
  const std::string* before = nullptr;
  for (const auto& [range, tensor] : ranges) {
    if (range.first < end) {
      return RefuseTensor(
          name, *tensor,
          absl::StrCat("its data overlaps that of tensor '", before == nullptr ? std::string() : *before, "' (byte ",
                       range.first - data_begin, " lies before ", end - data_begin, ")"));
    }
    if (range.first > end) {
      return RefuseTensor(name, *tensor,
                          absl::StrCat("there is a hole of ", range.first - end, " bytes before its data at byte ",
                                       range.first - data_begin));
    }
    end = range.second;
    before = tensor;
  }
  if (end != file_bytes)
    return Refuse(name, absl::StrCat(file_bytes - end, " bytes at the end of the file belong to no tensor"));
  return absl::OkStatus();
}

absl::Status ReadMetadata(const json& entry, const std::string& name, std::map<std::string, std::string>* metadata) {
  if (!entry.is_object()) return Refuse(name, "'__metadata__' is no object");
  for (const auto& [key, value] : entry.items()) {
    if (!value.is_string())
      return Refuse(name, absl::StrCat("'__metadata__' has ", ShortText(value), " under '", key, "', not a text"));
    if (metadata != nullptr) (*metadata)[key] = value.get<std::string>();
  }
  return absl::OkStatus();
}

class MappedSafetensors final : public SafetensorsFile {
 public:
  explicit MappedSafetensors(std::unique_ptr<MappedFile> file) : file_(std::move(file)) {}
  absl::Status Parse() {
    ESPALIER_ASSIGN_OR_RETURN(tensors_, ParseSafetensorsHeader(file_->bytes(), file_->path(), &metadata_));
    return absl::OkStatus();
  }
  const std::string& path() const override { return file_->path(); }
  const std::map<std::string, TensorInfo>& tensors() const override { return tensors_; }
  const std::map<std::string, std::string>& metadata() const override { return metadata_; }
  std::string_view Bytes(const TensorInfo& tensor) const override {
    ESPALIER_CHECK(tensor.begin >= 0 && tensor.begin <= tensor.end &&
                   static_cast<size_t>(tensor.end) <= file_->bytes().size());
    return file_->bytes().substr(static_cast<size_t>(tensor.begin), static_cast<size_t>(tensor.end - tensor.begin));
  }

 private:
  std::unique_ptr<MappedFile> file_;
  std::map<std::string, TensorInfo> tensors_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace

int64_t BytesOf(Dtype dtype) {
  switch (dtype) {
    case Dtype::kFloat64:
    case Dtype::kInt64:
      return 8;
    case Dtype::kFloat32:
    case Dtype::kInt32:
      return 4;
    case Dtype::kFloat16:
    case Dtype::kBFloat16:
    case Dtype::kInt16:
      return 2;
    case Dtype::kInt8:
    case Dtype::kUint8:
    case Dtype::kBool:
      return 1;
  }
  return 0;
}

const char* Name(Dtype dtype) {
  for (const auto& [value, text] : kDtypeNames) {
    if (value == dtype) return text;
  }
  return "?";
}

int64_t TensorInfo::num_elements() const {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

absl::StatusOr<std::map<std::string, TensorInfo>> ParseSafetensorsHeader(std::string_view file, const std::string& name,
                                                                         std::map<std::string, std::string>* metadata) {
  ESPALIER_ASSIGN_OR_RETURN(const uint64_t length, HeaderLength(file, name));
  ESPALIER_ASSIGN_OR_RETURN(const json header, ParseStrictJson(file.substr(8, length), name, 4));
  if (!header.is_object()) return Refuse(name, "the header is no JSON object");
  if (header.size() > kMaxTensors)
    return Refuse(name, absl::StrCat(header.size(), " tensors are more than the limit of ", kMaxTensors));
  const int64_t data_begin = static_cast<int64_t>(8 + length);
  const int64_t file_bytes = static_cast<int64_t>(file.size());
  std::map<std::string, TensorInfo> tensors;
  for (const auto& [tensor, entry] : header.items()) {
    if (tensor == "__metadata__") {
      ESPALIER_RETURN_IF_ERROR(ReadMetadata(entry, name, metadata));
      continue;
    }
    ESPALIER_ASSIGN_OR_RETURN(tensors[tensor], ReadEntry(entry, name, tensor, data_begin, file_bytes - data_begin));
  }
  ESPALIER_RETURN_IF_ERROR(CheckLayout(tensors, name, data_begin, file_bytes));
  return tensors;
}

absl::StatusOr<std::unique_ptr<SafetensorsFile>> SafetensorsFile::Open(const std::string& path) {
  ESPALIER_ASSIGN_OR_RETURN(std::unique_ptr<MappedFile> file, MappedFile::Open(path));
  auto result = std::make_unique<MappedSafetensors>(std::move(file));
  ESPALIER_RETURN_IF_ERROR(result->Parse());
  return result;
}

std::string SafetensorsHeader(const std::vector<TensorToWrite>& tensors,
                              const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) {
    for (const auto& [key, value] : metadata) header["__metadata__"][key] = value;
  }
  int64_t offset = 0;
  for (const TensorToWrite& tensor : tensors) {
    const int64_t end = offset + static_cast<int64_t>(tensor.bytes.size());
    header[tensor.name] = {{"dtype", Name(tensor.dtype)}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  const uint64_t length = text.size();
  std::string result(sizeof(length), '\0');
  std::memcpy(result.data(), &length, sizeof(length));
  return result + text;
}

std::string SerializeSafetensors(const std::vector<TensorToWrite>& tensors,
                                 const std::map<std::string, std::string>& metadata) {
  std::string result = SafetensorsHeader(tensors, metadata);
  size_t total = result.size();
  for (const TensorToWrite& tensor : tensors) total += tensor.bytes.size();
  result.reserve(total);
  for (const TensorToWrite& tensor : tensors) result.append(tensor.bytes);
  return result;
}

}  // namespace espalier::checkpoint
