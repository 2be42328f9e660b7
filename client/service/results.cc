#include "client/service/results.h"

#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/result/evaluate_command.h"
#include "client/result/report_from_job.h"
#include "client/result/report_html.h"
#include "client/service/artifacts.h"
#include "common/base/files.h"
#include "common/base/status_macros.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxProvenanceBytes = int64_t{16} << 20;

// The level bank that the model was made from, by its key and its layers' digests: the export says so itself.
void AddBankDigests(const fs::path& model, RunReport& report) {
  const absl::StatusOr<std::string> text = ReadFile((model / "espalier_provenance.json").string(), kMaxProvenanceBytes);
  if (!text.ok()) return;  // of an earlier version
  const nlohmann::ordered_json said = nlohmann::ordered_json::parse(*text, nullptr, false);
  if (!said.is_object() || !said.contains("bank_key") || !said.contains("bank_layers")) return;
  report.provenance["digests"]["bank"] = {{"key", said["bank_key"]}, {"layers", said["bank_layers"]}};
}

absl::Status WriteAll(Connection& connection, const v1::Job& job, const fs::path& folder, RunReport& report) {
  ESPALIER_RETURN_IF_ERROR(CreateFolders(folder.string()));
  const std::vector<v1::ExportedFile> files(job.result().files().begin(), job.result().files().end());
  ESPALIER_RETURN_IF_ERROR(FetchFolder(connection, files, (folder / "model").string()));
  AddBankDigests(folder / "model", report);
  std::error_code error;
  report.evaluate_command = EvaluateCommand(report, fs::absolute(folder / "model", error).lexically_normal().string());
  ESPALIER_RETURN_IF_ERROR(WriteFileAtomically((folder / "result.json").string(), ToJson(report).dump(2) + "\n"));
  return WriteFileAtomically((folder / "report.html").string(), ReportHtml(report));
}

}  // namespace

absl::Status CheckOutput(const std::string& output) {
  if (output.empty()) return absl::InvalidArgumentError("no output named: give --output FOLDER");
  std::error_code error;
  fs::path path = fs::absolute(output, error).lexically_normal();
  while (!fs::exists(path, error) && path.has_parent_path() && path != path.parent_path()) path = path.parent_path();
  if (!fs::is_directory(path, error))
    return absl::InvalidArgumentError(absl::StrCat("--output: '", path.string(), "' is no folder"));
  if (::access(path.c_str(), W_OK | X_OK) != 0) return ErrnoStatus("--output: cannot write to", path.string());
  return absl::OkStatus();
}

absl::StatusOr<RunReport> WriteResults(Connection& connection, const v1::Job& job, const std::string& output) {
  ESPALIER_ASSIGN_OR_RETURN(RunReport report, ReportFromJob(job));
  const fs::path folder(output);
  std::error_code error;
  const bool was_there = fs::exists(folder, error);
  const bool had_model = fs::exists(folder / "model", error);
  const bool had_result = fs::exists(folder / "result.json", error);
  const absl::Status status = WriteAll(connection, job, folder, report);
  if (status.ok()) return report;
  if (!was_there) {
    fs::remove_all(folder, error);
  } else if (!had_model) {
    fs::remove_all(folder / "model", error);
    if (!had_result) fs::remove(folder / "result.json", error);
  }
  return status;
}

}  // namespace espalier
