// What `espalier tokens` writes beside a token file, FILE.npy.json: whose tokenizer made it.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace espalier::checkpoint {

// kInvalidArgument, naming both files and digests, when the sidecar says that another tokenizer than the model's made the
// tokens, or when it is no sidecar. OK without a sidecar (files of other tools) and for a model without tokenizer.json.
absl::Status CheckTokenizer(const std::string& tokens_path, const std::string& model_folder);

}  // namespace espalier::checkpoint
