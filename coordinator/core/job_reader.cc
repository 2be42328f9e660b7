#include "coordinator/core/job_reader.h"

#include <filesystem>
#include <memory>

#include "absl/strings/str_cat.h"
#include "common/base/sha256.h"
#include "common/base/status_macros.h"
#include "common/checkpoint/gguf_tokenizer.h"
#include "common/checkpoint/model_folder.h"
#include "common/checkpoint/token_file.h"
#include "common/checkpoint/token_sidecar.h"

namespace espalier {
namespace {

absl::Status AtField(const char* field, const absl::Status& status) {
  if (status.ok()) return status;
  // What is wrong with a file that the user named is wrong with the request.
  const bool is_request = status.code() == absl::StatusCode::kNotFound || status.code() == absl::StatusCode::kDataLoss ||
                          status.code() == absl::StatusCode::kPermissionDenied;
  return absl::Status(is_request ? absl::StatusCode::kInvalidArgument : status.code(),
                      absl::StrCat("spec.", field, ": ", status.message()));
}

absl::Status CheckPath(const char* field, const std::string& path) {
  if (path.empty()) return absl::InvalidArgumentError(absl::StrCat("spec.", field, ": is required"));
  if (path.find('\0') != std::string::npos || path.size() > 4096) {
    return absl::InvalidArgumentError(absl::StrCat("spec.", field, ": is no path"));
  }
  if (!std::filesystem::path(path).is_absolute()) {
    return absl::InvalidArgumentError(
        absl::StrCat("spec.", field, ": '", path, "' is relative; coordinator and workers need an absolute path"));
  }
  return absl::OkStatus();
}

// Digest and number of tokens of a token file; the ids are checked against the vocabulary.
absl::Status ReadTokens(const char* field, const std::string& path, int vocabulary_size, std::string* digest,
                        int64_t* num_tokens, int* row_length) {
  ESPALIER_RETURN_IF_ERROR(CheckPath(field, path));
  const auto file = checkpoint::TokenFile::Open(path, vocabulary_size);
  if (!file.ok()) return AtField(field, file.status());
  *num_tokens = (*file)->num_tokens();
  *row_length = (*file)->row_length();
  const absl::StatusOr<std::string> hashed = Sha256HexOfFile(path);
  if (!hashed.ok()) return AtField(field, hashed.status());
  *digest = *hashed;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<JobInputs> ReadJobInputs(const JobSpec& spec, const PathRoots& roots) {
  JobInputs inputs;
  ESPALIER_RETURN_IF_ERROR(CheckPath("model_folder", spec.model_folder));
  ESPALIER_RETURN_IF_ERROR(roots.Check("spec.model_folder", spec.model_folder));
  ESPALIER_RETURN_IF_ERROR(roots.Check("spec.tokens_path", spec.tokens_path));
  if (!spec.evaluation_path.empty()) ESPALIER_RETURN_IF_ERROR(roots.Check("spec.evaluation_path", spec.evaluation_path));
  const auto folder = checkpoint::ModelFolder::Open(spec.model_folder);
  if (!folder.ok()) return AtField("model_folder", folder.status());
  inputs.dense = (*folder)->config();

  int64_t num_tokens = 0;
  int ignored_rows = 0;
  ESPALIER_RETURN_IF_ERROR(ReadTokens("tokens_path", spec.tokens_path, inputs.dense.vocabulary_size,
                                      &inputs.tokens_digest, &num_tokens, &inputs.row_length));
  inputs.num_tokens = num_tokens;
  const absl::Status tokenizer = checkpoint::CheckTokenizer(spec.tokens_path, spec.model_folder);
  if (!tokenizer.ok()) return AtField("tokens_path", tokenizer);
  if (!spec.evaluation_path.empty()) {
    ESPALIER_RETURN_IF_ERROR(ReadTokens("evaluation_path", spec.evaluation_path, inputs.dense.vocabulary_size,
                                        &inputs.evaluation_digest, &inputs.evaluation_tokens, &ignored_rows));
    const absl::Status of_evaluation = checkpoint::CheckTokenizer(spec.evaluation_path, spec.model_folder);
    if (!of_evaluation.ok()) return AtField("evaluation_path", of_evaluation);
  }
  const absl::StatusOr<std::string> digest = checkpoint::FolderDigest(spec.model_folder);
  if (!digest.ok()) return AtField("model_folder", digest.status());
  inputs.model_digest = *digest;
  return inputs;
}

std::vector<std::string> WarningsOfFiles(const JobSpec& spec, const JobInputs& inputs) {
  if (spec.runtime != Runtime::kGguf) return {};
  const absl::Status taken = checkpoint::CheckGgufTokenizer(spec.model_folder, inputs.dense.vocabulary_size);
  if (taken.ok()) return {};
  return {absl::StrCat("runtime GGUF: the result's tokenizer cannot be exported: ", taken.message())};
}

}  // namespace espalier
