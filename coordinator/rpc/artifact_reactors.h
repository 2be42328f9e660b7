// The two streams of artifacts. Files are read and written on an executor, one piece at a time.
#pragma once

#include <grpcpp/support/server_callback.h>

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "common/artifacts/artifact_store.h"
#include "coordinator/rpc/executor.h"
#include "coordinator/rpc/quota.h"
#include "espalier/v1/search_service.pb.h"

namespace espalier {

struct UploadLimits {
  std::string upload_folder;
  std::string artifact_folder;  // only for the path in the answer
  int64_t max_bytes = 0;
};

// `refusal` or `ticket` not OK: the stream ends at once with it. The ticket is given back at its end.
grpc::ServerWriteReactor<v1::ReadArtifactResponse>* StartArtifactRead(const absl::Status& refusal,
                                                                      absl::StatusOr<Quota::Ticket> ticket,
                                                                      const v1::ReadArtifactRequest& request,
                                                                      ArtifactStore* artifacts, Executor* executor);
grpc::ServerReadReactor<v1::UploadArtifactRequest>* StartArtifactUpload(const absl::Status& refusal,
                                                                        absl::StatusOr<Quota::Ticket> ticket,
                                                                        UploadLimits limits,
                                                                        v1::UploadArtifactResponse* response,
                                                                        ArtifactStore* artifacts, Executor* executor);

}  // namespace espalier
