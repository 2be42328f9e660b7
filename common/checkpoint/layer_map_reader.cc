#include "common/checkpoint/layer_map_reader.h"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/checkpoint/strict_json.h"

namespace espalier::checkpoint {
namespace {

using nlohmann::json;

struct Skips {
  bool attention = false;
  bool ffn = false;
};

Skips ReadSkips(ConfigFields* layer) {
  Skips skips;
  if (!layer->Has("skip")) return skips;
  const json& list = layer->object()["skip"];
  if (!list.is_array()) layer->Fail(absl::StrCat("'skip' is ", ShortText(list), ", not a list"));
  for (const json& part : list.is_array() ? list : json::array()) {
    if (part == "attention") {
      skips.attention = true;
    } else if (part == "mlp") {
      skips.ffn = true;
    } else {
      layer->Fail(absl::StrCat("'skip' holds ", ShortText(part), ", which is neither \"attention\" nor \"mlp\""));
    }
  }
  return skips;
}

// Which KV head each query head reads: query_to_kv, or evenly shared.
std::vector<int> ReadHeadMap(ConfigFields* layer, int num_heads, int num_kv_heads) {
  std::vector<int> head_to_kv;
  if (layer->Has("query_to_kv")) {
    const json& list = layer->object()["query_to_kv"];
    if (!list.is_array() || static_cast<int64_t>(list.size()) != num_heads) {
      layer->Fail(absl::StrCat("'query_to_kv' is ", ShortText(list), ", not a list of ", num_heads, " KV heads"));
      return head_to_kv;
    }
    for (const json& value : list) {
      if (!value.is_number_unsigned() || value.get<uint64_t>() >= static_cast<uint64_t>(num_kv_heads)) {
        layer->Fail(
            absl::StrCat("'query_to_kv' holds ", ShortText(value), ", the layer has ", num_kv_heads, " KV heads"));
        return {};
      }
      head_to_kv.push_back(value.get<int>());
    }
    return head_to_kv;
  }
  if (num_heads % num_kv_heads != 0) {
    layer->Fail(absl::StrCat(num_heads, " query heads do not share ", num_kv_heads,
                             " KV heads evenly, and 'query_to_kv' is missing"));
    return head_to_kv;
  }
  for (int head = 0; head < num_heads; ++head) head_to_kv.push_back(head / (num_heads / num_kv_heads));
  return head_to_kv;
}

LayerShape ReadLayer(ConfigFields* layer, const ModelConfig& dense) {
  static const std::set<std::string> known = {"skip", "num_attention_heads", "num_key_value_heads", "intermediate_size",
                                              "query_to_kv"};
  for (const auto& [key, value] : layer->object().items()) {
    if (!known.contains(key))
      layer->Fail(absl::StrCat("'", key, "' = ", ShortText(value), " is not supported for a layer"));
  }
  const Skips skips = ReadSkips(layer);
  LayerShape shape;
  for (const char* key : {"num_attention_heads", "num_key_value_heads", "query_to_kv"}) {
    if (skips.attention && layer->Has(key)) layer->Fail(absl::StrCat("'", key, "' stands beside a skipped attention"));
  }
  if (skips.ffn && layer->Has("intermediate_size")) layer->Fail("'intermediate_size' stands beside a skipped mlp");
  if (!skips.attention) {
    const auto num_heads = static_cast<int>(layer->Integer("num_attention_heads", dense.num_heads, 1, dense.num_heads));
    shape.num_kv_heads =
        static_cast<int>(layer->Integer("num_key_value_heads", dense.num_kv_heads, 1, dense.num_kv_heads));
    shape.head_to_kv = ReadHeadMap(layer, num_heads, shape.num_kv_heads);
  }
  if (!skips.ffn)
    shape.ffn_width = static_cast<int>(layer->Integer("intermediate_size", dense.ffn_width, 1, dense.ffn_width));
  return shape;
}

}  // namespace

void ReadLayerMap(ConfigFields* fields, ModelConfig* config) {
  config->layers.assign(static_cast<size_t>(config->num_layers), DenseLayer(*config));
  if (!fields->Has("per_layer_config")) return;
  const json& map = fields->object()["per_layer_config"];
  if (!map.is_object()) return fields->Fail(absl::StrCat("'per_layer_config' is ", ShortText(map), ", not an object"));
  std::set<int> seen;
  for (const auto& [key, entry] : map.items()) {
    int layer = -1;
    // transformers writes the numbers padded with zeros.
    const bool digits = !key.empty() && key.size() <= 9 &&
                        std::all_of(key.begin(), key.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (!digits || !absl::SimpleAtoi(key, &layer) || layer >= config->num_layers || !seen.insert(layer).second) {
      return fields->Fail(absl::StrCat("'per_layer_config' has the key '", key, "', which is no layer from 0 to ",
                                       config->num_layers - 1, " or stands twice"));
    }
    if (!entry.is_object())
      return fields->Fail(
          absl::StrCat("'per_layer_config': layer ", layer, " is ", ShortText(entry), ", not an object"));
    ConfigFields layer_fields(entry, absl::StrCat("per_layer_config[", layer, "]"));
    config->layers[static_cast<size_t>(layer)] = ReadLayer(&layer_fields, *config);
    if (!layer_fields.status().ok()) return fields->Fail(std::string(layer_fields.status().message()));
  }
}

}  // namespace espalier::checkpoint
