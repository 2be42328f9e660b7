// Takes away artifacts that no job refers to.
//
// What may go: what a job referred to until it was deleted, once `grace` has passed since then; and what nobody was seen
// to refer to (an upload that was never used, the work of an attempt that came to nothing) once it is `stray_age` old, and
// not before this coordinator has been there for `grace`, so that workers can report what they did meanwhile.
// In both cases only when nobody has put the same content within that time: a writer whose report is still on its way, or
// a job that builds the same bank again, has made it young by putting it (ArtifactStore::Put).
//
// What stands between this and an artifact that is needed: references are read from the store, of every job that is not
// deleted; before anything is removed the core looks again, takes the layer out of the manifest of banks and holds back
// outcomes that name it (Coordinator::BeginCollecting), by a write that only the leading coordinator can make; the store
// of artifacts removes it only as it was listed, and looks at that with the file out of everybody's way: a leader that stood
// still for hours and wakes in the middle finds what was put or kept meanwhile changed. Ages are by the artifact store's clock.
// Several coordinators with databases of their own over one artifact store do not know of each other's jobs: each leaves
// its name in the store, and while there is another's name nothing is collected.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/artifacts/artifact_store.h"
#include "coordinator/core/coordinator.h"

namespace espalier {

struct CollectorOptions {
  absl::Duration grace = absl::Minutes(15);
  absl::Duration stray_age = absl::Hours(24);
};

struct CollectorReport {
  int64_t num_removed = 0;
  int64_t removed_bytes = 0;
  int64_t num_left = 0;
  int64_t left_bytes = 0;
  std::string reason;  // set: nothing was collected, and why
};

class ArtifactCollector {
 public:
  // `identity`: JobStore::Identity. The coordinator and the artifacts outlive the collector.
  ArtifactCollector(Coordinator* coordinator, ArtifactStore* artifacts, std::string identity, CollectorOptions options);

  // One round, to be called every few minutes (a part of `grace`) from a thread of its own: it lists the whole store.
  absl::StatusOr<CollectorReport> Run(absl::Time now);

 private:
  // Whether this coordinator is the only one over these artifacts; leaves its own name.
  absl::StatusOr<std::string> WhyNotAlone(const std::vector<StoredName>& names);
  void NoteReleased(const ArtifactReferences& references, absl::Time now);
  absl::Status RemoveNames(const std::vector<StoredName>& names, const std::set<std::string>& dead, absl::Time now);
  absl::Status Collect(const std::vector<StoredArtifact>& due, CollectorReport& report);
  // How old the artifact must be to go; infinite: it stays for now.
  absl::Duration MinAge(const std::string& digest, absl::Time now) const;

  Coordinator* const coordinator_;
  ArtifactStore* const artifacts_;
  const std::string identity_;
  const CollectorOptions options_;
  std::optional<absl::Time> began_;             // the first round
  std::set<std::string> referenced_;            // as of the last one
  std::map<std::string, absl::Time> released_;  // was referred to once, and not any more since about then
};

}  // namespace espalier
