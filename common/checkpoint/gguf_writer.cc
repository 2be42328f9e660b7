#include "common/checkpoint/gguf_writer.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <numbers>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/atomic_file.h"
#include "common/base/files.h"
#include "common/base/status_macros.h"
#include "common/checkpoint/gguf_tokenizer.h"
#include "common/checkpoint/number_formats.h"
#include "common/domain/runtime_fit.h"

namespace espalier::checkpoint {
namespace {

constexpr int kZeroFfnWidth = 32;

// One tensor of the file: a tensor of the folder, maybe with its rows in another order, or a constant.
struct Piece {
  std::string name;
  std::string source;  // tensor of the folder; empty: `constant`
  std::vector<int64_t> shape;
  GgufType type = GgufType::kFloat32;
  int rotary_heads = 0;  // > 0: rows are so many heads whose halves become interleaved pairs
  std::vector<float> constant;
};

class Plan {
 public:
  Plan(const ModelFolder& model, const GgufOptions& options) : model_(model), options_(options) {}

  std::vector<Piece> Pieces() {
    const ModelConfig& config = model_.config();
    Copy("token_embd.weight", "model.embed_tokens.weight");
    Copy("output_norm.weight", "model.norm.weight");
    if (!config.tied_embeddings) Copy("output.weight", "lm_head.weight");
    if (config.rope.type == RopeType::kLlama3)
      Constant("rope_freqs.weight", {config.head_size / 2}, RopeFactors(config));
    for (size_t i = 0; i < config.layers.size(); ++i) AddLayer(i);
    return std::move(pieces_);
  }

  // llama.cpp leaves its loop over a layer without FFN before it adds the attention, and in the last layer before it
  // picks the rows of the output.
  static bool NeedsZeroFfn(const ModelConfig& config, size_t layer) {
    const LayerShape& shape = config.layers[layer];
    return shape.ffn_width == 0 && (shape.num_heads() > 0 || layer + 1 == config.layers.size());
  }

  // What llama.cpp's ggml_rope_ext divides each frequency by, for rope_type llama3.
  static std::vector<float> RopeFactors(const ModelConfig& config) {
    const RopeConfig& rope = config.rope;
    const double longest = static_cast<double>(rope.original_max_positions) / rope.low_frequency_factor;
    const double shortest = static_cast<double>(rope.original_max_positions) / rope.high_frequency_factor;
    std::vector<float> factors;
    for (int i = 0; i < config.head_size; i += 2) {
      const double wavelength = 2 * std::numbers::pi * std::pow(rope.theta, static_cast<double>(i) / config.head_size);
      double factor = 1;
      if (wavelength > longest) {
        factor = rope.factor;
      } else if (wavelength >= shortest) {
        const double smooth =
            (static_cast<double>(rope.original_max_positions) / wavelength - rope.low_frequency_factor) /
            (rope.high_frequency_factor - rope.low_frequency_factor);
        factor = 1 / ((1 - smooth) / rope.factor + smooth);
      }
      factors.push_back(static_cast<float>(factor));
    }
    return factors;
  }

 private:
  GgufType TypeOf(const TensorInfo& info) const {
    if (info.shape.size() < 2) return GgufType::kFloat32;
    if (!options_.type.has_value()) {
      return info.dtype == Dtype::kFloat32   ? GgufType::kFloat32
             : info.dtype == Dtype::kFloat16 ? GgufType::kFloat16
                                             : GgufType::kBFloat16;
    }
    if (*options_.type == GgufType::kQ8 && info.shape.back() % kQ8BlockSize != 0) return GgufType::kFloat16;
    return *options_.type;
  }

  void Copy(const std::string& name, const std::string& source, int rotary_heads = 0) {
    const auto found = model_.tensors().find(source);
    if (found == model_.tensors().end()) return;  // a bias that the model has not
    pieces_.push_back({name, source, found->second.shape, TypeOf(found->second), rotary_heads, {}});
  }

  void Constant(const std::string& name, std::vector<int64_t> shape, std::vector<float> values) {
    pieces_.push_back({name, "", std::move(shape), GgufType::kFloat32, 0, std::move(values)});
  }

  void AddLayer(size_t index) {
    const ModelConfig& config = model_.config();
    const LayerShape& shape = config.layers[index];
    const std::string from = absl::StrCat("model.layers.", index, ".");
    const std::string to = absl::StrCat("blk.", index, ".");
    if (shape.num_heads() > 0) {
      Copy(to + "attn_norm.weight", from + "input_layernorm.weight");
      for (const char* part : {".weight", ".bias"}) {
        Copy(to + "attn_q" + part, from + "self_attn.q_proj" + part, shape.num_heads());
        Copy(to + "attn_k" + part, from + "self_attn.k_proj" + part, shape.num_kv_heads);
        Copy(to + "attn_v" + part, from + "self_attn.v_proj" + part);
        Copy(to + "attn_output" + part, from + "self_attn.o_proj" + part);
      }
    }
    if (shape.ffn_width > 0) {
      Copy(to + "ffn_norm.weight", from + "post_attention_layernorm.weight");
      for (const char* part : {".weight", ".bias"}) {
        Copy(to + "ffn_gate" + part, from + "mlp.gate_proj" + part);
        Copy(to + "ffn_up" + part, from + "mlp.up_proj" + part);
        Copy(to + "ffn_down" + part, from + "mlp.down_proj" + part);
      }
    } else if (NeedsZeroFfn(config, index)) {
      const int64_t hidden = config.hidden_size;
      const std::vector<float> zeros(static_cast<size_t>(hidden * kZeroFfnWidth), 0.0f);
      Constant(to + "ffn_norm.weight", {hidden}, std::vector<float>(static_cast<size_t>(hidden), 1.0f));
      Constant(to + "ffn_gate.weight", {kZeroFfnWidth, hidden}, zeros);
      Constant(to + "ffn_up.weight", {kZeroFfnWidth, hidden}, zeros);
      Constant(to + "ffn_down.weight", {hidden, kZeroFfnWidth}, zeros);
    }
  }

  const ModelFolder& model_;
  const GgufOptions& options_;
  std::vector<Piece> pieces_;
};

// Rotation pairs row j with row j + head_size / 2 in Hugging Face's layout, rows 2j and 2j + 1 in llama.cpp's.
std::string InterleaveHalves(std::string_view bytes, int heads, int head_size) {
  std::string result;
  result.reserve(bytes.size());
  const size_t row_bytes = bytes.size() / static_cast<size_t>(heads * head_size);
  for (int head = 0; head < heads; ++head) {
    for (int row = 0; row < head_size; ++row) {
      const int from = head * head_size + row / 2 + (row % 2) * (head_size / 2);
      result.append(bytes.substr(static_cast<size_t>(from) * row_bytes, row_bytes));
    }
  }
  return result;
}

std::string Convert(Dtype from, std::string_view bytes, GgufType to) {
  const bool same = (from == Dtype::kFloat32 && to == GgufType::kFloat32) ||
                    (from == Dtype::kFloat16 && to == GgufType::kFloat16) ||
                    (from == Dtype::kBFloat16 && to == GgufType::kBFloat16);
  if (same) return std::string(bytes);
  const std::vector<float> values = ToFloats(from, bytes);
  switch (to) {
    case GgufType::kFloat32: return FromFloats(Dtype::kFloat32, values);
    case GgufType::kFloat16: return FromFloats(Dtype::kFloat16, values);
    case GgufType::kBFloat16: return FromFloats(Dtype::kBFloat16, values);
    case GgufType::kQ8: return ToQ8(values);
  }
  return std::string();
}

std::string DataOf(const ModelFolder& model, const Piece& piece) {
  if (piece.source.empty()) return FromFloats(Dtype::kFloat32, piece.constant);
  const Dtype dtype = model.tensors().at(piece.source).dtype;
  const std::string_view bytes = model.Bytes(piece.source);
  if (piece.rotary_heads == 0) return Convert(dtype, bytes, piece.type);
  return Convert(dtype, InterleaveHalves(bytes, piece.rotary_heads, model.config().head_size), piece.type);
}

// llama.cpp's number for the kind of most tensors.
uint32_t FileType(const std::vector<Piece>& pieces) {
  switch (pieces.front().type) {
    case GgufType::kFloat32: return 0;
    case GgufType::kFloat16: return 1;
    case GgufType::kQ8: return 7;
    case GgufType::kBFloat16: return 32;
  }
  return 0;
}

void AddShapes(const ModelConfig& config, GgufHeader* header) {
  std::vector<int32_t> heads, kv_heads, widths;
  for (size_t i = 0; i < config.layers.size(); ++i) {
    const LayerShape& shape = config.layers[i];
    heads.push_back(shape.num_heads());
    kv_heads.push_back(shape.num_kv_heads);
    widths.push_back(Plan::NeedsZeroFfn(config, i) ? kZeroFfnWidth : shape.ffn_width);
  }
  const auto number = [header](const char* key, int64_t value) { header->Add(key, static_cast<uint32_t>(value)); };
  const int positions =
      config.sliding_window > 0 ? std::min(config.sliding_window, config.max_positions) : config.max_positions;
  number("deci.block_count", config.num_layers);
  number("deci.context_length", positions);
  number("deci.embedding_length", config.hidden_size);
  number("deci.vocab_size", config.vocabulary_size);
  header->Add("deci.feed_forward_length", widths);
  header->Add("deci.attention.head_count", heads);
  header->Add("deci.attention.head_count_kv", kv_heads);
  number("deci.attention.key_length", config.head_size);
  number("deci.attention.value_length", config.head_size);
  header->Add("deci.attention.layer_norm_rms_epsilon", static_cast<float>(config.rms_norm_epsilon));
  number("deci.rope.dimension_count", config.head_size);
  header->Add("deci.rope.freq_base", static_cast<float>(config.rope.theta));
  if (config.rope.type == RopeType::kLinear) {
    header->Add("deci.rope.scaling.type", "linear");
    header->Add("deci.rope.scaling.factor", static_cast<float>(config.rope.factor));
  }
}

}  // namespace

absl::Status WriteGguf(const ModelFolder& model, const GgufOptions& options, const std::string& path) {
  const ModelConfig& config = model.config();
  ESPALIER_RETURN_IF_ERROR(CheckRuntimeFits(config, Runtime::kGguf));
  const std::vector<Piece> pieces = Plan(model, options).Pieces();
  GgufHeader header;
  header.Add("general.architecture", "deci");
  header.Add("general.type", "model");
  header.Add("general.name", std::filesystem::path(path).stem().string());
  header.Add("general.alignment", static_cast<uint32_t>(kGgufAlignment));
  header.Add("general.file_type", FileType(pieces));
  header.Add("general.quantization_version", uint32_t{2});
  AddShapes(config, &header);
  ESPALIER_RETURN_IF_ERROR(AddTokenizer(model.path(), config.vocabulary_size, options.without_tokenizer, &header));
  for (const Piece& piece : pieces) header.AddTensor(piece.name, piece.shape, piece.type);

  ESPALIER_ASSIGN_OR_RETURN(std::unique_ptr<AtomicFile> file, AtomicFile::Create(path));
  ESPALIER_RETURN_IF_ERROR(file->Append(header.Bytes()));
  for (const Piece& piece : pieces) {
    std::string data = DataOf(model, piece);
    data.append(static_cast<size_t>(GgufPadding(static_cast<int64_t>(data.size()))), '\0');
    ESPALIER_RETURN_IF_ERROR(file->Append(data));
  }
  return file->Commit(path);
}

absl::StatusOr<std::optional<GgufType>> ParseGgufType(const std::string& name) {
  if (name == "auto") return std::optional<GgufType>();
  if (name == "f32") return std::optional(GgufType::kFloat32);
  if (name == "f16") return std::optional(GgufType::kFloat16);
  if (name == "bf16") return std::optional(GgufType::kBFloat16);
  if (name == "q8_0") return std::optional(GgufType::kQ8);
  return absl::InvalidArgumentError(absl::StrCat("--gguf-type: '", name, "' is none of auto, f32, f16, bf16, q8_0"));
}

}  // namespace espalier::checkpoint
