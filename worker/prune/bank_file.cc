// The file of one layer's bank. Tensors: "<unit>/order" I32, "<unit>/removed" I32, "<unit>/squared_error" F64 and, for each
// level k that has edits, "<unit>/<k>/replacement/<tensor>" and "<unit>/<k>/addition/<tensor>"; unit is attention or ffn.
// What the bank is of stands in the metadata.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <map>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/checkpoint/safetensors.h"
#include "common/domain/bank_key.h"
#include "worker/model/device_runtime.h"
#include "worker/prune/bank.h"
#include "worker/prune/bank_pieces.h"
#include "worker/prune/layer_tensors.h"

namespace espalier {
namespace {

using checkpoint::Dtype;
using checkpoint::TensorInfo;
using Metadata = std::map<std::string, std::string>;

constexpr char kFormat[] = "espalier level bank 1";

struct TensorFormat {
  Dtype file;
  torch::ScalarType torch;
};

TensorFormat FormatOf(NumberFormat format) {
  switch (format) {
    case NumberFormat::kFloat32: return {Dtype::kFloat32, torch::kFloat32};
    case NumberFormat::kFloat16: return {Dtype::kFloat16, torch::kFloat16};
    case NumberFormat::kBFloat16: return {Dtype::kBFloat16, torch::kBFloat16};
  }
  return {Dtype::kFloat32, torch::kFloat32};
}

const char* PrefixOf(UnitKind kind) { return kind == UnitKind::kAttention ? "attention" : "ffn"; }
const char* NameOf(EditKind kind) { return kind == EditKind::kReplacement ? "replacement" : "addition"; }

std::string ExactText(double value) {
  char buffer[32];
  return std::string(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
}

std::string_view BytesOf(const torch::Tensor& host) {
  return {static_cast<const char*>(host.const_data_ptr()), static_cast<size_t>(host.nbytes())};
}

class FileWriter {
 public:
  explicit FileWriter(NumberFormat format) : format_(FormatOf(format)) {}

  void Add(const UnitBank& unit) {
    const std::string prefix = PrefixOf(unit.unit.kind);
    std::vector<int> removed;
    std::vector<double> errors;
    for (const LevelEntry& level : unit.levels) {
      removed.push_back(level.removed);
      errors.push_back(level.squared_error);
    }
    AddTensor(prefix + "/order", Dtype::kInt32, torch::tensor(unit.order, torch::kInt32));
    AddTensor(prefix + "/removed", Dtype::kInt32, torch::tensor(removed, torch::kInt32));
    AddTensor(prefix + "/squared_error", Dtype::kFloat64, torch::tensor(errors, torch::kFloat64));
    for (size_t level = 0; level < unit.levels.size(); ++level) {
      for (const TensorEdit& edit : unit.levels[level].edits) {
        AddTensor(absl::StrCat(prefix, "/", level, "/", NameOf(edit.kind), "/", edit.tensor), format_.file, edit.value);
      }
    }
  }

  const std::vector<checkpoint::TensorToWrite>& tensors() const { return tensors_; }
  const std::vector<torch::Tensor>& hosts() const { return hosts_; }

 private:
  static torch::Tensor OnHost(const torch::Tensor& value) {
    if (!value.is_cuda()) return value.contiguous();
    torch::Tensor host = torch::empty(value.sizes(), value.options().device(torch::kCPU).pinned_memory(true));
    return host.copy_(value);
  }

  void AddTensor(const std::string& name, Dtype dtype, const torch::Tensor& value) {
    hosts_.push_back(OnHost(value));
    tensors_.push_back({name, dtype, hosts_.back().sizes().vec(), BytesOf(hosts_.back())});
  }

  TensorFormat format_;
  std::vector<torch::Tensor> hosts_;  // own the tensors' bytes
  std::vector<checkpoint::TensorToWrite> tensors_;
};

// Reads one file. Each tensor is taken once, so that what is left over at the end is a tensor nobody asked for.
class FileReader {
 public:
  FileReader(std::string_view bytes, const std::string& name, std::map<std::string, TensorInfo> tensors)
      : bytes_(bytes), name_(name), tensors_(std::move(tensors)) {}

  absl::Status Bad(const std::string& what) const { return absl::DataLossError(absl::StrCat("level bank '", name_, "': ", what)); }

  bool Has(const std::string& tensor) const { return tensors_.contains(tensor); }

  // A copy in host memory.
  absl::StatusOr<torch::Tensor> Take(const std::string& tensor, Dtype dtype, torch::ScalarType type, const std::vector<int64_t>& shape) {
    const auto found = tensors_.find(tensor);
    if (found == tensors_.end()) return Bad(absl::StrCat("tensor ", tensor, " is missing"));
    const TensorInfo info = found->second;
    tensors_.erase(found);
    if (info.dtype != dtype || info.shape != shape) {
      return Bad(absl::StrCat("tensor ", tensor, " is ", checkpoint::Name(info.dtype), " [", absl::StrJoin(info.shape, ", "), "], not ",
                              checkpoint::Name(dtype), " [", absl::StrJoin(shape, ", "), "]"));
    }
    torch::Tensor copy = torch::empty(shape, torch::dtype(type));
    if (copy.numel() > 0) std::memcpy(copy.mutable_data_ptr(), bytes_.data() + info.begin, copy.nbytes());
    return copy;
  }

  absl::Status ExpectNothingLeft() const {
    return tensors_.empty() ? absl::OkStatus() : Bad(absl::StrCat("tensor ", tensors_.begin()->first, " does not belong there"));
  }

 private:
  std::string_view bytes_;
  std::string name_;
  std::map<std::string, TensorInfo> tensors_;
};

std::vector<int> ToInts(const torch::Tensor& host) {
  return std::vector<int>(host.const_data_ptr<int>(), host.const_data_ptr<int>() + host.numel());
}

// What a file may hold of one unit.
struct UnitForm {
  const UnitLadder* ladder = nullptr;
  int64_t columns_per_part = 1;
  int parts_per_group = 1;
  int64_t hidden_size = 0;
  TensorFormat format;
  const char* output_weight = nullptr;
  const char* output_bias = nullptr;
  bool dense_has_bias = false;
};

// A permutation that takes whole groups, each in ascending order.
absl::Status CheckOrder(const FileReader& file, const std::string& name, const std::vector<int>& order, int parts_per_group) {
  std::vector<bool> seen(order.size(), false);
  for (const int part : order) {
    if (part < 0 || part >= static_cast<int>(order.size()) || seen[part]) {
      return file.Bad(absl::StrCat(name, " is no permutation: ", part, " is out of range or there twice"));
    }
    seen[part] = true;
  }
  for (size_t i = 0; i < order.size(); ++i) {
    const bool starts_group = i % parts_per_group == 0;
    if (starts_group ? order[i] % parts_per_group != 0 : order[i] != order[i - 1] + 1) {
      return file.Bad(absl::StrCat(name, " splits a KV group at place ", i));
    }
  }
  return absl::OkStatus();
}

absl::Status ReadEdits(FileReader& file, const UnitForm& form, const std::string& prefix, LevelEntry& entry) {
  const int64_t columns = (form.ladder->size - entry.removed) * form.columns_per_part;
  const auto take = [&](EditKind kind, const char* tensor, const std::vector<int64_t>& shape) -> absl::Status {
    const std::string name = absl::StrCat(prefix, "/", NameOf(kind), "/", tensor);
    ESPALIER_ASSIGN_OR_RETURN(torch::Tensor value, file.Take(name, form.format.file, form.format.torch, shape));
    if (!at::isfinite(value).all().item<bool>()) return file.Bad(absl::StrCat("tensor ", name, " holds a value that is not finite"));
    entry.edits.push_back({tensor, kind, std::move(value)});
    return absl::OkStatus();
  };
  ESPALIER_RETURN_IF_ERROR(take(EditKind::kReplacement, form.output_weight, {form.hidden_size, columns}));
  const EditKind bias = form.dense_has_bias ? EditKind::kReplacement : EditKind::kAddition;
  if (file.Has(absl::StrCat(prefix, "/", NameOf(bias), "/", form.output_bias))) {
    ESPALIER_RETURN_IF_ERROR(take(bias, form.output_bias, {form.hidden_size}));
  }
  return absl::OkStatus();
}

absl::StatusOr<UnitBank> ReadUnit(FileReader& file, const UnitForm& form) {
  const std::string prefix = PrefixOf(form.ladder->unit.kind);
  const int64_t num_levels = form.ladder->num_levels();
  UnitBank bank;
  bank.unit = form.ladder->unit;
  ESPALIER_ASSIGN_OR_RETURN(const torch::Tensor order, file.Take(prefix + "/order", Dtype::kInt32, torch::kInt32, {form.ladder->size}));
  ESPALIER_ASSIGN_OR_RETURN(const torch::Tensor removed, file.Take(prefix + "/removed", Dtype::kInt32, torch::kInt32, {num_levels}));
  ESPALIER_ASSIGN_OR_RETURN(const torch::Tensor errors,
                            file.Take(prefix + "/squared_error", Dtype::kFloat64, torch::kFloat64, {num_levels}));
  bank.order = ToInts(order);
  ESPALIER_RETURN_IF_ERROR(CheckOrder(file, prefix + "/order", bank.order, form.parts_per_group));
  if (ToInts(removed) != form.ladder->removed) return file.Bad(absl::StrCat(prefix, "/removed does not equal the ladder's counts"));
  for (int64_t level = 0; level < num_levels; ++level) {
    LevelEntry& entry = bank.levels.emplace_back();
    entry.removed = form.ladder->removed[level];
    entry.squared_error = errors.const_data_ptr<double>()[level];
    if (!std::isfinite(entry.squared_error)) {
      return file.Bad(absl::StrCat(prefix, "/squared_error of level ", level, " is ", entry.squared_error));
    }
    if (level == 0 || level + 1 == num_levels) continue;
    ESPALIER_RETURN_IF_ERROR(ReadEdits(file, form, absl::StrCat(prefix, "/", level), entry));
  }
  return bank;
}

Metadata MetadataOf(const LayerBank& bank) {
  return {{"format", kFormat},
          {"layer", absl::StrCat(bank.layer)},
          {"ladder", bank.ladder_digest},
          {"criterion", bank.settings.criterion},
          {"compensation", bank.settings.compensation},
          {"damping", ExactText(bank.settings.damping)},
          {"number_format", Name(bank.number_format)}};
}

absl::Status CheckMetadata(const Metadata& found, const Metadata& wanted, const std::string& name) {
  for (const char* key : {"format", "layer", "ladder", "number_format"}) {
    const auto entry = found.find(key);
    if (entry == found.end()) {
      return absl::DataLossError(absl::StrCat("level bank '", name, "': its metadata lack '", key, "'"));
    }
    if (entry->second != wanted.at(key)) {
      return absl::FailedPreconditionError(
          absl::StrCat("level bank '", name, "': its ", key, " is '", entry->second.substr(0, 100), "', wanted '", wanted.at(key), "'"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<BankBuildSettings> SettingsFrom(const Metadata& metadata, const std::string& name) {
  BankBuildSettings settings;
  for (const auto& [key, value] : {std::pair{"criterion", &settings.criterion}, std::pair{"compensation", &settings.compensation}}) {
    const auto entry = metadata.find(key);
    if (entry == metadata.end()) return absl::DataLossError(absl::StrCat("level bank '", name, "': its metadata lack '", key, "'"));
    *value = entry->second;
  }
  const auto damping = metadata.find("damping");
  const std::string text = damping == metadata.end() ? "" : damping->second;
  const std::from_chars_result read = std::from_chars(text.data(), text.data() + text.size(), settings.damping);
  if (text.empty() || read.ec != std::errc() || read.ptr != text.data() + text.size() || !(settings.damping >= 0)) {
    return absl::DataLossError(absl::StrCat("level bank '", name, "': its damping is '", text.substr(0, 100), "'"));
  }
  return settings;
}

absl::StatusOr<UnitForm> FormOf(const ModelConfig& dense, const Ladder& ladder, const Unit& unit) {
  UnitForm form;
  for (const UnitLadder& candidate : ladder.units) {
    if (candidate.unit == unit) form.ladder = &candidate;
  }
  if (form.ladder == nullptr) return absl::InvalidArgumentError(absl::StrCat("the ladder has no ", Name(unit)));
  form.hidden_size = dense.hidden_size;
  form.format = FormatOf(dense.number_format);
  if (unit.kind == UnitKind::kAttention) {
    form.columns_per_part = dense.head_size;
    form.parts_per_group = ladder.head_granularity == HeadGranularity::kKvGroup ? dense.heads_per_group() : 1;
    form.output_weight = kOWeight;
    form.output_bias = kOBias;
    form.dense_has_bias = dense.output_bias;
  } else {
    form.output_weight = kDownWeight;
    form.output_bias = kDownBias;
    form.dense_has_bias = dense.ffn_bias;
  }
  return form;
}

absl::StatusOr<LayerBank> ParseOrThrow(std::string_view bytes, const std::string& name, const ModelConfig& dense, const Ladder& ladder,
                                       int layer, torch::Device device) {
  Metadata metadata;
  ESPALIER_ASSIGN_OR_RETURN(auto tensors, checkpoint::ParseSafetensorsHeader(bytes, name, &metadata));
  LayerBank bank;
  bank.layer = layer;
  bank.ladder_digest = LadderDigest(ladder);
  bank.keep_kv_whole = ladder.keep_kv_whole;
  bank.number_format = dense.number_format;
  ESPALIER_RETURN_IF_ERROR(CheckMetadata(metadata, MetadataOf(bank), name));
  ESPALIER_ASSIGN_OR_RETURN(bank.settings, SettingsFrom(metadata, name));
  FileReader file(bytes, name, std::move(tensors));
  ESPALIER_ASSIGN_OR_RETURN(const UnitForm attention, FormOf(dense, ladder, Unit{UnitKind::kAttention, layer}));
  ESPALIER_ASSIGN_OR_RETURN(const UnitForm ffn, FormOf(dense, ladder, Unit{UnitKind::kFfn, layer}));
  ESPALIER_ASSIGN_OR_RETURN(bank.attention, ReadUnit(file, attention));
  ESPALIER_ASSIGN_OR_RETURN(bank.ffn, ReadUnit(file, ffn));
  ESPALIER_RETURN_IF_ERROR(file.ExpectNothingLeft());
  FillKept(bank.attention, torch::Device(torch::kCPU));
  FillKept(bank.ffn, torch::Device(torch::kCPU));
  return bank.To(device, /*pin=*/false);
}

}  // namespace

LayerBankPieces::LayerBankPieces(const LayerBank& bank) {
  FileWriter writer(bank.number_format);
  writer.Add(bank.attention);
  writer.Add(bank.ffn);
  header_ = checkpoint::SafetensorsHeader(writer.tensors(), MetadataOf(bank));
  hosts_ = writer.hosts();
  pieces_.push_back(header_);
  for (const checkpoint::TensorToWrite& tensor : writer.tensors()) pieces_.push_back(tensor.bytes);
}

int64_t LayerBankPieces::bytes() const {
  size_t bytes = 0;
  for (const std::string_view piece : pieces_) bytes += piece.size();
  return static_cast<int64_t>(bytes);
}

std::string SerializeLayerBank(const LayerBank& bank) {
  const LayerBankPieces file(bank);
  std::string bytes;
  bytes.reserve(static_cast<size_t>(file.bytes()));
  for (const std::string_view piece : file.pieces()) bytes.append(piece);
  return bytes;
}

absl::StatusOr<LayerBank> ParseLayerBank(std::string_view bytes, const std::string& name, const ModelConfig& dense, const Ladder& ladder,
                                         int layer, torch::Device device) {
  try {
    return ParseOrThrow(bytes, name, dense, ladder, layer, device);
  } catch (...) {
    return StatusOfCurrentException(device);
  }
}

}  // namespace espalier
