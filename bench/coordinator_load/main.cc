// espalier-coordinator-load: how fast a coordinator answers thousands of workers, and how long they miss it when it dies.
#include <stdlib.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>

#include "bench/coordinator_load/load_report.h"
#include "common/base/files.h"

int main(int argc, char** argv) {
  using namespace espalier;
  load::LoadOptions options;
  std::string json;
  bool without_restart = false;
  CLI::App app{"Puts simulated workers on a coordinator of its own: real gRPC on loopback, real SQLite, fake tasks."};
  options.coordinator = std::filesystem::path(argv[0]).parent_path() / "espalier-coordinator";
  options.model = "examples/tiny";
  options.tokens = "examples/tiny-samples.npy";
  app.add_option("--workers", options.num_workers, "simulated workers")->check(CLI::Range(1, 100000))->capture_default_str();
  app.add_option("--jobs", options.num_jobs, "jobs that share them")->check(CLI::Range(1, 50))->capture_default_str();
  app.add_option("--busy", options.busy_share, "share of the workers that the jobs have tasks for")
      ->check(CLI::Range(0.001, 4.0))
      ->capture_default_str();
  app.add_option("--task-seconds", options.task_seconds, "mean time of a task")
      ->check(CLI::Range(0.01, 3600.0))
      ->capture_default_str();
  app.add_option("--warm-up", options.warm_up_seconds, "seconds before measuring")->capture_default_str();
  app.add_option("--seconds", options.seconds, "seconds to measure")->check(CLI::Range(1.0, 3600.0))->capture_default_str();
  app.add_option("--coordinator", options.coordinator, "the program under load")->capture_default_str();
  app.add_option("--model", options.model, "folder of a checkpoint")->capture_default_str();
  app.add_option("--tokens", options.tokens, ".npy file of token ids")->capture_default_str();
  app.add_option("--state", options.state, "folder of the coordinator's state; default a temporary one");
  app.add_option("--json", json, "also write the figures to this file");
  app.add_flag("--no-restart", without_restart, "do not kill the coordinator at the end");
  CLI11_PARSE(app, argc, argv);
  options.with_restart = !without_restart;
  options.model = std::filesystem::absolute(options.model);
  options.tokens = std::filesystem::absolute(options.tokens);
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
  ::setenv("GRPC_CLIENT_CHANNEL_BACKUP_POLL_INTERVAL_MS", "100", 0);  // as a worker has it
  const absl::StatusOr<load::LoadResult> result = load::RunLoad(options);
  if (!result.ok()) {
    std::fprintf(stderr, "error: %s\n", std::string(result.status().message()).c_str());
    return 1;
  }
  std::printf("%s", load::TableOf(*result).c_str());
  if (json.empty()) return 0;
  const absl::Status written = WriteFileAtomically(json, load::JsonOf(*result));
  if (written.ok()) return 0;
  std::fprintf(stderr, "error: %s\n", std::string(written.message()).c_str());
  return 1;
}
