// A model folder (dense, or one of our exports) as the folder that another runtime loads. The tensors are the same bytes
// under the same names; what differs is config.json and the code beside it. Pure but for the folder that is read.
// GGUF, which is one file, has gguf_writer.h.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "common/checkpoint/export_folder.h"
#include "common/checkpoint/model_folder.h"

namespace espalier::checkpoint {

// `model` must outlive the files, whose pieces are views of it. kInvalidArgument names the unit that does not fit
// (CheckRuntimeFits).
//
// Nemotron-NAS: architectures ["DeciLMForCausalLM"], model_type "nemotron-nas", a list block_configs with
// attention {no_op, n_heads_in_group} and ffn {no_op, ffn_mult}, and a configuration class that makes objects of it, as
// vLLM wants them. No tensor of a removed unit, no norm of it. A sliding window becomes max_position_embeddings.
absl::StatusOr<std::vector<ExportFile>> MakeNemotronNasExport(const ModelFolder& model);

// vLLM's AnyModel: the dense model's own model_type, architectures ["AnyModel"], base_architecture, and the sparse
// per_layer_config. Stock transformers reads such a folder as the dense model and makes up what is missing.
absl::StatusOr<std::vector<ExportFile>> MakeAnyModelExport(const ModelFolder& model);

// The folder once more, as it is: config.json, code, weights, tokenizer, provenance.
absl::StatusOr<std::vector<ExportFile>> MakeHuggingFaceExport(const ModelFolder& model);

}  // namespace espalier::checkpoint
