#include "worker/engine/export_model.h"

#include <stdlib.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/files.h"
#include "common/base/status_macros.h"
#include "common/checkpoint/export_folder.h"
#include "common/checkpoint/model_folder.h"
#include "worker/engine/number_format.h"
#include "worker/engine/perplexity.h"
#include "worker/model/forward.h"

namespace espalier {
namespace {

constexpr int64_t kMostConfigBytes = int64_t{16} << 20;

// A folder under the system's temporary folder that is gone at the end.
class ScratchFolder {
 public:
  static absl::StatusOr<std::unique_ptr<ScratchFolder>> Make() {
    std::error_code error;
    std::string pattern = (std::filesystem::temp_directory_path(error) / "espalier-proof-XXXXXX").string();
    if (error)
      return absl::UnavailableError(absl::StrCat("no temporary folder for the export's proof: ", error.message()));
    if (::mkdtemp(pattern.data()) == nullptr) return ErrnoStatus("cannot make a temporary folder", pattern);
    auto folder = std::make_unique<ScratchFolder>();
    folder->path_ = pattern;
    return folder;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

checkpoint::Dtype DtypeOf(NumberFormat format) {
  switch (format) {
    case NumberFormat::kFloat32: return checkpoint::Dtype::kFloat32;
    case NumberFormat::kFloat16: return checkpoint::Dtype::kFloat16;
    case NumberFormat::kBFloat16: return checkpoint::Dtype::kBFloat16;
  }
  return checkpoint::Dtype::kFloat32;
}

// The candidate's weights in host memory, in the number format of the checkpoint.
std::vector<std::pair<std::string, torch::Tensor>> StoredTensors(const LanguageModel& candidate, NumberFormat format) {
  std::vector<std::pair<std::string, torch::Tensor>> stored;
  for (const auto& [name, tensor] : NamedTensors(candidate)) {
    stored.emplace_back(name, tensor.detach().to(ScalarTypeOf(format)).cpu().contiguous());
  }
  return stored;
}

absl::StatusOr<std::vector<checkpoint::ExportFile>> MakeFiles(
    const TaskRun& run, const LanguageModel& candidate,
    const std::vector<std::pair<std::string, torch::Tensor>>& stored, const std::string& provenance_json) {
  checkpoint::ExportInput input;
  ESPALIER_ASSIGN_OR_RETURN(input.dense_config_json,
                            ReadFile(run.context.model_folder + "/config.json", kMostConfigBytes));
  ESPALIER_ASSIGN_OR_RETURN(input.copied_files, checkpoint::ReadCopiedFiles(run.context.model_folder));
  input.dense = run.dense->config;
  input.candidate = candidate.config;
  input.provenance_json = provenance_json;
  for (const auto& [name, tensor] : stored) {
    input.tensors.push_back({name, DtypeOf(run.dense->config.number_format), tensor.sizes().vec(),
                             std::string_view(static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes())});
  }
  return checkpoint::MakeExport(input);
}

// Over two windows of the job's tokens, one at a time.
absl::StatusOr<double> MaxLogitDifference(const TaskRun& run, const LanguageModel& a, const LanguageModel& b) {
  constexpr int64_t kMostPositions = 512;
  const torch::NoGradGuard no_grad;
  const int64_t length = std::min<int64_t>(run.context.sequence_length, kMostPositions);
  const RotaryTables rotary = MakeRotaryTables(a.config, length, a.device(), torch::kFloat32);
  double largest = 0;
  for (const int64_t window : {int64_t{0}, run.tokens->num_windows - 1}) {
    ESPALIER_RETURN_IF_ERROR(run.progress.CheckStop());
    const torch::Tensor tokens_BL = run.tokens->Rows({window}).narrow(1, 0, length);
    const double difference = (Logits(a, tokens_BL, rotary) - Logits(b, tokens_BL, rotary)).abs().max().item<double>();
    if (!std::isfinite(difference)) return absl::InternalError("the exported model's logits are not finite");
    largest = std::max(largest, difference);
  }
  return largest;
}

absl::StatusOr<ExportProof> Prove(TaskRun& run, const LanguageModel& candidate, const std::string& folder) {
  const NumberFormat format = run.dense->config.number_format;
  ExportProof proof;
  ESPALIER_ASSIGN_OR_RETURN(const auto files, checkpoint::ModelFolder::Open(folder));
  ESPALIER_ASSIGN_OR_RETURN(auto read_back, LoadLanguageModel(*files, run.parts.device, torch::kFloat32));
  {
    const LanguageModel exact = RoundedCopy(candidate, format, torch::kFloat32);
    ESPALIER_ASSIGN_OR_RETURN(proof.max_logit_difference, MaxLogitDifference(run, exact, *read_back));
  }
  if (proof.max_logit_difference > kMostLogitDifference) {
    return absl::InternalError(absl::StrCat("the exported folder's logits differ from the candidate's by ",
                                            proof.max_logit_difference, ", more than ", kMostLogitDifference));
  }
  if (run.parts.dtype != torch::kFloat32) *read_back = RoundedCopy(*read_back, format, run.parts.dtype);
  ESPALIER_ASSIGN_OR_RETURN(proof.perplexity, EvaluationPerplexity(run, *read_back));
  return proof;
}

}  // namespace

absl::StatusOr<ExportProof> ExportModel(TaskRun& run, const LanguageModel& candidate,
                                        const std::string& provenance_json, std::vector<ExportedFile>& files) {
  run.progress.Begin("export", 0);
  ESPALIER_ASSIGN_OR_RETURN(const std::unique_ptr<ScratchFolder> folder, ScratchFolder::Make());
  {
    const auto stored = StoredTensors(candidate, run.dense->config.number_format);
    ESPALIER_ASSIGN_OR_RETURN(const auto made, MakeFiles(run, candidate, stored, provenance_json));
    for (const checkpoint::ExportFile& file : made) {
      ESPALIER_RETURN_IF_ERROR(run.progress.CheckStop());
      ESPALIER_ASSIGN_OR_RETURN(const std::string digest, run.parts.artifacts->PutPieces(file.pieces()));
      files.push_back({file.name, digest, file.num_bytes()});
    }
    ESPALIER_RETURN_IF_ERROR(checkpoint::WriteExport(folder->path(), made));
  }
  return Prove(run, candidate, folder->path());
}

}  // namespace espalier
