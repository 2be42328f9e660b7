// Compares the engine's logits with reference logits: logits_tool LIST, where each line of LIST holds a model folder, a
// .npy file of token rows and a safetensors file with "logits" [rows, length, vocabulary] in fp32, separated by tabs.
// Prints the largest absolute difference of each; exit code 1 when a model cannot be compared.
#include <torch/types.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/checkpoint/model_folder.h"
#include "common/checkpoint/safetensors.h"
#include "common/checkpoint/token_file.h"
#include "worker/model/forward.h"
#include "worker/model/language_model.h"

namespace espalier {
namespace {

absl::StatusOr<torch::Tensor> ReadTokens(const std::string& path, int vocabulary_size) {
  ESPALIER_ASSIGN_OR_RETURN(const auto file, checkpoint::TokenFile::Open(path, vocabulary_size));
  torch::Tensor tokens = torch::empty({file->num_tokens()}, torch::kInt64);
  file->Read(0, file->num_tokens(), tokens.mutable_data_ptr<int64_t>());
  return tokens.view({-1, file->row_length()});
}

absl::StatusOr<double> LargestDifference(const std::string& folder_path, const std::string& tokens_path,
                                         const std::string& reference_path) {
  ESPALIER_ASSIGN_OR_RETURN(const auto folder, checkpoint::ModelFolder::Open(folder_path));
  ESPALIER_ASSIGN_OR_RETURN(const auto model, LoadLanguageModel(*folder, torch::kCPU, torch::kFloat32));
  ESPALIER_ASSIGN_OR_RETURN(const torch::Tensor tokens, ReadTokens(tokens_path, model->config.vocabulary_size));
  ESPALIER_ASSIGN_OR_RETURN(const auto reference_file, checkpoint::SafetensorsFile::Open(reference_path));
  const checkpoint::TensorInfo& info = reference_file->tensors().at("logits");
  torch::Tensor reference = torch::empty(info.shape, torch::kFloat32);
  const std::string_view bytes = reference_file->Bytes(info);
  if (bytes.size() != reference.nbytes()) return absl::InvalidArgumentError(absl::StrCat(reference_path, ": not fp32"));
  std::memcpy(reference.mutable_data_ptr(), bytes.data(), bytes.size());

  const torch::NoGradGuard no_grad;
  const RotaryTables rotary = MakeRotaryTables(model->config, tokens.size(1), torch::kCPU, torch::kFloat32);
  const torch::Tensor logits = Logits(*model, tokens, rotary);
  if (logits.sizes() != reference.sizes()) return absl::InvalidArgumentError(absl::StrCat(reference_path, ": other shape"));
  return (logits - reference).abs().max().item<double>();
}

int Main(const char* list_path) {
  std::ifstream list(list_path);
  bool all_ok = true;
  for (std::string line; std::getline(list, line);) {
    std::istringstream fields(line);
    std::string folder, tokens, reference;
    std::getline(fields, folder, '\t');
    std::getline(fields, tokens, '\t');
    std::getline(fields, reference, '\t');
    const absl::StatusOr<double> difference = LargestDifference(folder, tokens, reference);
    if (difference.ok()) {
      std::printf("%s\t%.3g\n", folder.c_str(), *difference);
    } else {
      std::printf("%s\t%s\n", folder.c_str(), difference.status().ToString().c_str());
      all_ok = false;
    }
  }
  return all_ok ? 0 : 1;
}

}  // namespace
}  // namespace espalier

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: logits_tool LIST\n");
    return 2;
  }
  return espalier::Main(argv[1]);
}
