// config.json -> ModelConfig. Defaults of absent fields are those of transformers 5's configuration classes.
#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/files.h"
#include "common/base/status_macros.h"
#include "common/checkpoint/config_fields.h"
#include "common/checkpoint/layer_map_reader.h"
#include "common/checkpoint/model_folder.h"
#include "common/checkpoint/rope_reader.h"
#include "common/checkpoint/strict_json.h"

namespace espalier::checkpoint {
namespace {

using nlohmann::json;

constexpr int64_t kMaxConfigBytes = 16'000'000;
// Bounds that no product of two exceeds int64_t with; far above any published model.
constexpr int64_t kMaxLayers = 10'000;
constexpr int64_t kMaxWidth = 10'000'000;
constexpr int64_t kMaxVocabulary = 100'000'000;
constexpr int64_t kMaxPositions = int64_t{1} << 30;

struct FamilyTraits {
  Family family;
  const char* model_type;
  const char* architecture;
  int64_t kv_heads_when_absent;  // 0: as many as query heads
  int64_t max_positions;
};
constexpr std::array<FamilyTraits, 4> kFamilies = {{
    {Family::kLlama, "llama", "LlamaForCausalLM", 0, 2048},
    {Family::kMistral, "mistral", "MistralForCausalLM", 8, 131072},
    {Family::kQwen2, "qwen2", "Qwen2ForCausalLM", 32, 32768},
    {Family::kQwen3, "qwen3", "Qwen3ForCausalLM", 32, 32768},
}};

const FamilyTraits* FindFamily(ConfigFields* fields, bool* exported) {
  const std::string model_type = fields->Text("model_type", "");
  *exported = model_type == "espalier";
  const char* key = *exported ? "base_model_type" : "model_type";
  const std::string family = fields->Text(key, "");
  for (const FamilyTraits& traits : kFamilies) {
    if (family == traits.model_type) return &traits;
  }
  if (family.empty()) {
    fields->Fail(absl::StrCat("'", key, "' is missing"));
  } else {
    fields->Fail(
        absl::StrCat("'", key, "' is '", family,
                     "', which is not supported (supported: llama, mistral, qwen2, qwen3 and espalier exports)"));
  }
  return nullptr;
}

void CheckArchitecture(ConfigFields* fields, const FamilyTraits& family, bool exported) {
  const std::string wanted = exported ? "EspalierForCausalLM" : family.architecture;
  if (fields->Has("architectures")) {
    const json& list = fields->object()["architectures"];
    const bool right = list.is_array() && list.size() == 1 && list[0] == wanted;
    if (!right) fields->Fail(absl::StrCat("'architectures' is ", ShortText(list), ", not [\"", wanted, "\"]"));
  }
  if (!exported && fields->Has("auto_map") && fields->object()["auto_map"].contains("AutoModelForCausalLM")) {
    fields->Fail("'auto_map' brings modelling code of its own, which is never run");
  }
}

bool IsNeutral(const json& value) {
  return value.is_null() || value == false || value == 0 || (value.is_structured() && value.empty()) ||
         (value.is_string() && value.get<std::string>().empty());
}

// Fields that transformers' classes of these families do not read may still say that the weights belong to another
// arithmetic: what sounds like it is refused by name, the rest (tokenizer hints, tool notes) is ignored as transformers
// does.
void CheckUnknownFields(ConfigFields* fields) {
  static const std::set<std::string> known = {"attention_bias",
                                              "attention_dropout",
                                              "hidden_act",
                                              "hidden_activation",
                                              "initializer_range",
                                              "layer_types",
                                              "max_window_layers",
                                              "mlp_bias",
                                              "original_max_position_embeddings",
                                              "pretraining_tp",
                                              "qkv_bias",
                                              "rms_norm_eps",
                                              "rope_parameters",
                                              "rope_scaling",
                                              "rope_theta",
                                              "sliding_window",
                                              "tie_word_embeddings",
                                              "use_sliding_window",
                                              "per_layer_config",
                                              "max_position_embeddings"};
  static const char* const suspicious[] = {
      "softcap", "multiplier", "scal",       "window",        "expert",          "moe",     "quant",    "norm",
      "rope",    "rotary",     "bias",       "hidden_act",    "logit",           "alibi",   "skip",     "residual",
      "sparse",  "lora",       "layer_type", "block_configs", "attention_chunk", "kv_shar", "num_nextn"};
  for (const auto& [key, value] : fields->object().items()) {
    if (known.contains(key) || IsNeutral(value)) continue;
    const bool factor_of_one = value.is_number() && value.get<double>() == 1.0 &&
                               (absl::StrContains(key, "factor") || absl::StrContains(key, "multiplier"));
    if (factor_of_one || absl::StartsWith(key, "initializer")) continue;
    for (const char* part : suspicious) {
      if (absl::StrContains(key, part)) {
        fields->Fail(
            absl::StrCat("'", key, "' = ", ShortText(value), " may change the arithmetic and is not supported"));
        return;
      }
    }
  }
  const double partial = fields->Number("partial_rotary_factor", 1.0, 0.0, 1.0);
  if (partial != 1.0) fields->Fail(absl::StrCat("'partial_rotary_factor' = ", partial, " is not supported"));
}

void CheckActivation(ConfigFields* fields) {
  for (const char* key : {"hidden_act", "hidden_activation"}) {
    const std::string activation = fields->Text(key, "silu");
    if (activation != "silu" && activation != "swish")
      fields->Fail(absl::StrCat("'", key, "' is '", activation, "', which is not supported (supported: silu)"));
  }
}

// The window of Qwen's sliding layers; 0 when every layer attends to all positions.
int64_t QwenWindow(ConfigFields* fields, int num_layers) {
  bool any_sliding = false;
  const bool use_window = fields->Boolean("use_sliding_window", false);
  if (fields->Has("layer_types")) {
    const json& types = fields->object()["layer_types"];
    if (!types.is_array() || types.size() != static_cast<size_t>(num_layers)) {
      fields->Fail(absl::StrCat("'layer_types' is ", ShortText(types), ", not a list of ", num_layers));
      return 0;
    }
    for (const json& type : types) {
      if (type == "sliding_attention") {
        any_sliding = true;
      } else if (type != "full_attention") {
        fields->Fail(absl::StrCat("'layer_types' holds ", ShortText(type), ", which is not supported"));
      }
    }
    if (any_sliding && !use_window)
      fields->Fail("'layer_types' holds \"sliding_attention\", but 'use_sliding_window' is false");
  } else {
    any_sliding = use_window && fields->Integer("max_window_layers", 28, 0, kMaxLayers * 10) < num_layers;
  }
  if (!any_sliding || fields->IsNull("sliding_window")) return 0;
  return fields->Integer("sliding_window", 4096, 1, kMaxPositions);
}

void ReadWindow(ConfigFields* fields, bool exported, ModelConfig* config) {
  const bool plain = exported || config->family == Family::kMistral;
  int64_t window = 0;
  if (config->family == Family::kLlama && !exported) {
    if (fields->Has("sliding_window") && !IsNeutral(fields->object()["sliding_window"])) {
      fields->Fail(absl::StrCat("'sliding_window' = ", ShortText(fields->object()["sliding_window"]),
                                " is not supported for llama"));
    }
  } else if (plain) {
    const int64_t absent = exported ? 0 : 4096;
    window = fields->IsNull("sliding_window") ? 0 : fields->Integer("sliding_window", absent, 0, kMaxPositions);
  } else {
    window = QwenWindow(fields, config->num_layers);
  }
  config->sliding_window = static_cast<int>(window);
}

void ReadShape(ConfigFields* fields, const FamilyTraits& family, ModelConfig* config) {
  config->family = family.family;
  config->vocabulary_size = static_cast<int>(fields->Integer("vocab_size", std::nullopt, 1, kMaxVocabulary));
  config->hidden_size = static_cast<int>(fields->Integer("hidden_size", std::nullopt, 1, kMaxWidth));
  config->num_layers = static_cast<int>(fields->Integer("num_hidden_layers", std::nullopt, 1, kMaxLayers));
  config->num_heads = static_cast<int>(fields->Integer("num_attention_heads", std::nullopt, 1, kMaxWidth));
  config->ffn_width = static_cast<int>(fields->Integer("intermediate_size", std::nullopt, 1, kMaxWidth));
  config->max_positions =
      static_cast<int>(fields->Integer("max_position_embeddings", family.max_positions, 1, kMaxPositions));
  const bool like_query = family.kv_heads_when_absent == 0 || fields->IsNull("num_key_value_heads");
  const int64_t kv_absent = like_query ? config->num_heads : family.kv_heads_when_absent;
  config->num_kv_heads = static_cast<int>(fields->Integer("num_key_value_heads", kv_absent, 1, kMaxWidth));
  const int64_t head_absent = family.family == Family::kQwen3 ? 128 : config->hidden_size / config->num_heads;
  if (!fields->Has("head_dim") && family.family != Family::kQwen3 && config->hidden_size % config->num_heads != 0) {
    fields->Fail(absl::StrCat("'hidden_size' ", config->hidden_size, " is no multiple of 'num_attention_heads' ",
                              config->num_heads, ", and 'head_dim' is missing"));
  }
  config->head_size = static_cast<int>(fields->Integer("head_dim", head_absent, 1, 65'536));
  config->rms_norm_epsilon = fields->Number("rms_norm_eps", 1e-6, 0.0, 1.0);
  if (config->num_heads % config->num_kv_heads != 0) {
    fields->Fail(absl::StrCat("'num_attention_heads' ", config->num_heads, " is no multiple of 'num_key_value_heads' ",
                              config->num_kv_heads));
  }
  if (config->head_size % 2 != 0)
    fields->Fail(absl::StrCat("a head size of ", config->head_size, " is odd, which rotary positions cannot use"));
  if (int64_t{config->num_heads} * config->head_size > kMaxWidth)
    fields->Fail(absl::StrCat(config->num_heads, " heads of ", config->head_size, " are too wide"));
}

void ReadBiases(ConfigFields* fields, ModelConfig* config) {
  const bool attention_bias = fields->Boolean("attention_bias", false);
  const bool mlp_bias = fields->Boolean("mlp_bias", false);
  switch (config->family) {
    case Family::kLlama:
      config->qkv_bias = config->output_bias = attention_bias;
      config->ffn_bias = mlp_bias;
      break;
    case Family::kMistral:
      if (attention_bias) fields->Fail("'attention_bias' = true is not supported for mistral");
      break;
    case Family::kQwen2:
      config->qkv_bias = true;  // whatever config.json says
      break;
    case Family::kQwen3:
      config->qkv_bias = config->output_bias = attention_bias;
      config->qk_norm = true;
      break;
  }
  if (mlp_bias && config->family != Family::kLlama)
    fields->Fail(absl::StrCat("'mlp_bias' = true is not supported for ", Name(config->family)));
}

NumberFormat ReadNumberFormat(ConfigFields* fields) {
  const std::string format = fields->Text("dtype", fields->Text("torch_dtype", "float32"));
  if (format == "bfloat16") return NumberFormat::kBFloat16;
  if (format == "float16") return NumberFormat::kFloat16;
  if (format != "float32")
    fields->Fail(
        absl::StrCat("'dtype' is '", format, "', which is not supported (supported: float32, float16, bfloat16)"));
  return NumberFormat::kFloat32;
}

}  // namespace

absl::StatusOr<ModelConfig> ParseModelConfig(const std::string& json_text, const std::string& name) {
  ESPALIER_ASSIGN_OR_RETURN(const json object, ParseStrictJson(json_text, name, 32));
  if (!object.is_object()) return absl::InvalidArgumentError(absl::StrCat("'", name, "': not a JSON object"));
  ConfigFields fields(object, name);
  bool exported = false;
  const FamilyTraits* family = FindFamily(&fields, &exported);
  if (family == nullptr) return fields.status();
  if (fields.Has("quantization_config")) fields.Fail("'quantization_config': quantised weights are not supported");
  CheckArchitecture(&fields, *family, exported);
  if (!exported && fields.Has("per_layer_config") && !object["per_layer_config"].empty()) {
    fields.Fail("'per_layer_config' is read of espalier exports only");
  }
  ModelConfig config;
  ReadShape(&fields, *family, &config);
  if (!fields.status().ok()) return fields.status();
  config.rope = ReadRope(&fields, config.max_positions);
  CheckActivation(&fields);
  ReadBiases(&fields, &config);
  ReadWindow(&fields, exported, &config);
  CheckUnknownFields(&fields);
  config.tied_embeddings = fields.Boolean("tie_word_embeddings", false);
  config.number_format = ReadNumberFormat(&fields);
  if (!fields.status().ok()) return fields.status();
  ReadLayerMap(&fields, &config);
  if (!fields.status().ok()) return fields.status();
  return config;
}

absl::StatusOr<ModelConfig> ReadModelConfig(const std::string& folder) {
  const std::string path = folder + "/config.json";
  absl::StatusOr<std::string> text = ReadFile(path, kMaxConfigBytes);
  if (absl::IsNotFound(text.status())) {
    return absl::NotFoundError(absl::StrCat("'", folder, "' is no model folder: it has no config.json"));
  }
  if (!text.ok()) return text.status();
  return ParseModelConfig(*text, path);
}

}  // namespace espalier::checkpoint
