#include "common/checkpoint/rope_reader.h"

#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/checkpoint/strict_json.h"

namespace espalier::checkpoint {
namespace {

constexpr double kMaxTheta = 1e12;
constexpr double kMaxFactor = 1e6;
constexpr int64_t kMaxPositions = int64_t{1} << 40;

void CheckKeys(ConfigFields* config, const nlohmann::json& rope, const std::string& type) {
  static const std::set<std::string> known = {"rope_theta",
                                              "rope_type",
                                              "type",
                                              "factor",
                                              "low_freq_factor",
                                              "high_freq_factor",
                                              "original_max_position_embeddings"};
  for (const auto& [key, value] : rope.items()) {
    if (known.contains(key) || value.is_null()) continue;
    const bool neutral = (key == "partial_rotary_factor" || key == "attention_factor") && value.is_number() &&
                         value.get<double>() == 1.0;
    if (!neutral) config->Fail(absl::StrCat("rope parameter '", key, "' = ", ShortText(value), " is not supported"));
  }
  if (type == "default" && rope.contains("factor") && rope["factor"] != 1.0) {
    config->Fail(absl::StrCat("rope type 'default' takes no 'factor', but it is ", ShortText(rope["factor"])));
  }
}

}  // namespace

RopeConfig ReadRope(ConfigFields* config, int64_t max_positions) {
  RopeConfig result;
  const nlohmann::json& object = config->object();
  // transformers lets a non-empty rope_scaling go before rope_parameters.
  const auto usable = [&](const char* key) { return config->Has(key) && !object[key].empty(); };
  const char* source = usable("rope_scaling")      ? "rope_scaling"
                       : usable("rope_parameters") ? "rope_parameters"
                                                   : nullptr;
  nlohmann::json rope = source == nullptr ? nlohmann::json::object() : object[source];
  if (!rope.is_object()) {
    config->Fail(absl::StrCat("'", source, "' is ", ShortText(rope), ", not an object"));
    return result;
  }
  for (const auto& [key, value] : rope.items()) {
    if (value.is_object()) {
      config->Fail(absl::StrCat("'", source, "' differs by layer type ('", key, "'), which is not supported"));
      return result;
    }
  }
  if (!rope.contains("rope_theta") && config->Has("rope_theta")) rope["rope_theta"] = object["rope_theta"];
  ConfigFields fields(rope, "rope");
  const std::string type = fields.Text("rope_type", fields.Text("type", "default"));
  CheckKeys(config, rope, type);
  result.theta = fields.Number("rope_theta", 10000.0, 1.0, kMaxTheta);
  if (type == "linear") {
    result.type = RopeType::kLinear;
    result.factor = fields.Number("factor", std::nullopt, 1e-6, kMaxFactor);
  } else if (type == "llama3") {
    result.type = RopeType::kLlama3;
    result.factor = fields.Number("factor", std::nullopt, 1e-6, kMaxFactor);
    result.low_frequency_factor = fields.Number("low_freq_factor", std::nullopt, 1e-6, kMaxFactor);
    result.high_frequency_factor = fields.Number("high_freq_factor", std::nullopt, 1e-6, kMaxFactor);
    if (result.high_frequency_factor <= result.low_frequency_factor) {
      config->Fail(absl::StrCat("rope type 'llama3': 'high_freq_factor' ", result.high_frequency_factor,
                                " must be above 'low_freq_factor' ", result.low_frequency_factor));
    }
    result.original_max_positions = fields.Integer("original_max_position_embeddings", max_positions, 1, kMaxPositions);
    // As transformers does: beside the rope parameters it takes precedence over the one among them.
    result.original_max_positions =
        config->Integer("original_max_position_embeddings", result.original_max_positions, 1, kMaxPositions);
  } else if (type != "default") {
    config->Fail(absl::StrCat("rope type '", type, "' is not supported (supported: default, linear, llama3)"));
  }
  if (!fields.status().ok()) {
    config->Fail(
        absl::StrCat("in ", source == nullptr ? "the rope settings" : source, ": ", fields.status().message()));
  }
  return result;
}

}  // namespace espalier::checkpoint
