// Files of models and tokens.
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/checkpoint/first_parent_folder.h"
#include "common/checkpoint/model_folder.h"
#include "common/checkpoint/safetensors.h"
#include "common/checkpoint/token_file.h"
#include "common/domain/ladder.h"
#include "tests/fuzz/targets.h"
#include "tests/support/paths.h"

namespace espalier::fuzz {

void FuzzSafetensors(std::string_view input) {
  std::map<std::string, std::string> metadata;
  const auto tensors = checkpoint::ParseSafetensorsHeader(input, "input", &metadata);
  if (!tensors.ok()) return;
  const auto size = static_cast<int64_t>(input.size());
  for (const auto& [name, tensor] : *tensors) {
    Demand(tensor.begin >= 8 && tensor.begin <= tensor.end && tensor.end <= size, "a tensor lies inside of its file");
    Demand(tensor.num_elements() * checkpoint::BytesOf(tensor.dtype) == tensor.end - tensor.begin,
           "a tensor has the bytes of its shape");
  }
}

std::vector<std::string> SafetensorsSeeds() {
  const std::string weights(24, 'w');
  const std::vector<checkpoint::TensorToWrite> tensors = {
      {"model.norm.weight", checkpoint::Dtype::kFloat32, {4}, std::string_view(weights).substr(0, 16)},
      {"scale", checkpoint::Dtype::kBFloat16, {2, 2}, std::string_view(weights).substr(16)}};
  return {checkpoint::SerializeSafetensors(tensors, {{"format", "pt"}}), checkpoint::SerializeSafetensors({}, {}),
          FileOf(testing::SourcePath("examples/tiny/model.safetensors"), 20'000)};
}

void FuzzModelConfig(std::string_view input) {
  const std::string text(input);
  const auto config = checkpoint::ParseModelConfig(text, "input");
  if (!config.ok()) return;
  Demand(config->num_layers == static_cast<int>(config->layers.size()), "a config has as many layers as it says");
  Demand(CountParameters(*config) > 0, "a model that was accepted has parameters");
  const auto ladder = BuildLadder(*config, {});
  if (ladder.ok()) Demand(!ladder->units.empty(), "a ladder has units");
  (void)checkpoint::ParseRemovedUnits(text, "input", *config);
}

std::vector<std::string> ModelConfigSeeds() {
  return {FileOf(testing::SourcePath("examples/tiny/config.json"), 100'000),
          R"({"model_type":"qwen2","hidden_size":896,"num_hidden_layers":24,"num_attention_heads":14,"num_key_value_heads":2,)"
          R"("intermediate_size":4864,"vocab_size":151936,"max_position_embeddings":32768,"tie_word_embeddings":true,)"
          R"("rope_theta":1000000.0,"rms_norm_eps":1e-06,"hidden_act":"silu","use_sliding_window":false,"torch_dtype":"bfloat16"})",
          R"({"model_type":"qwen3","head_dim":128,"hidden_size":1024,"num_hidden_layers":28,"num_attention_heads":16,)"
          R"("num_key_value_heads":8,"intermediate_size":3072,"vocab_size":151936,"max_position_embeddings":40960,)"
          R"("tie_word_embeddings":true,"rope_theta":1000000,"rms_norm_eps":1e-06,"attention_bias":false})"};
}

void FuzzTokenFile(std::string_view input) {
  static const int memory = ::memfd_create("tokens", 0);
  static const std::string path = absl::StrCat("/proc/self/fd/", memory);
  if (::ftruncate(memory, 0) != 0 || ::pwrite(memory, input.data(), input.size(), 0) != static_cast<ssize_t>(input.size())) return;
  const auto file = checkpoint::TokenFile::Open(path, 4096);
  if (!file.ok()) return;
  const int64_t count = (*file)->num_tokens();
  Demand(count >= 0 && count <= static_cast<int64_t>(input.size()), "no more tokens than bytes");
  std::vector<int64_t> tokens(static_cast<size_t>(count));
  (*file)->Read(0, count, tokens.data());
  for (const int64_t token : tokens) Demand(token >= 0 && token < 4096, "every token is in the vocabulary");
  if ((*file)->row_length() > 0) Demand(count % (*file)->row_length() == 0, "rows are whole");
}

std::vector<std::string> TokenFileSeeds() {
  const auto file = [](const std::string& type, const std::string& shape, const std::string& data) {
    std::string header = absl::StrCat("{'descr': '", type, "', 'fortran_order': False, 'shape': (", shape, "), }");
    header.append(64 - (10 + header.size() + 1) % 64, ' ');
    header.push_back('\n');
    std::string all("\x93NUMPY\x01\x00", 8);
    all.push_back(static_cast<char>(header.size() % 256));
    all.push_back(static_cast<char>(header.size() / 256));
    return all + header + data;
  };
  return {file("<u2", "4,", std::string("\x01\x00\x02\x00\x03\x00\xff\x0f", 8)),
          file("<u2", "2, 2", std::string(8, '\0')), file("<i4", "2,", std::string(8, '\0')),
          file("<i8", "1, 1", std::string(8, '\0'))};
}

}  // namespace espalier::fuzz
