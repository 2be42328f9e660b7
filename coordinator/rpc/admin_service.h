// AdminService: calls for the people who keep a coordinator running.
#pragma once

#include <string>

#include "coordinator/rpc/executor.h"
#include "coordinator/rpc/gate.h"
#include "coordinator/store/backup_source.h"
#include "espalier/v1/admin_service.grpc.pb.h"

namespace espalier {

class AdminServiceImpl final : public v1::AdminService::CallbackService {
 public:
  // `source` is null when the store is no file. `folder`: for copies on their way. A copy is made on and
  // sent from `readers`.
  AdminServiceImpl(BackupSource* source, const Gate* gate, Executor* readers, std::string folder);

  grpc::ServerWriteReactor<v1::BackupResponse>* Backup(grpc::CallbackServerContext* context,
                                                       const v1::BackupRequest* request) override;

 private:
  BackupSource* source_;
  const Gate* gate_;
  Executor* readers_;
  const std::string folder_;
};

}  // namespace espalier
