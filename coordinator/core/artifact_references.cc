// What the core answers to those who collect artifacts that nobody refers to (artifact_collector.h).
#include "coordinator/core/artifact_references.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/artifacts/artifact_names.h"
#include "common/base/status_macros.h"
#include "common/wire/record.h"
#include "coordinator/core/enter.h"

namespace espalier {

std::vector<std::string> ArtifactsOf(const TaskOutcome& outcome) {
  std::vector<std::string> digests;
  if (const auto* layer = std::get_if<BankLayerOutcome>(&outcome)) digests.push_back(layer->artifact_digest);
  if (const auto* finish = std::get_if<FinishOutcome>(&outcome)) {
    for (const ExportedFile& file : finish->files) digests.push_back(file.digest);
  }
  return digests;
}

std::vector<std::string> JobEntry::Uploads() const {
  std::vector<std::string> digests;
  for (const std::string& path : {spec.model_folder, spec.tokens_path, spec.evaluation_path}) {
    if (std::string digest = ArtifactDigestInPath(path); !digest.empty()) digests.push_back(std::move(digest));
  }
  return digests;
}

absl::Status JobEntry::NoteArtifacts(JobStore& store) {
  for (std::string& digest : Uploads()) artifacts.insert(std::move(digest));
  if (!record.result_artifact.empty()) artifacts.insert(record.result_artifact);
  ESPALIER_ASSIGN_OR_RETURN(const std::vector<EventRecord> events, store.LoadEvents(record.job_id, artifacts_sequence_));
  for (const EventRecord& event : events) {
    if (event.kind == EventKind::kOutcome) {
      ESPALIER_ASSIGN_OR_RETURN(const TaskOutcome outcome, wire::ParseTaskOutcome(event.payload));
      for (std::string& digest : ArtifactsOf(outcome)) artifacts.insert(std::move(digest));
    }
    artifacts_sequence_ = event.sequence;
  }
  return absl::OkStatus();
}

absl::Status Coordinator::NoteAllArtifacts() {
  if (has_uncertain_jobs_) return absl::UnavailableError("the store may have jobs that are not known yet");
  for (auto& [id, job] : jobs_) ESPALIER_RETURN_IF_ERROR(job->NoteArtifacts(*parts_.store));
  return absl::OkStatus();
}

absl::StatusOr<ArtifactReferences> Coordinator::ReferencedArtifacts() {
  std::vector<std::string> ids;
  {
    const std::lock_guard lock(mutex_);
    ids = job_order_;
  }
  for (const std::string& id : ids) {  // one at a time: a long history must not keep workers waiting
    const std::lock_guard lock(mutex_);
    const auto found = jobs_.find(id);
    if (found != jobs_.end()) ESPALIER_RETURN_IF_ERROR(found->second->NoteArtifacts(*parts_.store));
  }
  const std::lock_guard lock(mutex_);
  ESPALIER_RETURN_IF_ERROR(NoteAllArtifacts());
  ArtifactReferences references;
  for (const auto& [id, job] : jobs_) {
    references.job_ids.push_back(id);
    references.digests.insert(job->artifacts.begin(), job->artifacts.end());
  }
  references.released = std::exchange(released_, {});
  return references;
}

absl::StatusOr<std::vector<std::string>> Coordinator::BeginCollecting(const std::vector<std::string>& digests) {
  const std::lock_guard lock(mutex_);
  ESPALIER_RETURN_IF_ERROR(NoteAllArtifacts());
  std::vector<std::string> taken;
  for (const std::string& digest : digests) {
    bool is_referenced = false;
    for (const auto& [id, job] : jobs_) is_referenced = is_referenced || job->artifacts.contains(digest);
    if (is_referenced) continue;
    // Also the proof that this coordinator leads, and that its store takes commits.
    const absl::Status status = Timed([&] { return parts_.store->LoseBankLayers(digest); });
    if (!status.ok()) {
      NoteStoreError("an artifact to be collected", status);
      return status;
    }
    collected_[digest] = true;
    taken.push_back(digest);
  }
  return taken;
}

void Coordinator::EndCollecting() {
  const std::lock_guard lock(mutex_);
  for (auto& [digest, is_under_way] : collected_) is_under_way = false;
}

absl::Status Coordinator::ConfirmLeads() {
  const std::lock_guard lock(mutex_);
  const absl::Status status = Timed([&] { return parts_.store->LoseBankLayers(""); });
  if (!status.ok()) NoteStoreError("whether this coordinator leads", status);
  return status;
}

// For what is about to refer to these artifacts. kUnavailable: to be tried again, when it is known whether they go;
// kDataLoss: one has gone, so it must be made again. Of what an older epoch's worker made, a former leader may have begun
// to take it away before it was stopped: once it is kept that one finds it changed and leaves it.
absl::Status Coordinator::CheckNotCollected(const std::vector<std::string>& digests, bool is_of_older_epoch) {
  for (const std::string& digest : digests) {
    const auto found = collected_.find(digest);
    if (found == collected_.end() && !is_of_older_epoch) continue;
    if (found != collected_.end() && found->second) {
      return absl::UnavailableError(absl::StrCat("artifact ", digest, " may be being collected"));
    }
    const absl::Status kept = parts_.artifacts->Keep(digest);
    if (absl::IsNotFound(kept)) {
      return absl::DataLossError(absl::StrCat("artifact ", digest, " was removed, because no job referred to it"));
    }
    if (!kept.ok()) return absl::UnavailableError(kept.message());
    if (found != collected_.end()) collected_.erase(found);  // it was put again
  }
  return absl::OkStatus();
}

}  // namespace espalier
