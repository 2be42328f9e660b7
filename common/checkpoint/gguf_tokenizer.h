// A folder's tokenizer.json as GGUF metadata.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "common/checkpoint/gguf_header.h"

namespace espalier::checkpoint {

// Adds the tokenizer.ggml keys. Byte-level BPE with the splitting rule of GPT-2, Llama 3 or Qwen2, and SentencePiece-like
// BPE with byte fallback (Llama 1 and 2, Mistral) are known to llama.cpp under names of their own; another rule is
// refused with its text, because llama.cpp would silently split text otherwise. A folder without tokenizer.json, or
// `without` set, gives a file that takes and gives token ids only.
absl::Status AddTokenizer(const std::string& folder, int vocabulary_size, bool without, GgufHeader* header);

// Whether AddTokenizer would take the folder's tokenizer: its refusal, before anything is spent on a model to export.
absl::Status CheckGgufTokenizer(const std::string& folder, int vocabulary_size);

}  // namespace espalier::checkpoint
