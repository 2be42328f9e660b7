#include "common/checkpoint/token_sidecar.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/base/files.h"
#include "common/base/sha256.h"
#include "common/base/status_macros.h"
#include "common/checkpoint/config_fields.h"
#include "common/checkpoint/strict_json.h"

namespace espalier::checkpoint {

absl::Status CheckTokenizer(const std::string& tokens_path, const std::string& model_folder) {
  const std::string path = tokens_path + ".json";
  const absl::StatusOr<std::string> text = ReadFile(path, 1'000'000);
  if (absl::IsNotFound(text.status())) return absl::OkStatus();
  if (!text.ok()) return text.status();
  ESPALIER_ASSIGN_OR_RETURN(const nlohmann::json sidecar, ParseStrictJson(*text, path, 16));
  ConfigFields fields(sidecar, path);
  const std::string made_by = fields.Text("tokenizer_digest", "");
  if (fields.status().ok() && made_by.size() != 64)
    fields.Fail("'tokenizer_digest' is no SHA-256: this is not what `espalier tokens` writes beside its file");
  if (!fields.status().ok()) return fields.status();
  const std::string tokenizer = model_folder + "/tokenizer.json";
  const absl::StatusOr<std::string> own = Sha256HexOfFile(tokenizer);
  if (absl::IsNotFound(own.status())) return absl::OkStatus();
  if (!own.ok()) return own.status();
  if (*own == made_by) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("'", tokens_path, "' was made with another tokenizer (",
                                                 made_by.substr(0, 12), ", by ", path, ") than '", tokenizer, "' (",
                                                 own->substr(0, 12),
                                                 "); make it anew with `espalier tokens`, with this model"));
}

}  // namespace espalier::checkpoint
