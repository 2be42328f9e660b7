// espalier-worker: takes tasks from a coordinator, or runs one command without one.
#include <CLI/CLI.hpp>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/numbers.h"
#include "common/base/strings.h"
#include "worker/engine/devices.h"
#include "worker/engine/engine.h"
#include "worker/engine/one_shot.h"
#include "worker/session/serve.h"
#include "worker/session/serve_flags.h"

namespace espalier {
namespace {

constexpr int kUsage = 2;
constexpr int kBadInput = 3;
constexpr int kFailed = 1;
constexpr int kNoResources = 6;

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "espalier-worker: %s\n", ToString(status.message()).c_str());
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
      return kBadInput;
    case absl::StatusCode::kResourceExhausted:
      return kNoResources;
    default:
      return kFailed;
  }
}

// "cpu", "cuda", "cuda:1".
bool ParseDevice(const std::string& text, DeviceKind* kind, int* index) {
  *index = 0;
  if (text == "cpu") {
    *kind = DeviceKind::kCpu;
    return true;
  }
  *kind = DeviceKind::kCuda;
  if (text == "cuda") return true;
  return text.rfind("cuda:", 0) == 0 && absl::SimpleAtoi(text.substr(5), index) && *index >= 0;
}

int Evaluate(const EvaluateFolderRequest& request) {
  const absl::StatusOr<EvaluateFolderResult> result = EvaluateFolder(request, [](const TaskProgress&) {}, {});
  if (!result.ok()) return Fail(result.status());
  nlohmann::ordered_json json;
  json["model"] = request.model_folder;
  json["tokens_file"] = request.tokens_path;
  json["perplexity"] = result->perplexity;
  json["loss"] = result->loss;
  json["tokens"] = result->tokens;
  json["windows"] = result->windows;
  json["sequence_length"] = result->sequence_length;
  json["parameters"] = result->parameters;
  json["seconds"] = result->seconds;
  std::printf("%s\n", json.dump(2).c_str());
  return 0;
}

// What `espalier doctor` asks: LibTorch's version, and the devices that it can compute on.
int ListDevices() {
  const DeviceReport report = FindDevices();
  nlohmann::ordered_json json;
  json["libtorch"] = report.libtorch_version;
  json["cuda_devices"] = nlohmann::ordered_json::array();
  for (const FoundDevice& device : report.cuda_devices)
    json["cuda_devices"].push_back(
        {{"name", device.name}, {"memory_bytes", device.memory_bytes}, {"free_bytes", device.free_bytes}});
  json["cuda_problem"] = report.cuda_problem;
  std::printf("%s\n", json.dump(2).c_str());
  return 0;
}

void AddServeOptions(CLI::App& app, ServeOptions& options, std::string& device) {
  app.add_option("--coordinator", options.coordinator, "where the coordinator listens: HOST:PORT or unix:PATH")
      ->envname("ESPALIER_COORDINATOR");
  app.add_option("--artifacts", options.engine.artifact_folder,
                 "folder of artifacts, shared with the coordinator, or s3://BUCKET/PREFIX");
  app.add_option("--artifact-endpoint", options.engine.artifact_endpoint,
                 "https://HOST[:PORT] of object storage that is not AWS's (default: AWS_ENDPOINT_URL_S3)");
  app.add_option("--device", device, "cpu, cuda or cuda:INDEX")->capture_default_str();
  app.add_option("--slots", options.engine.num_slots, "tasks that run at once")
      ->capture_default_str()
      ->check(CLI::Range(1, 64));
  AddSecurityFlags(app, options);
  AddMetricsFlags(app, options);
  app.add_option("--state-memory", options.engine.state_memory_bytes,
                 "bytes of host memory for retained training states (0: a quarter of the machine's)")
      ->transform(CLI::AsSizeValue(false));
  app.add_option("--worker-id", options.worker_id, "a UUID (made at the start unless a supervisor gives one)");
  app.add_option("--drain-seconds", options.drain_seconds, "how long a running task may take to finish after SIGTERM")
      ->capture_default_str();
  app.add_option("--disk-patience-seconds", options.disk_patience_seconds,
                 "how long a task that met a full disk waits for room before it has failed")
      ->capture_default_str();
  app.add_option("--log-level", options.log_level, "trace, debug, info, warn, error")->capture_default_str();
  app.add_option("--log-format", options.log_format, "text or json")->check(CLI::IsMember({"text", "json"}));
}

int Main(int argc, char** argv) {
  CLI::App app("Runs the tasks of a coordinator on one device; with a command, runs that and ends.", "espalier-worker");
  app.set_version_flag("--version", "espalier-worker " ESPALIER_VERSION);
  app.footer(
      "Exit codes: 0 done or drained, 1 failed, 2 usage, 3 bad input or refused by the coordinator, 6 out of memory or "
      "disk.");
  ServeOptions serve;
  std::string serve_device = "cpu";
  AddServeOptions(app, serve, serve_device);

  EvaluateFolderRequest request;
  std::string device = "cpu";
  CLI::App* evaluate = app.add_subcommand("evaluate", "perplexity of a model folder over a token file, as JSON");
  evaluate->add_option("model", request.model_folder, "model folder")->required();
  evaluate->add_option("--tokens", request.tokens_path, ".npy file of token ids")->required();
  evaluate->add_option("--sequence-length", request.sequence_length,
                       "tokens of a window (0: from the file or the model)");
  evaluate->add_option("--windows", request.windows, "windows to read (0: all)")->capture_default_str();
  evaluate->add_option("--device", device, "cpu, cuda or cuda:INDEX")->capture_default_str();
  evaluate->add_option("--threads", request.threads, "threads on a CPU")->capture_default_str();
  CLI::App* devices = app.add_subcommand("devices", "LibTorch's version and the devices that it can compute on, as JSON");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsage;
  }

  if (devices->parsed()) return ListDevices();
  if (evaluate->parsed()) {
    if (!ParseDevice(device, &request.device, &request.device_index)) {
      return Fail(absl::InvalidArgumentError("--device: '" + device + "' is not cpu, cuda or cuda:INDEX"));
    }
    return Evaluate(request);
  }
  if (serve.coordinator.empty() || serve.engine.artifact_folder.empty()) {
    std::fprintf(stderr, "espalier-worker: --coordinator and --artifacts are required; see --help\n");
    return kUsage;
  }
  if (!ParseDevice(serve_device, &serve.engine.device, &serve.engine.device_index)) {
    return Fail(absl::InvalidArgumentError("--device: '" + serve_device + "' is not cpu, cuda or cuda:INDEX"));
  }
  const absl::Status status = Serve(serve, MakeTorchEngine);
  return status.ok() ? 0 : Fail(status);
}

}  // namespace
}  // namespace espalier

int main(int argc, char** argv) { return espalier::Main(argc, argv); }
