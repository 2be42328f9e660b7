#include <cstdio>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "client/commands/commands.h"
#include "client/exit_codes.h"
#include "client/render/format.h"
#include "client/render/output.h"
#include "client/render/table.h"
#include "client/suggest/choices.h"
#include "common/base/status_macros.h"
#include "common/checkpoint/model_folder.h"
#include "common/domain/cost.h"
#include "common/domain/ladder.h"

namespace espalier {
namespace {

using Json = nlohmann::ordered_json;

struct InspectFlags {
  std::string model;
  std::string head_granularity = "kv-group";
  std::string format = "table";
};

const char* RopeName(RopeType type) {
  switch (type) {
    case RopeType::kDefault:
      return "default";
    case RopeType::kLinear:
      return "linear";
    case RopeType::kLlama3:
      return "llama3";
  }
  return "";
}

bool IsDense(const ModelConfig& config) {
  for (const LayerShape& layer : config.layers) {
    if (!(layer == DenseLayer(config))) return false;
  }
  return true;
}

Json ShapeJson(const ModelConfig& config) {
  Json json;
  json["layers"] = config.num_layers;
  json["hidden_size"] = config.hidden_size;
  json["heads"] = config.num_heads;
  json["kv_heads"] = config.num_kv_heads;
  json["head_size"] = config.head_size;
  json["ffn_width"] = config.ffn_width;
  json["vocabulary_size"] = config.vocabulary_size;
  json["max_positions"] = config.max_positions;
  return json;
}

Json FeaturesJson(const ModelConfig& config) {
  Json json;
  json["number_format"] = Name(config.number_format);
  json["tied_embeddings"] = config.tied_embeddings;
  json["qkv_bias"] = config.qkv_bias;
  json["output_bias"] = config.output_bias;
  json["ffn_bias"] = config.ffn_bias;
  json["qk_norm"] = config.qk_norm;
  json["sliding_window"] = config.sliding_window;
  json["rope"] = RopeName(config.rope.type);
  json["rope_theta"] = config.rope.theta;
  if (config.rope.type != RopeType::kDefault) json["rope_factor"] = config.rope.factor;
  return json;
}

Json ParametersJson(const ModelConfig& config) {
  int64_t attention = 0, ffn = 0;
  for (const LayerShape& layer : config.layers) {
    attention += AttentionParameters(config, layer);
    ffn += FfnParameters(config, layer);
  }
  const int64_t embedding = static_cast<int64_t>(config.vocabulary_size) * config.hidden_size;
  Json json;
  json["total"] = CountParameters(config);
  json["embedding"] = embedding;
  json["output_head"] = config.tied_embeddings ? 0 : embedding;
  json["attention"] = attention;
  json["ffn"] = ffn;
  json["final_norm"] = CountParameters(config) - attention - ffn - embedding * (config.tied_embeddings ? 1 : 2);
  return json;
}

Json LayersJson(const ModelConfig& config) {
  Json layers = Json::array();
  for (const LayerShape& layer : config.layers) {
    layers.push_back({{"heads", layer.num_heads()}, {"kv_heads", layer.num_kv_heads}, {"ffn_width", layer.ffn_width}});
  }
  return layers;
}

absl::StatusOr<Json> LadderJson(const ModelConfig& config, const std::string& granularity) {
  LadderOptions options;
  options.head_granularity = granularity == "head" ? HeadGranularity::kHead : HeadGranularity::kKvGroup;
  ESPALIER_ASSIGN_OR_RETURN(const Ladder ladder, BuildLadder(config, options));
  const CostTable table = BuildCostTable(config, ladder, CostOptions{}, std::nullopt);
  Json json;
  json["head_granularity"] = granularity;
  json["units"] = ladder.units.size();
  Mask last;
  for (const UnitLadder& unit : ladder.units) {
    last.levels.push_back(unit.num_levels() - 1);
    const char* kind = unit.unit.kind == UnitKind::kAttention ? "attention_removed_heads" : "ffn_removed_neurons";
    if (!json.contains(kind)) json[kind] = unit.removed;  // dense layers are equal
  }
  json["smallest_parameters"] = table.Of(last);
  return json;
}

absl::StatusOr<Json> Describe(const InspectFlags& flags) {
  ESPALIER_ASSIGN_OR_RETURN(const auto folder, checkpoint::ModelFolder::Open(flags.model));
  const ModelConfig& config = folder->config();
  Json json;
  json["model"] = flags.model;
  json["family"] = Name(config.family);
  json["dense"] = IsDense(config);
  json["shape"] = ShapeJson(config);
  json["features"] = FeaturesJson(config);
  json["parameters"] = ParametersJson(config);
  json["bytes"] = CountParameters(config) * BytesPerParameter(config.number_format);
  json["tensors"] = folder->tensors().size();
  if (!IsDense(config)) {
    json["per_layer"] = LayersJson(config);
    return json;
  }
  ESPALIER_ASSIGN_OR_RETURN(json["ladder"], LadderJson(config, flags.head_granularity));
  return json;
}

void PrintGroup(const char* title, const Json& group) {
  std::printf("\n%s\n", title);
  std::vector<std::vector<std::string>> rows = {{}};
  for (const auto& [name, value] : group.items()) {
    const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
    rows.push_back({absl::StrCat("  ", name), text});
  }
  std::printf("%s", FormatTable(rows).substr(1).c_str());
}

void PrintText(const Json& json) {
  const int64_t total = json["parameters"]["total"];
  std::printf("%s: %s, %s parameters (%lld), %s in %s\n", json["model"].get<std::string>().c_str(),
              json["family"].get<std::string>().c_str(), FormatCount(static_cast<double>(total)).c_str(),
              static_cast<long long>(total), FormatBytes(json["bytes"].get<double>()).c_str(),
              json["features"]["number_format"].get<std::string>().c_str());
  PrintGroup("shape", json["shape"]);
  PrintGroup("features", json["features"]);
  PrintGroup("parameters", json["parameters"]);
  if (json.contains("ladder")) PrintGroup("ladder it would get", json["ladder"]);
  if (!json.contains("per_layer")) return;
  std::vector<std::vector<std::string>> rows = {{"layer", "heads", "KV heads", "FFN width"}};
  for (size_t layer = 0; layer < json["per_layer"].size(); ++layer) {
    const Json& shape = json["per_layer"][layer];
    rows.push_back({absl::StrCat(layer), shape["heads"].dump(), shape["kv_heads"].dump(), shape["ffn_width"].dump()});
  }
  std::printf("\nlayers (an export, not a dense model)\n%s", FormatTable(rows).c_str());
}

int Inspect(const InspectFlags& flags) {
  const absl::StatusOr<Json> json = Describe(flags);
  if (!json.ok()) return Fail(json.status());
  if (!PrintOutput(flags.format, [&json] { return *json; }, {flags.model})) PrintText(*json);
  return kExitOk;
}

}  // namespace

void AddInspectCommand(CLI::App& app, int& exit_code) {
  auto flags = std::make_shared<InspectFlags>();
  CLI::App* command = app.add_subcommand("inspect", "shape, features, parameters by part and ladder of a model folder");
  command->add_option("model", flags->model, "model folder")->required();
  command->add_option("--head-granularity", flags->head_granularity, "what a level removes")
      ->check(OneOf({"head", "kv-group"}))
      ->capture_default_str();
  AddFormatFlag(*command, flags->format);
  command->callback([flags, &exit_code] { exit_code = Inspect(*flags); });
}

}  // namespace espalier
