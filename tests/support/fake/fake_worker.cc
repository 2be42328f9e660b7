// A worker with the fake engine, for tests of the whole service path without LibTorch. Takes the flags of
// espalier-worker that `espalier run` uses; ESPALIER_FAKE_TASK_MS is how long each task takes,
// ESPALIER_FAKE_NONSENSE makes its evaluations impossible.
#include <CLI/CLI.hpp>

#include <cstdio>
#include <cstdlib>

#include "common/base/strings.h"
#include "tests/support/fake/fake_engine.h"
#include "worker/session/serve.h"
#include "worker/session/serve_flags.h"

int main(int argc, char** argv) {
  CLI::App app("fake worker");
  espalier::ServeOptions options;
  std::string device;
  app.add_option("--coordinator", options.coordinator)->required();
  app.add_option("--artifacts", options.engine.artifact_folder)->required();
  app.add_option("--artifact-endpoint", options.engine.artifact_endpoint);
  app.add_option("--device", device);
  app.add_option("--slots", options.engine.num_slots);
  app.add_option("--worker-id", options.worker_id);
  app.add_option("--drain-seconds", options.drain_seconds);
  app.add_option("--disk-patience-seconds", options.disk_patience_seconds);
  app.add_option("--log-level", options.log_level);
  espalier::AddSecurityFlags(app, options);
  espalier::AddMetricsFlags(app, options);
  CLI11_PARSE(app, argc, argv);
  const char* task_ms = std::getenv("ESPALIER_FAKE_TASK_MS");
  const absl::Duration task_time = absl::Milliseconds(task_ms == nullptr ? 0 : std::atoi(task_ms));
  const absl::Status status = espalier::Serve(
      options, [&](const espalier::EngineOptions& engine) -> absl::StatusOr<std::unique_ptr<espalier::Engine>> {
        auto artifacts = espalier::OpenArtifactStore(engine.artifact_folder, engine.artifact_endpoint);
        if (!artifacts.ok()) return artifacts.status();
        espalier::testing::FakeEngineOptions fake{
            .num_slots = engine.num_slots, .task_time = task_time, .device = engine.device,
            .tells_nonsense = std::getenv("ESPALIER_FAKE_NONSENSE") != nullptr};
        return std::make_unique<espalier::testing::FakeEngine>(fake, *std::move(artifacts));
      });
  if (!status.ok()) std::fprintf(stderr, "fake_worker: %s\n", status.ToString().c_str());
  return status.ok() ? 0 : 3;
}
