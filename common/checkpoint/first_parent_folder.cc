#include "common/checkpoint/first_parent_folder.h"

#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/base/files.h"
#include "common/base/status_macros.h"
#include "common/checkpoint/config_fields.h"
#include "common/checkpoint/layer_map_reader.h"
#include "common/checkpoint/strict_json.h"
#include "common/domain/ladder.h"

namespace espalier::checkpoint {
namespace {

using nlohmann::json;

constexpr int64_t kMaxConfigBytes = 16'000'000;
constexpr int kBucket = 256;  // Nemotron-NAS readers round widths up to it

// What stays of one layer.
struct Kept {
  int heads = 0;
  int neurons = 0;
};

class BlockReader {
 public:
  BlockReader(const ModelConfig& dense, const json& block, const std::string& name)
      : dense_(dense), block_(block), fields_(block, name) {}

  absl::StatusOr<Kept> Read() {
    if (!block_.is_object()) return Refuse(absl::StrCat("is ", ShortText(block_), ", not an object"));
    if (block_.contains("block_type")) {
      return Refuse(absl::StrCat("is a ", ShortText(block_["block_type"]),
                                 " block of a hybrid model (NemotronHPuzzle), which no layer of the dense model (",
                                 Name(dense_.family), ") is"));
    }
    if (block_.contains("parallel_blocks") && !block_["parallel_blocks"].is_null())
      return Refuse("has parallel_blocks, which a plain decoder has not");
    Kept kept{dense_.num_heads, dense_.ffn_width};
    if (block_.contains("subblock_configs")) return ReadSubblocks(kept);
    ESPALIER_RETURN_IF_ERROR(ReadAttention(Part("attention"), "num_key_value_heads", "", &kept));
    ESPALIER_RETURN_IF_ERROR(ReadFfn(Part("ffn"), &kept));
    return kept;
  }

 private:
  absl::Status Refuse(const std::string& what) {
    fields_.Fail(what);
    return fields_.status();
  }

  const json& Part(const char* key) const {
    static const json nothing = json::object();
    const auto found = block_.find(key);
    return found == block_.end() || found->is_null() ? nothing : *found;
  }

  absl::StatusOr<Kept> ReadSubblocks(Kept kept) {
    const json& list = block_["subblock_configs"];
    if (!list.is_array()) return Refuse("'subblock_configs' is not a list");
    bool seen_attention = false, seen_ffn = false;
    for (const json& part : list) {
      const json kind = part.is_object() ? part.value("kind", json()) : json();
      bool* seen = kind == "attention" ? &seen_attention : kind == "ffn" ? &seen_ffn : nullptr;
      if (seen == nullptr || *seen) {
        return Refuse(absl::StrCat("'subblock_configs' holds ", ShortText(part),
                                   "; one of kind \"attention\" and one of kind \"ffn\" make a decoder layer"));
      }
      *seen = true;
      ESPALIER_RETURN_IF_ERROR(kind == "attention" ? ReadAttention(part, "num_kv_heads", "num_query_heads", &kept)
                                                   : ReadFfn(part, &kept));
    }
    return kept;
  }

  // True when the part is removed; a part that became a linear map is no pruned one.
  absl::StatusOr<bool> IsRemoved(const json& part) {
    if (!part.is_object()) return Refuse(absl::StrCat("holds ", ShortText(part), ", which is no object"));
    ConfigFields fields(part, "");
    if (fields.Boolean("replace_with_linear", false)) return Refuse("has a part replaced by a linear map");
    for (const char* other : {"mamba", "moe", "llama4", "sparsify"}) {
      if (fields.Has(other)) return Refuse(absl::StrCat("has '", other, "', which the dense model has not"));
    }
    const bool removed = fields.Boolean("no_op", false);
    if (!fields.status().ok()) return Refuse(std::string(fields.status().message()));
    return removed;
  }

  // A count from 1 to the dense model's; the dense one when the key is not there.
  absl::StatusOr<int> Count(const json& part, const char* key, int dense) {
    ConfigFields fields(part, "");
    const int64_t count = fields.Integer(key, dense, 1, dense);
    if (!fields.status().ok()) return Refuse(std::string(fields.status().message()));
    return static_cast<int>(count);
  }

  absl::Status ReadAttention(const json& part, const char* kv_key, const char* query_key, Kept* kept) {
    ESPALIER_ASSIGN_OR_RETURN(const bool removed, IsRemoved(part));
    if (removed) {
      kept->heads = 0;
      return absl::OkStatus();
    }
    if (*query_key != '\0') {
      ESPALIER_ASSIGN_OR_RETURN(kept->heads, Count(part, query_key, dense_.num_heads));
    }
    ESPALIER_ASSIGN_OR_RETURN(int kv_heads, Count(part, kv_key, dense_.num_kv_heads));
    if (part.contains("n_heads_in_group")) {
      ESPALIER_ASSIGN_OR_RETURN(const int share, Count(part, "n_heads_in_group", dense_.num_heads));
      if (dense_.num_heads % share != 0) return Refuse(absl::StrCat("'n_heads_in_group' is ", share));
      kv_heads = dense_.num_heads / share;
    }
    if (kept->heads != kv_heads * dense_.heads_per_group()) {
      return Refuse(absl::StrCat("attention has ", kept->heads, " query heads on ", kv_heads,
                                 " KV heads, the dense model ", dense_.heads_per_group(),
                                 " on each: whole groups can be removed, not shared anew"));
    }
    return absl::OkStatus();
  }

  absl::Status ReadFfn(const json& part, Kept* kept) {
    ESPALIER_ASSIGN_OR_RETURN(const bool removed, IsRemoved(part));
    if (removed) {
      kept->neurons = 0;
      return absl::OkStatus();
    }
    if (!part.contains("ffn_mult") || part["ffn_mult"].is_null()) {
      ESPALIER_ASSIGN_OR_RETURN(kept->neurons, Count(part, "intermediate_size", dense_.ffn_width));
      return absl::OkStatus();
    }
    ConfigFields fields(part, "");
    const double mult = fields.Number("ffn_mult", std::nullopt, 0.0, 1e4);
    if (!fields.status().ok()) return Refuse(std::string(fields.status().message()));
    const auto width = static_cast<int64_t>(2 * mult * dense_.hidden_size / 3);
    const int64_t rounded = (width + kBucket - 1) / kBucket * kBucket;
    if (rounded < 1 || rounded > dense_.ffn_width) {
      return Refuse(absl::StrCat("'ffn_mult' ", mult, " makes ", rounded, " neurons, the dense model has ",
                                 dense_.ffn_width));
    }
    kept->neurons = static_cast<int>(rounded);
    return absl::OkStatus();
  }

  const ModelConfig& dense_;
  const json& block_;
  ConfigFields fields_;
};

absl::StatusOr<std::vector<Kept>> FromBlocks(const json& blocks, const std::string& name, const ModelConfig& dense) {
  if (!blocks.is_array() || static_cast<int>(blocks.size()) != dense.num_layers) {
    return absl::InvalidArgumentError(absl::StrCat("'", name, "': 'block_configs' is no list of the dense model's ",
                                                   dense.num_layers, " layers"));
  }
  std::vector<Kept> kept;
  for (size_t i = 0; i < blocks.size(); ++i) {
    ESPALIER_ASSIGN_OR_RETURN(const Kept layer,
                              BlockReader(dense, blocks[i], absl::StrCat(name, "': 'block_configs[", i, "]")).Read());
    kept.push_back(layer);
  }
  return kept;
}

absl::StatusOr<std::vector<Kept>> FromLayerMap(const json& config, const std::string& name, const ModelConfig& dense) {
  ConfigFields fields(config, name);
  ModelConfig candidate = dense;
  candidate.layers.clear();
  ReadLayerMap(&fields, &candidate);
  if (!fields.status().ok()) return fields.status();
  std::vector<Kept> kept;
  for (const LayerShape& layer : candidate.layers) kept.push_back({layer.num_heads(), layer.ffn_width});
  return kept;
}

}  // namespace

absl::StatusOr<RemovedUnits> ParseRemovedUnits(const std::string& config_json, const std::string& name,
                                               const ModelConfig& dense) {
  ESPALIER_ASSIGN_OR_RETURN(const json config, ParseStrictJson(config_json, name, 32));
  if (!config.is_object()) return absl::InvalidArgumentError(absl::StrCat("'", name, "' is no JSON object"));
  ConfigFields fields(config, name);
  const std::pair<const char*, int> shared[] = {{"num_hidden_layers", dense.num_layers},
                                                {"hidden_size", dense.hidden_size}};
  for (const auto& [key, value] : shared) {
    if (fields.Integer(key, value, 1, 10'000'000) != value)
      fields.Fail(absl::StrCat("'", key, "' is not the dense model's ", value));
  }
  if (!fields.status().ok()) return fields.status();
  if (!fields.Has("block_configs") && !fields.Has("per_layer_config"))
    return absl::InvalidArgumentError(absl::StrCat("'", name, "' has neither block_configs nor per_layer_config"));
  const absl::StatusOr<std::vector<Kept>> kept = fields.Has("block_configs")
                                                     ? FromBlocks(config["block_configs"], name, dense)
                                                     : FromLayerMap(config, name, dense);
  if (!kept.ok()) return kept.status();
  RemovedUnits removed;
  for (int i = 0; i < dense.num_layers; ++i) {
    const Kept& layer = (*kept)[static_cast<size_t>(i)];
    const std::string attention = espalier::Name(Unit{UnitKind::kAttention, i});
    const std::string ffn = espalier::Name(Unit{UnitKind::kFfn, i});
    if (layer.heads < dense.num_heads) removed.emplace_back(attention, dense.num_heads - layer.heads);
    if (layer.neurons < dense.ffn_width) removed.emplace_back(ffn, dense.ffn_width - layer.neurons);
  }
  return removed;
}

absl::StatusOr<RemovedUnits> ReadRemovedUnits(const std::string& folder, const ModelConfig& dense) {
  const std::string path = folder + "/config.json";
  ESPALIER_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxConfigBytes));
  return ParseRemovedUnits(text, path, dense);
}

}  // namespace espalier::checkpoint
