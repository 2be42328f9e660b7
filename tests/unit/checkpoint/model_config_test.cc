#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/domain/sequence_length.h"
#include "tests/support/catch.h"
#include "tests/unit/checkpoint/folders.h"

namespace espalier::checkpoint {
namespace {

using nlohmann::json;
using testing::Parse;
using testing::RequireMessage;
using testing::SmallConfig;

json Family(const std::string& model_type, const std::string& architecture) {
  json config = SmallConfig();
  config["model_type"] = model_type;
  config["architectures"] = {architecture};
  return config;
}

absl::Status Refusal(json config, const json& changes) {
  config.update(changes);
  return ParseModelConfig(config.dump(), "config.json").status();
}

TEST_CASE("ModelConfig: each family's numbers, defaults and biases", "[checkpoint]") {
  SECTION("llama") {
    const ModelConfig config = Parse(SmallConfig());
    CHECK(config.family == espalier::Family::kLlama);
    CHECK(config.head_size == 4);
    CHECK(config.rope == RopeConfig{});
    CHECK_FALSE(config.qkv_bias);
    CHECK_FALSE(config.tied_embeddings);
    CHECK(config.number_format == NumberFormat::kFloat32);
    REQUIRE(config.layers.size() == 2);
    CHECK(config.layers[1].head_to_kv == std::vector<int>{0, 0, 1, 1});
    CHECK(config.layers[1].num_kv_heads == 2);
    CHECK(config.layers[1].ffn_width == 24);
    json changed = SmallConfig();
    changed.update({{"attention_bias", true},
                    {"mlp_bias", true},
                    {"head_dim", 8},
                    {"tie_word_embeddings", true},
                    {"torch_dtype", "bfloat16"}});
    changed.erase("num_key_value_heads");
    changed.erase("dtype");
    const ModelConfig with = Parse(changed);
    CHECK((with.qkv_bias && with.output_bias && with.ffn_bias && with.tied_embeddings));
    CHECK(with.head_size == 8);
    CHECK(with.num_kv_heads == 4);
    CHECK(with.number_format == NumberFormat::kBFloat16);
  }
  SECTION("qwen2 has a bias on q, k and v whatever config.json says") {
    json qwen = Family("qwen2", "Qwen2ForCausalLM");
    qwen["attention_bias"] = false;
    const ModelConfig config = Parse(qwen);
    CHECK(config.qkv_bias);
    CHECK_FALSE(config.output_bias);
    CHECK_FALSE(config.qk_norm);
  }
  SECTION("qwen3 has q/k norms and a head size of its own") {
    json qwen = Family("qwen3", "Qwen3ForCausalLM");
    CHECK(Parse(qwen).head_size == 128);
    CHECK(Parse(qwen).qk_norm);
    qwen["attention_bias"] = true;
    CHECK(Parse(qwen).output_bias);
  }
  SECTION("mistral has eight KV heads and a window where config.json is silent") {
    json mistral = Family("mistral", "MistralForCausalLM");
    mistral.update({{"num_attention_heads", 16}, {"head_dim", 4}});
    mistral.erase("num_key_value_heads");
    CHECK(Parse(mistral).num_kv_heads == 8);
    CHECK(Parse(mistral).sliding_window == 4096);
    mistral["num_key_value_heads"] = nullptr;
    mistral["sliding_window"] = nullptr;
    CHECK(Parse(mistral).num_kv_heads == 16);
    CHECK(Parse(mistral).sliding_window == 0);
  }
}

TEST_CASE("ModelConfig: rope in the old and in the new spelling", "[checkpoint]") {
  const auto rope_of = [](const json& changes) {
    json config = SmallConfig();
    config.update(changes);
    return Parse(config).rope;
  };
  const RopeConfig linear{RopeType::kLinear, 5e5, 2.5, 1.0, 4.0, 8192};
  CHECK(rope_of({{"rope_parameters", {{"rope_type", "linear"}, {"rope_theta", 5e5}, {"factor", 2.5}}}}) == linear);
  CHECK(rope_of({{"rope_theta", 5e5}, {"rope_scaling", {{"type", "linear"}, {"factor", 2.5}}}}) == linear);
  CHECK(rope_of({{"rope_theta", 5e5}, {"rope_scaling", {{"rope_type", "linear"}, {"factor", 2.5}}}}) == linear);
  CHECK(rope_of({{"rope_theta", 3e4}, {"rope_scaling", nullptr}}).theta == 3e4);
  const json llama3 = {{"rope_type", "llama3"},
                       {"factor", 8.0},
                       {"low_freq_factor", 1.0},
                       {"high_freq_factor", 4.0},
                       {"original_max_position_embeddings", 32}};
  const RopeConfig expected{RopeType::kLlama3, 5e5, 8.0, 1.0, 4.0, 32};
  CHECK(rope_of({{"rope_theta", 5e5}, {"rope_scaling", llama3}}) == expected);
  json new_spelling = llama3;
  new_spelling["rope_theta"] = 5e5;
  CHECK(rope_of({{"rope_parameters", new_spelling}}) == expected);

  const auto refusal = [](const json& rope) { return Refusal(SmallConfig(), {{"rope_parameters", rope}}); };
  for (const char* type : {"yarn", "dynamic", "longrope", "su", "mrope"})
    RequireMessage(refusal({{"rope_type", type}, {"factor", 2}}), {type, "not supported"});
  RequireMessage(refusal({{"rope_type", "linear"}}), {"factor", "missing"});
  RequireMessage(refusal({{"rope_type", "llama3"}, {"factor", 8}}), {"low_freq_factor"});
  RequireMessage(refusal({{"rope_type", "default"}, {"partial_rotary_factor", 0.5}}), {"partial_rotary_factor", "0.5"});
  RequireMessage(refusal({{"rope_type", "default"}, {"mrope_section", {1, 2}}}), {"mrope_section"});
  RequireMessage(refusal({{"rope_type", "default"}, {"factor", 2}}), {"factor"});
  RequireMessage(refusal({{"full_attention", {{"rope_type", "default"}}}}), {"full_attention"});
  RequireMessage(refusal({{"rope_type", "default"}, {"rope_theta", -1}}), {"rope_theta", "-1"});
}

TEST_CASE("ModelConfig: what changes the arithmetic and is not supported is refused by name and value",
          "[checkpoint]") {
  const json config = SmallConfig();
  RequireMessage(Refusal(config, {{"model_type", "gpt2"}}), {"config.json", "gpt2", "qwen3"});
  RequireMessage(Refusal(config, {{"model_type", nullptr}}), {"model_type", "missing"});
  RequireMessage(Refusal(config, {{"model_type", "qwen3_moe"}}), {"qwen3_moe"});
  RequireMessage(Refusal(config, {{"architectures", {"LlamaForSequenceClassification"}}}),
                 {"LlamaForSequenceClassification"});
  RequireMessage(Refusal(config, {{"quantization_config", {{"bits", 4}}}}), {"quantization_config"});
  RequireMessage(Refusal(config, {{"hidden_act", "gelu"}}), {"hidden_act", "gelu"});
  RequireMessage(Refusal(config, {{"num_local_experts", 8}}), {"num_local_experts", "8"});
  RequireMessage(Refusal(config, {{"attn_logit_softcapping", 50.0}}), {"attn_logit_softcapping", "50"});
  RequireMessage(Refusal(config, {{"residual_multiplier", 0.22}}), {"residual_multiplier", "0.22"});
  RequireMessage(Refusal(config, {{"logits_scaling", 8}}), {"logits_scaling"});
  RequireMessage(Refusal(config, {{"partial_rotary_factor", 0.5}}), {"partial_rotary_factor"});
  RequireMessage(Refusal(config, {{"sliding_window", 32}}), {"sliding_window", "32"});
  RequireMessage(Refusal(config, {{"auto_map", {{"AutoModelForCausalLM", "own.Own"}}}}), {"auto_map"});
  RequireMessage(Refusal(config, {{"per_layer_config", {{"0", {{"intermediate_size", 8}}}}}}), {"per_layer_config"});
  RequireMessage(Refusal(config, {{"dtype", "float8_e4m3fn"}}), {"float8_e4m3fn"});
  RequireMessage(Refusal(Family("mistral", "MistralForCausalLM"), {{"attention_bias", true}}),
                 {"attention_bias", "mistral"});
  RequireMessage(
      Refusal(Family("qwen2", "Qwen2ForCausalLM"), {{"layer_types", {"full_attention", "linear_attention"}}}),
      {"linear_attention"});
  REQUIRE_OK(Refusal(config, {{"residual_multiplier", 1.0},
                              {"num_local_experts", 0},
                              {"unsloth_version", "2025.1"},
                              {"pretraining_tp", 2},
                              {"auto_map", {{"AutoTokenizer", "x"}}}}));
}

TEST_CASE(
    "ModelConfig: numbers that are missing, of another kind or out of bounds are refused before anything is allocated",
    "[checkpoint]") {
  const json config = SmallConfig();
  RequireMessage(Refusal(config, {{"hidden_size", nullptr}}), {"hidden_size", "missing"});
  RequireMessage(Refusal(config, {{"hidden_size", "16"}}), {"hidden_size", "\"16\""});
  RequireMessage(Refusal(config, {{"hidden_size", 16.5}}), {"16.5"});
  RequireMessage(Refusal(config, {{"num_hidden_layers", -1}}), {"num_hidden_layers", "-1"});
  RequireMessage(Refusal(config, {{"num_hidden_layers", 4000000000000}}), {"4000000000000"});
  RequireMessage(Refusal(config, {{"vocab_size", 18446744073709551615u}}), {"18446744073709551615"});
  RequireMessage(Refusal(config, {{"num_key_value_heads", 3}}), {"num_attention_heads", "4", "3"});
  RequireMessage(Refusal(config, {{"num_attention_heads", 3}, {"num_key_value_heads", 3}}),
                 {"hidden_size", "3", "head_dim"});
  RequireMessage(Refusal(config, {{"head_dim", 5}}), {"odd"});
  RequireMessage(Refusal(config, {{"tie_word_embeddings", 1}}), {"tie_word_embeddings"});
  RequireMessage(ParseModelConfig("{\"a\": 1, \"a\": 2}", "c").status(), {"'c'", "'a'", "twice"});
  RequireMessage(ParseModelConfig("[]", "c").status(), {"not a JSON object"});
  RequireMessage(ParseModelConfig("", "c").status(), {"not valid JSON"});
  RequireMessage(ParseModelConfig(std::string(100000, '['), "c").status(), {"deeper"});
}

TEST_CASE("ModelConfig: a sliding window limits the sequence length", "[checkpoint]") {
  json mistral = Family("mistral", "MistralForCausalLM");
  mistral["sliding_window"] = 32;
  const ModelConfig config = Parse(mistral);
  REQUIRE_OK(CheckSequenceLength(config, 32));
  RequireMessage(CheckSequenceLength(config, 33), {"33", "sliding_window 32"});
  RequireMessage(CheckSequenceLength(config, 65), {"65", "max_position_embeddings 64"});
  RequireMessage(CheckSequenceLength(config, 1), {"1"});

  json qwen = Family("qwen2", "Qwen2ForCausalLM");
  qwen.update({{"sliding_window", 32}, {"use_sliding_window", false}, {"max_window_layers", 1}});
  CHECK(Parse(qwen).sliding_window == 0);
  qwen["use_sliding_window"] = true;
  CHECK(Parse(qwen).sliding_window == 32);
  qwen["max_window_layers"] = 2;
  CHECK(Parse(qwen).sliding_window == 0);
  qwen["layer_types"] = {"full_attention", "sliding_attention"};
  CHECK(Parse(qwen).sliding_window == 32);
}

json Exported(const json& layers) {
  json config = SmallConfig();
  config.update({{"model_type", "espalier"},
                 {"base_model_type", "llama"},
                 {"architectures", {"EspalierForCausalLM"}},
                 {"per_layer_config", layers}});
  return config;
}

TEST_CASE("ModelConfig: an export's layers are read from per_layer_config", "[checkpoint]") {
  const ModelConfig config =
      Parse(Exported({{"0", {{"skip", {"attention"}}, {"intermediate_size", 8}}},
                      {"01", {{"num_attention_heads", 3}, {"query_to_kv", {0, 1, 1}}, {"skip", {"mlp"}}}}}));
  CHECK(config.layers[0] == LayerShape{{}, 0, 8});
  CHECK(config.layers[1] == LayerShape{{0, 1, 1}, 2, 0});
  CHECK(config.num_heads == 4);
  CHECK(Parse(Exported(json::object())).layers == Parse(SmallConfig()).layers);

  const auto refusal = [](const json& layers) {
    return ParseModelConfig(Exported(layers).dump(), "config.json").status();
  };
  RequireMessage(refusal({{"2", {{"intermediate_size", 8}}}}), {"'2'", "0 to 1"});
  RequireMessage(refusal({{"x", {{"intermediate_size", 8}}}}), {"'x'"});
  RequireMessage(refusal({{"0", {{"intermediate_size", 8}}}, {"00", {{"intermediate_size", 8}}}}), {"twice"});
  RequireMessage(refusal({{"0", {{"intermediate_size", 25}}}}), {"per_layer_config[0]", "intermediate_size", "25"});
  RequireMessage(refusal({{"0", {{"num_attention_heads", 3}}}}), {"3 query heads", "2 KV heads", "query_to_kv"});
  RequireMessage(refusal({{"0", {{"num_attention_heads", 3}, {"query_to_kv", {0, 1, 2}}}}}), {"query_to_kv", "2"});
  RequireMessage(refusal({{"0", {{"num_attention_heads", 3}, {"query_to_kv", {0, 1}}}}}), {"query_to_kv", "3"});
  RequireMessage(refusal({{"0", {{"skip", {"attention"}}, {"num_key_value_heads", 1}}}}),
                 {"num_key_value_heads", "skipped"});
  RequireMessage(refusal({{"0", {{"skip", {"ffn"}}}}}), {"ffn"});
  RequireMessage(refusal({{"0", {{"hidden_size", 8}}}}), {"hidden_size"});
}

}  // namespace
}  // namespace espalier::checkpoint
