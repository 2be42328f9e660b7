#include "client/result/evaluate_command.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/shell_word.h"

namespace espalier {
namespace {

// 64-bit numbers are text in protobuf's JSON.
int64_t NumberOfJob(const nlohmann::ordered_json& json, const char* name) {
  const auto found = json.find(name);
  if (found == json.end()) return 0;
  if (found->is_number_integer()) return found->get<int64_t>();
  int64_t value = 0;
  return found->is_string() && absl::SimpleAtoi(found->get_ref<const std::string&>(), &value) ? value : 0;
}

std::string TextOfJob(const nlohmann::ordered_json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace

std::string EvaluateCommand(const RunReport& report, const std::string& model) {
  if (!report.provenance.is_object() || !report.provenance.contains("job") || !report.provenance["job"].is_object()) return "";
  const nlohmann::ordered_json& job = report.provenance["job"];
  const std::string tokens = TextOfJob(job, "evaluation_path");
  if (tokens.empty() || report.sequence_length <= 0) return "";
  return absl::StrCat("espalier evaluate ", ShellWord(model), " --tokens ", ShellWord(tokens), " --sequence-length ",
                      report.sequence_length, " --evaluate-tokens ",
                      NumberOfJob(job, "evaluation_windows") * report.sequence_length,
                      TextOfJob(job, "device") == "CUDA" ? " --device cuda" : "");
}

}  // namespace espalier
