#include "client/run/local_service.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/base/uuid.h"
#include "espalier/v1/worker_service.grpc.pb.h"

namespace espalier {
namespace {

constexpr int kLeaseSeconds = 5;
constexpr int kDrainSeconds = 2;
constexpr absl::Duration kGrace = absl::Seconds(5);

}  // namespace

absl::StatusOr<std::unique_ptr<LocalService>> LocalService::Start(const StateFolder& folder) {
  std::unique_ptr<LocalService> service(new LocalService(folder));
  ESPALIER_ASSIGN_OR_RETURN(service->coordinator_program_,
                            FindSiblingProgram("espalier-coordinator", "ESPALIER_COORDINATOR_PROGRAM"));
  ESPALIER_ASSIGN_OR_RETURN(service->worker_program_, FindSiblingProgram("espalier-worker", "ESPALIER_WORKER"));
  SupervisedProgram coordinator;
  coordinator.name = "coordinator";
  coordinator.command = [self = service.get()](int) {
    const StateFolder& state = self->folder_;
    return ChildCommand{.program = self->coordinator_program_,
                        .arguments = {"--listen", self->address(), "--state", state.coordinator_state(), "--artifacts",
                                      state.artifacts(), "--lease-seconds", absl::StrCat(kLeaseSeconds)},
                        .environment = {},
                        .log_path = state.log("coordinator")};
  };
  coordinator.permanent = {{2, absl::StatusCode::kInternal},
                           {3, absl::StatusCode::kFailedPrecondition},
                           {4, absl::StatusCode::kFailedPrecondition}};
  service->supervisor_ = std::make_unique<Supervisor>(
      std::vector<SupervisedProgram>{coordinator}, SupervisorOptions{},
      [self = service.get()](const std::string& name, int, const ExitStatus& status) { self->OnDeath(name, status); });
  return service;
}

LocalService::~LocalService() {
  if (supervisor_ != nullptr) supervisor_->Stop(kGrace);
}

absl::Status LocalService::StartWorkers(int count, v1::DeviceKind device, int slots) {
  for (int index = 0; index < count; ++index) {
    SupervisedProgram worker;
    worker.name = absl::StrCat("worker ", index);
    worker.command = [this, index, device, slots, name = worker.name](int) {
      const std::string worker_id = NewUuid();
      {
        std::lock_guard lock(mutex_);
        std::erase_if(ids_, [&](const auto& entry) { return entry.first == name; });
        ids_.emplace_back(name, worker_id);
      }
      return ChildCommand{.program = worker_program_,
                          .arguments = {"--coordinator", address(), "--artifacts", folder_.artifacts(), "--device",
                                        device == v1::CUDA ? absl::StrCat("cuda:", index) : "cpu", "--slots",
                                        absl::StrCat(slots), "--worker-id", worker_id, "--drain-seconds",
                                        absl::StrCat(kDrainSeconds),
                                        // Somebody is looking: a full disk is an error now.
                                        "--disk-patience-seconds", "0"},
                          // A fleet's credentials are none of a private coordinator's business.
                          .environment = {"ESPALIER_TOKEN_FILE=", "ESPALIER_TLS_CA=", "ESPALIER_TLS_CERT=",
                                          "ESPALIER_TLS_KEY=", "ESPALIER_TLS_SERVER_NAME="},
                          .log_path = folder_.log(absl::StrCat("worker-", index))};
    };
    worker.permanent = {{2, absl::StatusCode::kInternal},
                        {3, absl::StatusCode::kFailedPrecondition},
                        {6, absl::StatusCode::kResourceExhausted}};
    supervisor_->Add(std::move(worker));
  }
  return absl::OkStatus();
}

void LocalService::OnDeath(const std::string& name, const ExitStatus& status) {
  std::string dead_worker;
  {
    std::lock_guard lock(mutex_);
    events_.push_back(absl::StrCat(name, " ended (", ToText(status), "), starting it again"));
    for (const auto& [worker, id] : ids_) {
      if (worker == name) dead_worker = id;
    }
  }
  if (!dead_worker.empty()) ReportDead(dead_worker);
}

// So that the dead worker's leases end at once. When the coordinator is away too, they end by themselves a little
// later.
void LocalService::ReportDead(const std::string& worker_id) const {
  const auto channel = grpc::CreateChannel(address(), grpc::InsecureChannelCredentials());
  const auto stub = v1::WorkerService::NewStub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(500));
  v1::SynchronizeRequest request;
  request.set_worker_id(worker_id);
  request.set_departure(v1::SynchronizeRequest::DIED);
  v1::SynchronizeResponse response;
  stub->Synchronize(&context, request, &response);
}

std::vector<std::string> LocalService::TakeEvents() {
  std::lock_guard lock(mutex_);
  return std::exchange(events_, {});
}

}  // namespace espalier
