// The whole service in this process: core, store in memory, gRPC port.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "common/artifacts/artifact_store.h"
#include "common/base/clock.h"
#include "coordinator/core/coordinator.h"
#include "coordinator/rpc/server.h"
#include "coordinator/store/memory_job_store.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace espalier::testing {

class Service {
 public:
  // An empty address: a Unix socket. `token`: one with every role. `clock`: the machine's if none is given.
  Service(const std::string& listen, std::optional<std::string> token, ServerOptions options = {}, const Clock* clock = nullptr)
      : clock_(clock != nullptr ? clock : &steady_clock_),
        store_(std::make_shared<MemoryJobStore::Content>()),
        options_(std::move(options)) {
    auto artifacts = OpenFolderArtifactStore(folder_ / "artifacts");
    REQUIRE_OK(artifacts);
    artifacts_ = *std::move(artifacts);
    Coordinator::Parts parts;
    parts.store = &store_;
    parts.artifacts = artifacts_.get();
    parts.programs = JobProgram::Create;
    parts.options.lease_duration = absl::Seconds(5);
    parts.options.limits = options_.limits;
    auto core = Coordinator::Open(std::move(parts), clock_->Now());
    REQUIRE_OK(core);
    core_ = *std::move(core);
    options_.artifact_folder = folder_ / "artifacts";
    options_.upload_folder = folder_ / "uploads";
    options_.limits.max_upload_bytes = 3 << 20;
    if (token.has_value()) {
      authority_ = TokenAuthority::FromToken(*token);
      options_.authority = authority_.get();
    }
    auto address = ParseListenAddress(listen.empty() ? "unix:" + folder_ / "s.sock" : listen);
    REQUIRE_OK(address);
    options_.address = *address;
    auto server = RpcServer::Start(core_.get(), artifacts_.get(), clock_, options_);
    REQUIRE_OK(server);
    server_ = *std::move(server);
  }
  std::string address() const { return server_->address().ToText(); }
  const ServerOptions& options() const { return options_; }
  ArtifactStore& artifacts() { return *artifacts_; }
  absl::Status StartSecond() {
    ServerOptions same = options_;
    same.address = server_->address();
    return RpcServer::Start(core_.get(), artifacts_.get(), clock_, same).status();
  }
  // Another server with other options; only whether it starts.
  absl::Status StartAnother(const ServerOptions& options) {
    return RpcServer::Start(core_.get(), artifacts_.get(), clock_, options).status();
  }
  void Stop() { server_->Stop(absl::Seconds(1)); }

 private:
  TempDir folder_;
  SteadyClock steady_clock_;
  const Clock* const clock_;
  MemoryJobStore store_;
  std::unique_ptr<ArtifactStore> artifacts_;
  std::unique_ptr<Coordinator> core_;
  std::unique_ptr<TokenAuthority> authority_;
  ServerOptions options_;
  std::unique_ptr<RpcServer> server_;
};

}  // namespace espalier::testing
