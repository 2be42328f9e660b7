// What digests and names of artifacts may look like, and the names that belong to jobs.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace espalier {

// kInvalidArgument unless it is 64 lower-case hexadecimal digits.
absl::Status CheckArtifactDigest(const std::string& digest);
bool IsArtifactDigest(const std::string& text);
// kInvalidArgument unless it is a path of [A-Za-z0-9._-] components that do not begin with a dot.
absl::Status CheckArtifactName(const std::string& name);

// All names under this prefix belong to the job and go when it has gone. Job ids come from outside and names allow few
// characters, so the job id is hashed.
std::string RecoveryNamePrefix(const std::string& job_id);  // "recovery/<hash>/"
// The folder of RecoveryNamePrefix that the name is in; empty when it is no such name.
std::string RecoveryNamePrefixOf(const std::string& name);

// The digest in a path of an artifact's own file, as UploadArtifact answers it (".../sha256/ab/<digest>"); empty when
// the path is none.
std::string ArtifactDigestInPath(const std::string& path);

}  // namespace espalier
