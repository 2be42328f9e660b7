// espalier-coordinator: flags in, parts built, run until told to stop.
#include <signal.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/artifacts/artifact_store.h"
#include "common/base/clock.h"
#include "common/base/files.h"
#include "common/base/status_macros.h"
#include "coordinator/collector_thread.h"
#include "coordinator/core/coordinator.h"
#include "coordinator/http/routes.h"
#include "coordinator/json_log.h"
#include "coordinator/limit_flags.h"
#include "coordinator/log_observer.h"
#include "coordinator/rpc/server.h"
#include "coordinator/security_options.h"
#include "coordinator/standby.h"
#include "coordinator/store/postgres_job_store.h"
#include "coordinator/store/sqlite_job_store.h"

namespace espalier {
namespace {

constexpr char kVersion[] = ESPALIER_VERSION;

// As in --help.
enum ExitCode { kStopped = 0, kFailed = 1, kUsage = 2, kAddressInUse = 3, kStateUnusable = 4, kLostStore = 5 };

constexpr char kFooter[] =
    "Exit codes: 0 stopped by SIGTERM or SIGINT; 1 failed; 2 wrong flags; 3 the address is in use or may not be bound,\n"
    "a certificate, token file or root cannot be used;\n"
    "4 the state folder or database cannot be used (locked by another coordinator, damaged, foreign, no space);\n"
    "5 the store failed while running, or another coordinator took over (start it again: it then stands by).";

struct Flags {
  std::string listen;
  std::string state;
  std::string artifacts;
  std::string artifact_endpoint;
  std::string http;
  std::string ready_file;
  std::string log_level = "info";
  std::string log_format = "text";
  double lease_seconds = 60;
  int64_t disk_reserve_bytes = 64 << 20;
  double stuck_minutes = 60;
  SecurityOptions security;
  Limits limits;
  StoreOptions store;
  CollectorFlags collector;
};

// One step of the start that failed, with the exit code that says which.
struct StartError {
  int exit_code;
  absl::Status status;
};

class Program {
 public:
  explicit Program(const Flags& flags) : flags_(flags), metrics_(Metrics::Make(kVersion)), observer_(metrics_.get()) {}

  std::optional<StartError> Start(const sigset_t& signals) {
    if (const absl::Status status = FindAddresses(); !status.ok()) return StartError{kAddressInUse, status};
    if (const absl::Status status = OpenFolders(); !status.ok()) return StartError{kStateUnusable, status};
    if (const absl::Status status = OpenSecurity(); !status.ok()) return StartError{kAddressInUse, status};
    if (flags_.store.is_postgres()) {
      if (const absl::Status status = Lead(signals); !status.ok()) {
        return StartError{absl::IsCancelled(status) ? kStopped : kStateUnusable, status};
      }
    }
    if (const absl::Status status = OpenState(); !status.ok()) return StartError{kStateUnusable, status};
    if (const absl::Status status = Listen(); !status.ok()) return StartError{kAddressInUse, status};
    if (const absl::Status status = ListenHttp(); !status.ok()) return StartError{kAddressInUse, status};
    return std::nullopt;
  }

  absl::Status SayReady() {
    const std::string address = rpc_->address().ToText();
    std::cout << "listening on " << address << std::endl;
    if (http_ != nullptr) std::cout << "http on " << http_address_->host << ":" << http_->port() << std::endl;
    if (flags_.ready_file.empty()) return absl::OkStatus();
    return WriteFileAtomically(flags_.ready_file, address + "\n");
  }

  // Waits for a signal (or for the store's end).
  int Run(const sigset_t& signals) {
    while (true) {
      const timespec patience{0, 250'000'000};
      const int signal = ::sigtimedwait(&signals, nullptr, &patience);
      if (signal == SIGTERM || signal == SIGINT) {
        spdlog::info("stopping");
        rpc_->Stop(absl::Seconds(2));
        return kStopped;
      }
      if (const absl::Status fatal = WhyToEnd(); !fatal.ok()) {
        spdlog::critical("cannot go on: {}", fatal.ToString());
        std::cerr << "error: " << fatal.message() << std::endl;
        rpc_->Stop(absl::ZeroDuration());
        return kLostStore;
      }
    }
  }

 private:
  // Ports that are taken are said before anything is made; a socket's file lies in the state folder, under its lock.
  absl::Status FindAddresses() {
    const std::string listen = flags_.listen.empty() ? "unix:" + flags_.state + "/coordinator.sock" : flags_.listen;
    ESPALIER_ASSIGN_OR_RETURN(listen_address_, ParseListenAddress(listen));
    if (!listen_address_.is_unix) ESPALIER_RETURN_IF_ERROR(PrepareAddress(listen_address_));
    if (flags_.http.empty()) return absl::OkStatus();
    ESPALIER_ASSIGN_OR_RETURN(http_address_, ParseListenAddress(flags_.http));
    if (http_address_->is_unix) return absl::InvalidArgumentError("--http: needs HOST:PORT");
    return PrepareAddress(*http_address_, "--http");
  }

  absl::Status OpenFolders() {
    ESPALIER_ASSIGN_OR_RETURN(const bool is_open_to_others, CreatePrivateFolder(flags_.state));
    if (is_open_to_others) spdlog::warn("other users can look into the state folder; chmod 700 it");
    const std::string where = flags_.artifacts.empty() ? flags_.state + "/artifacts" : flags_.artifacts;
    ESPALIER_ASSIGN_OR_RETURN(artifacts_, OpenArtifactStore(where, flags_.artifact_endpoint));
    if (!IsObjectStorage(where)) artifact_folder_ = where;
    const std::string database = flags_.store.is_postgres() ? "" : flags_.state + "/coordinator.sqlite";
    disk_.emplace(flags_.state, database, flags_.disk_reserve_bytes);
    metrics_->Watch(&*disk_, flags_.security.tls.certificate);
    return absl::OkStatus();
  }

  // Stands by until this process leads; kCancelled when a signal ends it before.
  absl::Status Lead(const sigset_t& signals) {
    const auto wait = [&signals](absl::Duration duration) {
      const timespec patience = absl::ToTimespec(duration);
      return ::sigtimedwait(&signals, nullptr, &patience) < 0;
    };
    ServerOptions server;
    server.address = listen_address_;
    security_->ApplyTo(&server);
    std::optional<HttpOptions> http;
    if (http_address_.has_value()) http = MakeHttpOptions();
    ESPALIER_ASSIGN_OR_RETURN(
        leadership_, StandBy(flags_.store, &server, http.has_value() ? &*http : nullptr, &clock_, wait));
    if (leadership_ == nullptr) return absl::CancelledError("stopped while standing by");
    listen_address_ = server.address;
    spdlog::info("leads (epoch {})", leadership_->epoch());
    return absl::OkStatus();
  }

  absl::Status WhyToEnd() {
    if (leadership_ != nullptr) ESPALIER_RETURN_IF_ERROR(leadership_->Check());
    return coordinator_->Fatal();
  }

  absl::Status OpenState() {
    if (leadership_ != nullptr) {
      ESPALIER_ASSIGN_OR_RETURN(store_, OpenPostgresJobStore(flags_.store.store, leadership_->epoch()));
    } else {
      ESPALIER_ASSIGN_OR_RETURN(store_, OpenSqliteJobStore(flags_.state + "/coordinator.sqlite"));
    }
    Coordinator::Parts parts;
    parts.store = store_.get();
    parts.artifacts = artifacts_.get();
    parts.programs = JobProgram::Create;
    parts.observer = &observer_;
    parts.options.lease_duration = absl::Seconds(flags_.lease_seconds);
    parts.options.stuck_after = absl::Minutes(flags_.stuck_minutes);
    parts.options.collects_artifacts = !flags_.collector.keeps_all;
    parts.options.limits = flags_.limits;
    ESPALIER_ASSIGN_OR_RETURN(coordinator_, Coordinator::Open(std::move(parts), clock_.Now()));
    spdlog::info("opened the state (epoch {})", store_->epoch());
    return StartCollector();
  }

  absl::Status StartCollector() {
    if (flags_.collector.keeps_all) return absl::OkStatus();
    const CollectorOptions options = CollectorOptionsFor(flags_.collector, absl::Seconds(flags_.lease_seconds));
    ESPALIER_ASSIGN_OR_RETURN(const std::string identity, store_->Identity());
    auto collector = std::make_unique<ArtifactCollector>(coordinator_.get(), artifacts_.get(), identity, options);
    collector_ = std::make_unique<CollectorThread>(std::move(collector), options, &clock_);
    return absl::OkStatus();
  }

  absl::Status OpenSecurity() {
    ESPALIER_ASSIGN_OR_RETURN(
        security_, Security::Open(flags_.security, listen_address_, http_address_.has_value() ? &*http_address_ : nullptr,
                                  flags_.state, artifact_folder_, &clock_));
    return absl::OkStatus();
  }

  absl::Status Listen() {
    ServerOptions options;
    options.address = listen_address_;
    security_->ApplyTo(&options);
    options.artifact_folder = artifact_folder_;
    options.upload_folder = flags_.state + "/uploads";
    options.limits = flags_.limits;
    options.call_observer = metrics_.get();
    options.backup = dynamic_cast<BackupSource*>(store_.get());
    options.version = ESPALIER_VERSION;
    ESPALIER_ASSIGN_OR_RETURN(rpc_, RpcServer::Start(coordinator_.get(), artifacts_.get(), &clock_, options));
    return absl::OkStatus();
  }

  HttpOptions MakeHttpOptions() {
    HttpOptions options;
    options.host = http_address_->host;
    options.port = http_address_->port;
    options.on_answer = [metrics = metrics_.get()](int status) { metrics->OnHttpAnswer(status); };
    security_->ApplyTo(&options);
    return options;
  }

  absl::Status ListenHttp() {
    if (!http_address_.has_value()) return absl::OkStatus();
    ESPALIER_ASSIGN_OR_RETURN(http_, HttpServer::Start(MakeHttpOptions(), MakeRouter(coordinator_.get(), metrics_.get(), &clock_, &*disk_)));
    return absl::OkStatus();
  }

  const Flags& flags_;
  SteadyClock clock_;
  std::optional<StateDisk> disk_;
  std::unique_ptr<Metrics> metrics_;
  LogObserver observer_;
  std::string artifact_folder_;  // empty: they are in object storage
  ListenAddress listen_address_;
  std::optional<ListenAddress> http_address_;
  std::unique_ptr<ArtifactStore> artifacts_;
  std::unique_ptr<Security> security_;
  std::unique_ptr<Leadership> leadership_;  // resigns when everything below it has ended
  std::unique_ptr<JobStore> store_;
  std::unique_ptr<Coordinator> coordinator_;
  std::unique_ptr<CollectorThread> collector_;
  std::unique_ptr<RpcServer> rpc_;
  std::unique_ptr<HttpServer> http_;
};

void SetUpLog(const Flags& flags) {
  spdlog::set_default_logger(std::make_shared<spdlog::logger>("", std::make_shared<spdlog::sinks::stderr_sink_mt>()));
  spdlog::set_level(spdlog::level::from_str(flags.log_level));
  spdlog::flush_on(spdlog::level::info);
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %v");
  if (flags.log_format == "json") UseJsonLines();
}

}  // namespace
}  // namespace espalier

int main(int argc, char** argv) {
  using namespace espalier;
  Flags flags;
  CLI::App app{"Coordinates searches: keeps jobs, leases their tasks to workers, commits what they report."};
  app.footer(kFooter);
  app.set_version_flag("--version", kVersion);
  app.add_option("--state", flags.state, "Folder of the database, uploads and (by default) artifacts")->required();
  app.add_option("--listen", flags.listen, "unix:PATH or HOST:PORT (port 0: any); default unix:STATE/coordinator.sock");
  app.add_option("--artifacts", flags.artifacts,
                 "Folder of artifacts, shared with the workers, or s3://BUCKET/PREFIX; default STATE/artifacts");
  app.add_option("--artifact-endpoint", flags.artifact_endpoint,
                 "https://HOST[:PORT] of object storage that is not AWS's; default AWS_ENDPOINT_URL_S3");
  app.add_option("--http", flags.http, "HOST:PORT of probes, metrics and pages; default none");
  app.add_option("--ready-file", flags.ready_file, "The address is written here once calls are answered");
  app.add_option("--lease-seconds", flags.lease_seconds, "A worker silent for so long loses its leases")
      ->check(CLI::Range(0.5, 86400.0))
      ->capture_default_str();
  app.add_option("--disk-reserve", flags.disk_reserve_bytes,
                 "Not ready (/readyz says 503) while the disk under the state has fewer bytes left than this")
      ->transform(CLI::AsSizeValue(false))
      ->default_str("64MiB");
  app.add_option("--stuck-task-minutes", flags.stuck_minutes,
                 "A task without progress for so long is taken from its worker, which counts as a failure")
      ->check(CLI::Range(0.01, 1e6))
      ->capture_default_str();
  app.add_option("--log-level", flags.log_level)
      ->check(CLI::IsMember({"debug", "info", "warn", "error", "off"}))
      ->capture_default_str();
  app.add_option("--log-format", flags.log_format)->check(CLI::IsMember({"text", "json"}))->capture_default_str();
  AddLimitFlags(app, flags.limits);
  AddSecurityFlags(app, flags.security);
  AddStoreFlags(app, flags.store);
  AddCollectorFlags(app, flags.collector);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? kStopped : kUsage;
  }
  SetUpLog(flags);
  if (const absl::Status status = CheckStoreOptions(flags.store, flags.artifacts); !status.ok()) {
    std::cerr << "error: " << status.message() << std::endl;
    return kUsage;
  }
  if (flags.store.is_command()) {
    const absl::Status status = RunStoreCommand(flags.store, flags.state);
    if (!status.ok()) std::cerr << "error: " << status.message() << std::endl;
    return status.ok() ? kStopped : kStateUnusable;
  }
  if (const int files = RaiseFileLimit(); files < flags.limits.max_workers) {
    spdlog::info("{} files may be open at once, so no more workers than about that can connect (ulimit -n)", files);
  }

  // gRPC's locks, as Debian builds them, look for cycles at each locking: a twentieth of the whole CPU time under load.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  // Blocked before any thread starts, so that only Run takes them.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);

  Program program(flags);
  if (const std::optional<StartError> error = program.Start(signals)) {
    if (error->exit_code == kStopped) return kStopped;
    std::cerr << "error: " << error->status.message() << std::endl;
    return error->exit_code;
  }
  if (const absl::Status status = program.SayReady(); !status.ok()) {
    std::cerr << "error: " << status.message() << std::endl;
    return kFailed;
  }
  return program.Run(signals);
}
