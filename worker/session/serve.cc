#include "worker/session/serve.h"

#include <pthread.h>
#include <signal.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "common/base/address_list.h"
#include "common/base/clock.h"
#include "common/base/files.h"
#include "common/base/status_macros.h"
#include "common/base/uuid.h"
#include "common/security/redact.h"
#include "worker/session/coordinator_client.h"
#include "worker/session/metrics_server.h"
#include "worker/session/worker_metrics.h"
#include "worker/session/worker_session.h"

namespace espalier {
namespace {

constexpr int kEndOfService = SIGUSR2;  // wakes the signal thread when the session is over
// A cluster manager tells every process of a job, and a script among them passes it on: that is one wish, not two.
constexpr absl::Duration kSameWish = absl::Seconds(1);

// Tells the log what the session tells, and passes it on.
class LogObserver final : public SessionObserver {
 public:
  explicit LogObserver(SessionObserver* next) : next_(next) {}
  void OnConnected(int64_t calls_failed_before) override {
    if (!was_connected_) spdlog::info("connected to the coordinator");
    if (was_connected_ && calls_failed_before > 0)
      spdlog::info("connected again after {} failed calls", calls_failed_before);
    was_connected_ = true;
    next_->OnConnected(calls_failed_before);
  }
  void OnCallFailed(const absl::Status& status) override {
    spdlog::warn("call failed: {}", WithoutPaths(status.ToString()));
    next_->OnCallFailed(status);
  }
  void OnTaskStarted(const Task& task) override {
    spdlog::info("started {}/{}", task.job_id, task.task_id);
    next_->OnTaskStarted(task);
  }
  void OnTaskProgress(const Task& task, const TaskProgress& progress) override { next_->OnTaskProgress(task, progress); }
  void OnTaskEnded(const Task& task, const absl::StatusOr<TaskOutcome>& outcome, absl::Duration taken) override {
    const double seconds = absl::ToDoubleSeconds(taken);
    if (outcome.ok()) {
      spdlog::info("finished {}/{} in {:.2f} s", task.job_id, task.task_id, seconds);
    } else {
      spdlog::warn("{}/{} ended after {:.2f} s: {}", task.job_id, task.task_id, seconds,
                   WithoutPaths(outcome.status().ToString()));
    }
    next_->OnTaskEnded(task, outcome, taken);
  }
  void OnDiskFull(const Task& task, const absl::Status& status, absl::Duration wait) override {
    spdlog::warn("{}/{} is run again in {}: {}", task.job_id, task.task_id, absl::FormatDuration(wait),
                 WithoutPaths(status.ToString()));
    next_->OnDiskFull(task, status, wait);
  }
  void OnTaskCancelled(int slot) override {
    spdlog::info("stopping the task in slot {}", slot);
    next_->OnTaskCancelled(slot);
  }

 private:
  SessionObserver* const next_;
  bool was_connected_ = false;  // only touched by the session's own thread
};

sigset_t HandledSignals() {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (int signal : {SIGTERM, SIGINT, kEndOfService}) ::sigaddset(&signals, signal);
  return signals;
}

// Waits for signals in a thread of its own; all other threads have them blocked.
class SignalThread {
 public:
  explicit SignalThread(WorkerSession& session) : thread_([&session] { Wait(session); }) {}
  ~SignalThread() {
    ::pthread_kill(thread_.native_handle(), kEndOfService);
    thread_.join();
  }
  SignalThread(const SignalThread&) = delete;
  SignalThread& operator=(const SignalThread&) = delete;

 private:
  static void Wait(WorkerSession& session) {
    const sigset_t signals = HandledSignals();
    const SteadyClock clock;
    absl::Time last = absl::InfinitePast();
    for (int received = 0;;) {
      int signal = 0;
      ::sigwait(&signals, &signal);
      if (signal == kEndOfService) return;
      if (const absl::Time now = clock.Now(); now - last < kSameWish) {
        spdlog::info("signal {}: heard already", signal);
        continue;
      } else {
        last = now;
      }
      ++received;
      spdlog::info("signal {}: {}", signal, received == 1 ? "draining" : received == 2 ? "handing back" : "leaving");
      if (received == 1) session.Drain();
      if (received == 2) session.Force();
      if (received == 3) ::_exit(128 + signal);
    }
  }

  std::thread thread_;
};

void SetUpLog(const ServeOptions& options) {
  auto logger = spdlog::stderr_logger_mt("worker");
  if (options.log_format == "json") {
    logger->set_pattern(R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l","process":%P,"message":"%v"})");
  } else {
    logger->set_pattern("%Y-%m-%d %H:%M:%S.%e %l [%P] %v");
  }
  logger->set_level(spdlog::level::from_str(options.log_level));
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

WorkerDescription Describe(const Engine& engine) {
  const DeviceDescription device = engine.Describe();
  char host[256] = "unknown";
  ::gethostname(host, sizeof(host) - 1);
  WorkerDescription description;
  description.host_name = host;
  description.device = device.kind;
  description.device_name = device.name;
  description.memory_bytes = device.memory_bytes;
  description.numerics_class = device.numerics_class;
  description.slots = engine.num_slots();
  description.software_version = ESPALIER_VERSION;
  return description;
}

CoordinatorAddress AddressOf(const ServeOptions& options) {
  CoordinatorAddress address;
  address.target = options.coordinator;
  address.token_file = options.token_file;
  address.tls = {.ca = options.tls_ca, .certificate = options.tls_certificate, .key = options.tls_key};
  address.tls_server_name = options.tls_server_name;
  return address;
}

// Uploaded files lie among the artifacts, so that those always count.
absl::StatusOr<PathRoots> RootsOf(const ServeOptions& options) {
  if (options.allow_roots.empty()) return PathRoots();
  std::vector<std::string> folders = options.allow_roots;
  ESPALIER_RETURN_IF_ERROR(CreateFolders(options.engine.artifact_folder));
  folders.push_back(std::filesystem::absolute(options.engine.artifact_folder).lexically_normal().string());
  return PathRoots::Open(folders);
}

}  // namespace

absl::Status Serve(const ServeOptions& options, const EngineFactory& make_engine) {
  SetUpLog(options);
  const sigset_t signals = HandledSignals();
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // before any thread starts, so that all of them inherit it
  ESPALIER_ASSIGN_OR_RETURN(const std::unique_ptr<CoordinatorClient> client,
                            MakeGrpcCoordinatorClient(AddressOf(options)));
  SessionOptions session_options;
  session_options.drain_grace = absl::Seconds(options.drain_seconds);
  session_options.disk_patience.limit = absl::Seconds(options.disk_patience_seconds);
  ESPALIER_ASSIGN_OR_RETURN(session_options.roots, RootsOf(options));
  ESPALIER_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine, make_engine(options.engine));
  const WorkerDescription description = Describe(*engine);
  const std::string worker_id = options.worker_id.empty() ? NewUuid() : options.worker_id;
  spdlog::info("worker {} on {} with {} slot(s), for {}", worker_id, description.device_name, description.slots,
               WithoutPaths(options.coordinator));
  const SteadyClock clock;
  const std::unique_ptr<WorkerMetrics> metrics =
      WorkerMetrics::Make({engine.get(), description, options.engine.artifact_folder, [] { return absl::Now(); }});
  ESPALIER_ASSIGN_OR_RETURN(const std::unique_ptr<MetricsServer> metrics_server,
                            MetricsServer::Start(options, metrics.get(), &clock));
  if (metrics_server != nullptr) spdlog::info("metrics on {}", metrics_server->address());
  LogObserver observer(metrics.get());
  if (SplitAddresses(options.coordinator).size() > 1) session_options.longest_back_off = absl::Seconds(1);
  WorkerSession session(*engine, *client, clock, worker_id, description, session_options, &observer);
  SignalThread signal_thread(session);
  const absl::Status status = session.Run();
  if (status.ok()) spdlog::info("drained");
  return status;
}

}  // namespace espalier
