// Artifacts in a bucket of S3-compatible object storage: PREFIX/sha256/ab/<digest> and PREFIX/names/<name>.
//
// Decisions. An object appears whole or not at all, by the service's promise for PUT and for completed multipart uploads.
// What we wrote carries its digest as metadata, so that a writer knows without reading whether what is there is ours; a
// reader verifies every byte. The age is the service's Last-Modified against its own Date. A service without conditional
// deletes leaves a moment between RemoveUnused's look and its delete in which a writer can make the object young and lose
// it all the same: the core then refuses the outcome that names it, and the task is done again (artifact_references.cc).
#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "common/artifacts/artifact_store.h"
#include "common/artifacts/s3_client.h"

namespace espalier {

struct S3StoreOptions {
  S3Client::Options client;
  int64_t part_bytes = int64_t{64} << 20;  // larger content goes up in parts of this size; S3 wants 5 MiB at least
};

// kNotFound, kPermissionDenied or kUnavailable when the bucket cannot be listed.
absl::StatusOr<std::unique_ptr<ArtifactStore>> OpenS3ArtifactStore(const S3Location& location, const S3StoreOptions& options);

}  // namespace espalier
