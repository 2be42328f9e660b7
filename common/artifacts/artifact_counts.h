// How often this process read, wrote, looked up, removed and listed artifacts, and how that ended: for metrics.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "common/artifacts/artifact_store.h"

namespace espalier {

enum class ArtifactOperation {
  kRead,    // of content, whole or in part
  kWrite,   // of content; also one that is there already
  kLook,    // sizes and names
  kChange,  // of names and ages
  kRemove,
  kList,
};
inline constexpr int kNumArtifactOperations = 6;
const char* Name(ArtifactOperation operation);  // "read", ...

enum class ArtifactResult {
  kSucceeded,
  kMissing,  // there is none, or what was asked for cannot be: the caller's mistake
  kDamaged,  // its content is not what its name says
  kNoRoom,
  kFailed,   // anything else: an I/O error, storage that does not answer, access that is refused
};
inline constexpr int kNumArtifactResults = 5;
const char* Name(ArtifactResult result);  // "succeeded", "missing", "damaged", "no_room", "failed"

// Thread-safe.
class ArtifactCounts {
 public:
  void Note(ArtifactOperation operation, const absl::Status& status);
  int64_t Of(ArtifactOperation operation, ArtifactResult result) const;
  // Every pair that can be, also those that have not happened yet: a rate over a series that begins with its first event misses it.
  void ForEach(const std::function<void(ArtifactOperation, ArtifactResult, int64_t)>& visit) const;

  // Of all stores that OpenArtifactStore has opened.
  static ArtifactCounts& OfProcess();

 private:
  std::array<std::atomic<int64_t>, kNumArtifactOperations * kNumArtifactResults> counts_ = {};
};

// Passes everything on and notes it. `counts` outlives the store.
std::unique_ptr<ArtifactStore> CountOperations(std::unique_ptr<ArtifactStore> store, ArtifactCounts* counts);

}  // namespace espalier
