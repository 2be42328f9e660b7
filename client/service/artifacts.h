// Results over the wire: an artifact is read by digest and offset, verified, and only then given its name.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/service/connection.h"

namespace espalier {

// The content in memory, for small artifacts; kDataLoss when the digest differs.
absl::StatusOr<std::string> ReadArtifact(Connection& connection, const std::string& digest);

// Writes the files of an export into `folder`: into a hidden folder beside it first, each verified by its digest, then
// renamed, so that `folder` is there whole or not at all. An existing folder is replaced only when CheckReplaceable
// (model_target.h) allows it; else kAlreadyExists. kResourceExhausted when the disk is full.
absl::Status FetchFolder(Connection& connection, const std::vector<v1::ExportedFile>& files, const std::string& folder);

}  // namespace espalier
