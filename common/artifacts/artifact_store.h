// Content-addressed bytes: an artifact is named by the SHA-256 of its content, written atomically, verified on reading.
// Safe with several writers: the same content always lands under the same name. tests/contract holds every
// implementation to this contract.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace espalier {

struct StoredArtifact {
  std::string digest;
  int64_t bytes = 0;
  absl::Duration age;  // since it was last put, by the store's own clock: no other machine's is asked
  absl::Time put_time;  // when that was, by the same clock; for RemoveUnused
};

struct StoredName {
  std::string name;
  std::string value;
  absl::Duration age;  // since it was last set
};

class ArtifactStore {
 public:
  virtual ~ArtifactStore() = default;

  // Stores the content and returns its digest. When it is there already and whole, only its age begins anew.
  virtual absl::StatusOr<std::string> Put(std::string_view content) = 0;
  // The same for content that lies in several pieces, one after the other.
  virtual absl::StatusOr<std::string> PutPieces(const std::vector<std::string_view>& pieces);
  // The same for a file on disk; the file stays where it is.
  virtual absl::StatusOr<std::string> PutFile(const std::string& path) = 0;

  // The content, verified: kDataLoss names the digest when a byte differs (the damaged file is moved aside, so that a
  // rebuild can write it again), kNotFound when there is none.
  virtual absl::StatusOr<std::string> Get(const std::string& digest) = 0;
  // Part of the content, not verified (for streaming to clients, who check the digest at the end).
  virtual absl::StatusOr<std::string> GetRange(const std::string& digest, int64_t offset, int64_t length) = 0;
  virtual absl::StatusOr<int64_t> Size(const std::string& digest) = 0;  // kNotFound when there is none
  virtual absl::Status Remove(const std::string& digest) = 0;           // OK when there was none

  // Small mutable names (a bank's manifest, a recovery's last checkpoint): written atomically, last writer wins.
  // Names are paths of [A-Za-z0-9._-] components.
  virtual absl::Status SetName(const std::string& name, std::string_view value) = 0;
  virtual absl::StatusOr<std::string> GetName(const std::string& name) = 0;  // kNotFound when never set
  virtual absl::Status RemoveName(const std::string& name) = 0;

  // What is there, for collecting what nobody refers to (coordinator/core/artifact_collector.h).
  virtual absl::StatusOr<std::vector<StoredArtifact>> List() = 0;
  virtual absl::StatusOr<std::vector<StoredName>> ListNames() = 0;
  // Its age begins anew, as by a Put of the same content; kNotFound when there is none.
  virtual absl::Status Keep(const std::string& digest) = 0;
  // Removes the artifact unless it was put after `put_time` (of List), however long ago that List was; in a folder also by a
  // writer that puts it at this very moment. Whether it is gone; true when there was none.
  virtual absl::StatusOr<bool> RemoveUnused(const std::string& digest, absl::Time put_time) = 0;
};

// In a folder that coordinator and workers share: sha256/ab/<digest> and names/<name>. Creates the folder.
absl::StatusOr<std::unique_ptr<ArtifactStore>> OpenFolderArtifactStore(const std::string& folder);

// What --artifacts names: a folder, or "s3://BUCKET[/PREFIX]" in object storage (s3_artifact_store.h) at `endpoint`
// (empty: the environment's, else AWS's).
absl::StatusOr<std::unique_ptr<ArtifactStore>> OpenArtifactStore(const std::string& where, const std::string& endpoint);
bool IsObjectStorage(const std::string& where);

}  // namespace espalier
