#include "common/checkpoint/gguf_tokenizer.h"

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/files.h"
#include "common/base/status_macros.h"
#include "common/checkpoint/strict_json.h"

namespace espalier::checkpoint {
namespace {

using nlohmann::json;

constexpr int64_t kMaxTokenizerBytes = 200'000'000;
enum TokenType : int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

struct KnownSplit {
  const char* name;  // llama.cpp's
  const char* pattern;
};
constexpr KnownSplit kSplits[] = {
    {"llama-bpe",
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
    {"qwen2",
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
};

absl::Status Refuse(const std::string& folder, const std::string& what) {
  return absl::InvalidArgumentError(
      absl::StrCat("'", folder, "/tokenizer.json': ", what,
                   "; --without-tokenizer writes a GGUF that takes and gives token ids only"));
}

// A member's member, ... or null.
const json& At(const json& value, const std::string& key) {
  static const json none;
  if (!value.is_object()) return none;
  const auto found = value.find(key);
  return found == value.end() ? none : *found;
}

std::string TextOf(const json& value) { return value.is_string() ? value.get<std::string>() : std::string(); }

// The steps of a "Sequence", or the one step that stands alone.
std::vector<json> Steps(const json& value, const char* list) {
  if (value.is_null()) return {};
  if (TextOf(At(value, "type")) == "Sequence" && At(value, list).is_array())
    return At(value, list).get<std::vector<json>>();
  return {value};
}

// llama.cpp's name of the rule by which byte-level BPE splits text first; empty when it has none.
std::string SplitName(const json& tokenizer) {
  const std::vector<json> steps = Steps(At(tokenizer, "pre_tokenizer"), "pretokenizers");
  if (steps.size() == 1 && TextOf(At(steps[0], "type")) == "ByteLevel")
    return At(steps[0], "use_regex") == false ? "" : "gpt-2";
  if (steps.size() != 2 || TextOf(At(steps[0], "type")) != "Split" || TextOf(At(steps[1], "type")) != "ByteLevel" ||
      At(steps[1], "use_regex") != false) {
    return "";
  }
  const std::string pattern = TextOf(At(At(steps[0], "pattern"), "Regex"));
  for (const KnownSplit& known : kSplits) {
    if (pattern == known.pattern) return known.name;
  }
  return "";
}

// Whether text gets a leading space: SentencePiece's "dummy prefix".
bool AddsSpace(const json& tokenizer) {
  for (const json& step : Steps(At(tokenizer, "normalizer"), "normalizers")) {
    if (TextOf(At(step, "type")) == "Prepend") return true;
  }
  for (const json& step : Steps(At(tokenizer, "pre_tokenizer"), "pretokenizers")) {
    if (TextOf(At(step, "type")) == "Metaspace")
      return TextOf(At(step, "prepend_scheme")) != "never" && At(step, "add_prefix_space") != false;
  }
  return false;
}

// Whether the post-processor's template for one text begins or ends with a special token.
void ReadTemplate(const json& tokenizer, bool* begins, bool* ends) {
  for (const json& step : Steps(At(tokenizer, "post_processor"), "processors")) {
    const json& single = At(step, "single");
    if (TextOf(At(step, "type")) != "TemplateProcessing" || !single.is_array() || single.empty()) continue;
    *begins = At(single.front(), "SpecialToken").is_object();
    *ends = At(single.back(), "SpecialToken").is_object();
  }
}

struct Vocabulary {
  std::vector<std::string> tokens;
  std::vector<int32_t> types;
  std::map<std::string, int> ids;
};

absl::StatusOr<Vocabulary> ReadVocabulary(const json& tokenizer, const std::string& folder, int size) {
  Vocabulary result;
  for (int i = 0; i < size; ++i) result.tokens.push_back(absl::StrCat("[PAD", i, "]"));
  result.types.assign(static_cast<size_t>(size), kUnused);
  const auto put = [&](const std::string& text, const json& id, int32_t type) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() >= static_cast<uint64_t>(size))
      return Refuse(folder, absl::StrCat("token '", text, "' has the id ", ShortText(id), ", the model has ", size));
    const auto index = id.get<size_t>();
    result.tokens[index] = text;
    result.types[index] = type;
    result.ids[text] = static_cast<int>(index);
    return absl::OkStatus();
  };
  const json& model = At(tokenizer, "model");
  const bool with_bytes = At(model, "byte_fallback") == true;
  const std::string unknown = TextOf(At(model, "unk_token"));
  const json& entries = At(model, "vocab");
  if (!entries.is_object()) return Refuse(folder, "model.vocab is no object");
  for (const auto& [text, id] : entries.items()) {
    const bool is_byte = with_bytes && text.size() == 6 && absl::StartsWith(text, "<0x") && text.back() == '>';
    ESPALIER_RETURN_IF_ERROR(put(text, id, is_byte ? kByte : text == unknown ? kUnknown : kNormal));
  }
  const json& added = At(tokenizer, "added_tokens");
  for (const json& token : added.is_array() ? added : json::array()) {
    const std::string text = TextOf(At(token, "content"));
    const int32_t type = text == unknown && !text.empty() ? kUnknown
                         : At(token, "special") == true   ? kControl
                                                          : kUserDefined;
    ESPALIER_RETURN_IF_ERROR(put(text, At(token, "id"), type));
  }
  return result;
}

using Merge = std::pair<std::string, std::string>;
absl::StatusOr<std::vector<Merge>> ReadMerges(const json& tokenizer, const std::string& folder) {
  std::vector<Merge> merges;
  const json& list = At(At(tokenizer, "model"), "merges");
  for (const json& merge : list.is_array() ? list : json::array()) {
    if (merge.is_string()) {
      const auto text = merge.get<std::string>();
      const size_t space = text.find(' ', 1);
      if (space == std::string::npos) return Refuse(folder, absl::StrCat("merge ", ShortText(merge), " is no pair"));
      merges.emplace_back(text.substr(0, space), text.substr(space + 1));
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      merges.emplace_back(merge[0], merge[1]);
    } else {
      return Refuse(folder, absl::StrCat("merge ", ShortText(merge), " is no pair"));
    }
  }
  return merges;
}

// SentencePiece merges the pair whose piece has the highest score; a converted tokenizer.json keeps that order as the
// order of its merges.
std::vector<float> Scores(const Vocabulary& vocabulary, const std::vector<Merge>& merges) {
  std::vector<float> scores(vocabulary.tokens.size(), 0.0f);
  std::set<int> seen;
  float next = -1;
  for (const auto& [left, right] : merges) {
    const auto piece = vocabulary.ids.find(left + right);
    if (piece == vocabulary.ids.end() || !seen.insert(piece->second).second) continue;
    scores[static_cast<size_t>(piece->second)] = next--;
  }
  return scores;
}

// A token's id as config.json or tokenizer_config.json names it.
std::optional<uint32_t> SpecialId(const json& config, const json& settings, const Vocabulary& vocabulary,
                                  const std::string& which) {
  const json& id = At(config, which + "_token_id");
  const json& first = id.is_array() && !id.empty() ? id[0] : id;
  if (first.is_number_unsigned() && first.get<uint64_t>() < vocabulary.tokens.size()) return first.get<uint32_t>();
  const json& token = At(settings, which + "_token");
  const auto found = vocabulary.ids.find(token.is_object() ? TextOf(At(token, "content")) : TextOf(token));
  if (found == vocabulary.ids.end()) return std::nullopt;
  return static_cast<uint32_t>(found->second);
}

absl::StatusOr<json> ReadJson(const std::string& path) {
  ESPALIER_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxTokenizerBytes));
  return ParseStrictJson(text, path, 64);
}

absl::StatusOr<json> ReadJsonIfThere(const std::string& path) {
  absl::StatusOr<json> value = ReadJson(path);
  if (absl::IsNotFound(value.status())) return json();
  return value;
}

absl::Status AddSpecials(const std::string& folder, const json& tokenizer, const Vocabulary& vocabulary,
                         GgufHeader* header) {
  ESPALIER_ASSIGN_OR_RETURN(const json config, ReadJsonIfThere(folder + "/config.json"));
  ESPALIER_ASSIGN_OR_RETURN(const json settings, ReadJsonIfThere(folder + "/tokenizer_config.json"));
  const struct {
    const char* ours;
    const char* theirs;
  } names[] = {{"bos", "bos"}, {"eos", "eos"}, {"unk", "unknown"}, {"pad", "padding"}};
  for (const auto& [ours, theirs] : names) {
    if (const auto id = SpecialId(config, settings, vocabulary, ours))
      header->Add(absl::StrCat("tokenizer.ggml.", theirs, "_token_id"), *id);
  }
  bool begins = false, ends = false;
  ReadTemplate(tokenizer, &begins, &ends);
  header->Add("tokenizer.ggml.add_bos_token", begins);
  header->Add("tokenizer.ggml.add_eos_token", ends);
  const std::string chat = TextOf(At(settings, "chat_template"));
  const absl::StatusOr<std::string> file = ReadFile(folder + "/chat_template.jinja", kMaxTokenizerBytes);
  if (file.ok() || !chat.empty()) header->Add("tokenizer.chat_template", file.ok() ? *file : chat);
  return absl::OkStatus();
}

}  // namespace

absl::Status AddTokenizer(const std::string& folder, int vocabulary_size, bool without, GgufHeader* header) {
  absl::StatusOr<json> tokenizer = ReadJson(folder + "/tokenizer.json");
  if (without || absl::IsNotFound(tokenizer.status())) {
    header->Add("tokenizer.ggml.model", "none");
    return absl::OkStatus();
  }
  ESPALIER_RETURN_IF_ERROR(tokenizer.status());
  const json& model = At(*tokenizer, "model");
  if (TextOf(At(model, "type")) != "BPE")
    return Refuse(folder, absl::StrCat("its model is ", ShortText(At(model, "type")), ", only BPE is known"));
  const bool like_sentencepiece = At(model, "byte_fallback") == true;
  const std::string split = like_sentencepiece ? "default" : SplitName(*tokenizer);
  if (split.empty()) {
    return Refuse(folder, absl::StrCat("its way of splitting text, ", ShortText(At(*tokenizer, "pre_tokenizer")),
                                       ", is none that llama.cpp has a name for here"));
  }
  ESPALIER_ASSIGN_OR_RETURN(const Vocabulary vocabulary, ReadVocabulary(*tokenizer, folder, vocabulary_size));
  ESPALIER_ASSIGN_OR_RETURN(const std::vector<Merge> merges, ReadMerges(*tokenizer, folder));
  header->Add("tokenizer.ggml.model", like_sentencepiece ? "llama" : "gpt2");
  header->Add("tokenizer.ggml.pre", split);
  header->Add("tokenizer.ggml.tokens", vocabulary.tokens);
  header->Add("tokenizer.ggml.token_type", vocabulary.types);
  if (like_sentencepiece) {
    header->Add("tokenizer.ggml.scores", Scores(vocabulary, merges));
    header->Add("tokenizer.ggml.add_space_prefix", AddsSpace(*tokenizer));
  } else {
    std::vector<std::string> pairs;
    for (const auto& [left, right] : merges) pairs.push_back(absl::StrCat(left, " ", right));
    header->Add("tokenizer.ggml.merges", pairs);
  }
  return AddSpecials(folder, *tokenizer, vocabulary, header);
}

absl::Status CheckGgufTokenizer(const std::string& folder, int vocabulary_size) {
  GgufHeader ignored;
  return AddTokenizer(folder, vocabulary_size, /*without=*/false, &ignored);
}

}  // namespace espalier::checkpoint
