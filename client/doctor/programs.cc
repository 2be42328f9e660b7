#include "client/doctor/programs.h"

#include <stdlib.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/process/child_process.h"
#include "client/process/supervisor.h"
#include "client/render/format.h"
#include "client/run/interrupt.h"
#include "common/base/files.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace espalier {
namespace {

constexpr std::chrono::seconds kLongest{60};  // LibTorch from a cold disk takes its time

// Where a program's complaints go, to be read afterwards.
class ComplaintFile {
 public:
  ComplaintFile() : fd_(::mkstemp(path_)) {}
  ~ComplaintFile() {
    if (fd_ < 0) return;
    ::close(fd_);
    ::unlink(path_);
  }
  ComplaintFile(const ComplaintFile&) = delete;
  ComplaintFile& operator=(const ComplaintFile&) = delete;
  std::string path() const { return fd_ < 0 ? "/dev/null" : path_; }

 private:
  char path_[32] = "/tmp/espalier-doctor-XXXXXX";
  const int fd_;
};

// What it printed; kAborted with the last line of its complaints when it failed.
absl::StatusOr<std::string> OutputOf(const std::string& program, const std::vector<std::string>& arguments) {
  const ComplaintFile complaints;
  const auto end = std::chrono::steady_clock::now() + kLongest;
  bool is_late = false;
  const absl::StatusOr<CapturedRun> run = RunAndCapture(
      {.program = program, .arguments = arguments, .environment = {}, .log_path = complaints.path()}, [&] {
        is_late = std::chrono::steady_clock::now() > end;
        return !is_late && !IsInterrupted();
      });
  if (is_late) return absl::AbortedError(absl::StrCat("gave no answer within ", kLongest.count(), " s"));
  if (!run.ok()) return run.status();
  if (run->status.ok()) return run->output;
  const std::string last = LastLineOf(complaints.path());
  return absl::AbortedError(last.empty() ? ToText(run->status) : absl::StrCat(last, " (", ToText(run->status), ")"));
}

Check CheckProgram(const std::string& name, const char* environment_variable, const std::string& version) {
  const absl::StatusOr<std::string> path = FindSiblingProgram(name, environment_variable);
  if (!path.ok()) return {name, Verdict::kWrong, ToString(path.status().message()), "build it: make"};
  const absl::StatusOr<std::string> said = OutputOf(*path, {"--version"});
  if (!said.ok()) {
    const bool is_library = absl::StrContains(said.status().message(), "shared librar");
    return {name, Verdict::kWrong, absl::StrCat(*path, " does not start: ", said.status().message()),
            is_library ? "a library that it needs is not found (LibTorch lies where the build found it): build it again, or "
                         "add the library's folder to LD_LIBRARY_PATH"
                       : "build it again: make"};
  }
  const std::vector<std::string> words = absl::StrSplit(absl::StripAsciiWhitespace(*said), ' ');
  if (words.back() != version) {
    return {name, Verdict::kWarning, absl::StrCat(*path, " is ", words.back(), ", this program is ", version),
            "use programs of one build"};
  }
  return {name, Verdict::kOk, absl::StrCat(version, ", ", *path)};
}

std::optional<std::string> DriverVersion() {
  const absl::StatusOr<std::string> text = ReadFile("/proc/driver/nvidia/version", 1 << 16);
  if (!text.ok()) return std::nullopt;
  for (const absl::string_view word : absl::StrSplit(*text, absl::ByAnyChar(" \n"), absl::SkipEmpty())) {
    if (absl::ascii_isdigit(word[0]) && absl::StrContains(word, '.')) return std::string(word);
  }
  return "of unknown version";
}

DriverFound FindDriver() {
  DriverFound found;
  found.version = DriverVersion();
  if (const char* visible = std::getenv("CUDA_VISIBLE_DEVICES"); visible != nullptr)
    found.visible = absl::StrCat("CUDA_VISIBLE_DEVICES is '", visible, "'");
  const char* path = std::getenv("PATH");
  for (const absl::string_view folder : absl::StrSplit(path == nullptr ? "" : path, ':', absl::SkipEmpty())) {
    const std::string program = absl::StrCat(folder, "/nvidia-smi");
    if (::access(program.c_str(), X_OK) != 0) continue;
    const absl::StatusOr<std::string> gpus =
        OutputOf(program, {"--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"});
    if (gpus.ok()) found.gpus = std::string(absl::StripAsciiWhitespace(*gpus));
    break;
  }
  return found;
}

Check NoGpu(const DriverFound& driver, const std::string& problem, bool wants_gpu) {
  const bool has_driver = driver.version.has_value() || !driver.gpus.empty();
  if (!has_driver && !wants_gpu)
    return {"GPU", Verdict::kSkipped, "none, and no NVIDIA driver: candidates are trained on the CPU"};
  if (!has_driver)
    return {"GPU", Verdict::kWrong, "the NVIDIA driver is not loaded on this machine",
            "install it (version 580 or later, for CUDA 13), or leave --device cuda out"};
  std::string found = absl::StrCat("the driver (", driver.version.value_or("seen by nvidia-smi"),
                                   ") is there, but LibTorch sees no GPU: ", problem);
  if (!driver.visible.empty()) absl::StrAppend(&found, "; ", driver.visible);
  return {"GPU", Verdict::kWrong, found,
          driver.visible.empty() ? "CUDA 13 needs driver 580 or later, and /dev/nvidia* that you may open"
                                 : "unset CUDA_VISIBLE_DEVICES, or name a GPU of this machine in it"};
}

}  // namespace

std::vector<Check> CheckPrograms(const std::string& version) {
  return {CheckProgram("espalier-coordinator", "ESPALIER_COORDINATOR_PROGRAM", version),
          CheckProgram("espalier-worker", "ESPALIER_WORKER", version)};
}

std::vector<Check> JudgeDevices(const std::string& answer, const DriverFound& driver, bool wants_gpu) {
  const nlohmann::json json = nlohmann::json::parse(answer, nullptr, false);
  if (!json.is_object() || !json.contains("libtorch") || !json.contains("cuda_devices"))
    return {{"LibTorch", Verdict::kWrong, "espalier-worker did not say what it found", "use programs of one build"}};
  std::vector<Check> checks = {{"LibTorch", Verdict::kOk, json.value("libtorch", "")}};
  for (const nlohmann::json& device : json["cuda_devices"]) {
    checks.push_back({"GPU", Verdict::kOk,
                      absl::StrCat(device.value("name", ""), ", ", FormatBytes(device.value("memory_bytes", 0.0)), ", ",
                                   FormatBytes(device.value("free_bytes", 0.0)), " of it free",
                                   driver.version.has_value() ? absl::StrCat(", driver ", *driver.version) : "")});
    if (device.value("free_bytes", 0.0) < 0.2 * device.value("memory_bytes", 0.0)) {
      checks.back().verdict = Verdict::kWarning;
      checks.back().remedy = "other programs hold most of its memory: `nvidia-smi` names them";
    }
  }
  if (json["cuda_devices"].empty()) checks.push_back(NoGpu(driver, json.value("cuda_problem", ""), wants_gpu));
  return checks;
}

std::vector<Check> CheckDevices(bool wants_gpu) {
  const absl::StatusOr<std::string> worker = FindSiblingProgram("espalier-worker", "ESPALIER_WORKER");
  if (!worker.ok()) return {{"LibTorch", Verdict::kSkipped, "not looked for: there is no espalier-worker"}};
  const absl::StatusOr<std::string> answer = OutputOf(*worker, {"devices"});
  if (!answer.ok())
    return {{"LibTorch", Verdict::kWrong, absl::StrCat("espalier-worker cannot look: ", answer.status().message()),
             "the line above about espalier-worker says more; LibTorch comes with the build"}};
  return JudgeDevices(*answer, FindDriver(), wants_gpu);
}

}  // namespace espalier
