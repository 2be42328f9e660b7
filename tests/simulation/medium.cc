#include "tests/simulation/medium.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/sha256.h"
#include "common/base/status_macros.h"
#include "tests/simulation/ledger.h"

namespace espalier::simulation {
namespace {

absl::Status Failed(const char* what, const char* how) {
  return absl::UnavailableError(absl::StrCat("the store is busy (", what, ", ", how, ")"));
}

}  // namespace

SimulatedStore::SimulatedStore(Context& context, Medium& medium, Ledger& ledger)
    : context_(context), medium_(medium), ledger_(ledger), inner_(medium.content) {
  ledger_.OnEpoch(inner_.epoch());
}

void SimulatedStore::Break() { health_ = absl::UnavailableError("the store could not sync its file"); }

absl::Status SimulatedStore::Write(const char* what, const std::function<absl::Status()>& write) {
  const Profile& profile = context_.profile;
  if (context_.Strikes(Fault::kCoordinatorDeath, profile.death_in_write / 2)) throw ProcessDied{"before a write"};
  if (!health_.ok() || context_.Strikes(Fault::kStoreFails, profile.store_fails)) {
    ++medium_.num_bad_writes;
    context_.Note("store: ", what, " fails before the write");
    return health_.ok() ? Failed(what, "before the write") : health_;
  }
  // A former leader whose epoch nobody checks.
  const int64_t newest = medium_.content->epoch;
  const bool is_unfenced = context_.defect == Defect::kLeaseNotFenced && newest != epoch();
  if (is_unfenced) medium_.content->epoch = epoch();
  const absl::Status status = write();
  if (is_unfenced) medium_.content->epoch = newest;
  if (status.code() == absl::StatusCode::kAborted) ++medium_.num_bad_writes;
  if (status.ok() && newest != epoch()) {
    context_.Violate("I6", what, ": a write of epoch ", epoch(), " went through after epoch ", newest, " began");
  }
  if (context_.Strikes(Fault::kCoordinatorDeath, profile.death_in_write / 2)) throw ProcessDied{"after a write"};
  if (status.ok() && context_.Strikes(Fault::kStoreLies, profile.store_lies)) {
    ++medium_.num_bad_writes;
    context_.Note("store: ", what, " is reported as failed after the write");
    return Failed(what, "after the write");
  }
  return status;
}

absl::Status SimulatedStore::BeforeRead() {
  if (context_.Strikes(Fault::kStoreFails, context_.profile.store_fails / 4)) {
    ++medium_.num_bad_writes;
    context_.Note("store: a read fails");
    return Failed("reading", "nothing was read");
  }
  return absl::OkStatus();
}

absl::Status SimulatedStore::InsertJob(const JobRecord& job) {
  return Write("InsertJob", [&] {
    const absl::Status status = inner_.InsertJob(job);
    if (status.ok()) ledger_.OnJobInserted(job);
    return status;
  });
}

absl::Status SimulatedStore::UpdateJob(const std::string& job_id, const JobUpdate& update) {
  return Write("UpdateJob", [&] {
    const bool is_forgotten = context_.defect == Defect::kCancelForgotten && update.state == JobState::kCancelled;
    if (is_forgotten || std::exchange(swallows_next_update, false)) return absl::OkStatus();
    const absl::Status status = inner_.UpdateJob(job_id, update);
    if (status.ok()) ledger_.OnJobUpdated(job_id, update);
    return status;
  });
}

absl::Status SimulatedStore::DeleteJob(const std::string& job_id) {
  return Write("DeleteJob", [&] {
    const absl::Status status = inner_.DeleteJob(job_id);
    if (status.ok()) ledger_.OnJobDeleted(job_id);
    return status;
  });
}

absl::StatusOr<std::map<std::string, std::string>> SimulatedStore::LoadDeletedRequests() {
  ESPALIER_RETURN_IF_ERROR(BeforeRead());
  return inner_.LoadDeletedRequests();
}

absl::StatusOr<std::vector<JobRecord>> SimulatedStore::LoadJobs() {
  ESPALIER_RETURN_IF_ERROR(BeforeRead());
  return inner_.LoadJobs();
}

absl::Status SimulatedStore::InsertAttempts(const std::vector<AttemptRecord>& attempts) {
  return Write("InsertAttempts", [&] {
    const absl::Status status = inner_.InsertAttempts(attempts);
    if (status.ok()) ledger_.OnAttempts(attempts);
    return status;
  });
}

absl::Status SimulatedStore::EndAttempt(const LeaseToken& token, AttemptEnd end, const std::string& reason) {
  return Write("EndAttempt", [&] {
    const absl::Status status = inner_.EndAttempt(token, end, reason);
    if (status.ok()) ledger_.OnAttemptEnded(token, end, reason);
    return status;
  });
}

absl::StatusOr<std::vector<AttemptRecord>> SimulatedStore::LoadAttempts(const std::string& job_id) {
  ESPALIER_RETURN_IF_ERROR(BeforeRead());
  return inner_.LoadAttempts(job_id);
}

EventRecord SimulatedStore::Altered(const EventRecord& event) {
  EventRecord altered = event;
  if (context_.defect == Defect::kMeasurementAltered && !altered.payload.empty() && context_.OneIn(50)) {
    char& byte = altered.payload[context_.random.Below(altered.payload.size())];
    byte = static_cast<char>(byte ^ 1);
  }
  return altered;
}

absl::StatusOr<std::vector<int64_t>> SimulatedStore::CommitAll(const std::vector<EventCommit>& commits) {
  std::vector<EventCommit> entered = commits;
  for (EventCommit& commit : entered) commit.event = Altered(commit.event);
  std::vector<int64_t> sequences;
  const absl::Status status = Write("CommitAll", [&]() -> absl::Status {
    ESPALIER_ASSIGN_OR_RETURN(sequences, inner_.CommitAll(entered));
    for (size_t i = 0; i < entered.size(); ++i) {
      EventRecord& event = entered[i].event;
      event.sequence = sequences[i];
      ledger_.OnCommit(event);
      if (context_.defect == Defect::kAttemptCountedTwice && context_.OneIn(20)) {
        medium_.content->events.push_back(event);
        medium_.content->events.back().sequence = ++medium_.content->sequence;
        ledger_.OnCommit(medium_.content->events.back());
      }
    }
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return sequences;
}

absl::StatusOr<std::vector<EventRecord>> SimulatedStore::LoadEvents(const std::string& job_id, int64_t after_sequence) {
  ESPALIER_RETURN_IF_ERROR(BeforeRead());
  if (hides_events) return std::vector<EventRecord>();
  absl::StatusOr<std::vector<EventRecord>> events = inner_.LoadEvents(job_id, after_sequence);
  if (context_.defect == Defect::kOtherOrderAfterRestart && events.ok() && events->size() > 1) {
    // Ordered by what was done instead of by when it was committed.
    std::stable_sort(events->begin(), events->end(),
                     [](const EventRecord& a, const EventRecord& b) { return a.task_id < b.task_id; });
  }
  return events;
}

absl::StatusOr<std::optional<BankLayerRecord>> SimulatedStore::FindBankLayer(const std::string& key, int layer) {
  ESPALIER_RETURN_IF_ERROR(BeforeRead());
  return inner_.FindBankLayer(key, layer);
}

absl::Status SimulatedStore::LoseBankLayers(const std::string& artifact) {
  return Write("LoseBankLayers", [&] { return inner_.LoseBankLayers(artifact); });
}

absl::StatusOr<std::string> SimulatedArtifacts::Put(std::string_view content) {
  if (is_full) {
    context_.Happened(Fault::kArtifactStoreFull);
    return absl::ResourceExhaustedError("no space left where artifacts lie");
  }
  const std::string digest = Sha256Hex(content);
  contents_[digest] = std::string(content);
  put_at_[digest] = context_.loop.now();
  lost_.erase(digest);
  return digest;
}

absl::StatusOr<std::string> SimulatedArtifacts::PutFile(const std::string& path) { return Put(path); }

absl::StatusOr<std::string> SimulatedArtifacts::Get(const std::string& digest) {
  const auto found = contents_.find(digest);
  if (found == contents_.end()) return absl::NotFoundError(absl::StrCat("there is no artifact ", digest));
  return found->second;
}

absl::StatusOr<std::string> SimulatedArtifacts::GetRange(const std::string& digest, int64_t offset, int64_t length) {
  ESPALIER_ASSIGN_OR_RETURN(const std::string content, Get(digest));
  return content.substr(std::min(static_cast<size_t>(offset), content.size()), static_cast<size_t>(length));
}

absl::StatusOr<int64_t> SimulatedArtifacts::Size(const std::string& digest) {
  ESPALIER_ASSIGN_OR_RETURN(const std::string content, Get(digest));
  return static_cast<int64_t>(content.size());
}

absl::Status SimulatedArtifacts::Remove(const std::string& digest) {
  contents_.erase(digest);
  return absl::OkStatus();
}

absl::Status SimulatedArtifacts::SetName(const std::string& name, std::string_view value) {
  names_[name] = std::string(value);
  return absl::OkStatus();
}

absl::StatusOr<std::string> SimulatedArtifacts::GetName(const std::string& name) {
  const auto found = names_.find(name);
  if (found == names_.end()) return absl::NotFoundError(absl::StrCat("there is no name ", name));
  return found->second;
}

absl::Status SimulatedArtifacts::RemoveName(const std::string& name) {
  names_.erase(name);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<StoredArtifact>> SimulatedArtifacts::List() {
  std::vector<StoredArtifact> all;
  for (const auto& [digest, content] : contents_) {
    const absl::Time put_time = put_at_[digest];
    all.push_back({digest, static_cast<int64_t>(content.size()), context_.loop.now() - put_time, put_time});
  }
  if (meanwhile) meanwhile();
  return all;
}

absl::StatusOr<std::vector<StoredName>> SimulatedArtifacts::ListNames() {
  std::vector<StoredName> all;
  for (const auto& [name, value] : names_) all.push_back({name, value, absl::ZeroDuration()});
  return all;
}

absl::Status SimulatedArtifacts::Keep(const std::string& digest) {
  if (!Has(digest)) return absl::NotFoundError(absl::StrCat("there is no artifact ", digest));
  put_at_[digest] = context_.loop.now();
  return absl::OkStatus();
}

absl::StatusOr<bool> SimulatedArtifacts::RemoveUnused(const std::string& digest, absl::Time put_time) {
  if (meanwhile) meanwhile();
  if (!Has(digest)) return true;
  if (put_at_[digest] > put_time) return false;
  contents_.erase(digest);
  if (on_collected) on_collected(digest);
  return true;
}

// A layer of a level bank, which a search can make again; empty when there is none.
std::string SimulatedArtifacts::AnyLayer() {
  std::vector<std::string> layers;
  for (const auto& [digest, content] : contents_) {
    if (content.starts_with("layer ")) layers.push_back(digest);
  }
  return layers.empty() ? "" : layers[context_.random.Below(layers.size())];
}

std::string SimulatedArtifacts::Lose() {
  const std::string digest = AnyLayer();
  if (contents_.erase(digest) > 0) {
    lost_.insert(digest);
    context_.Happened(Fault::kArtifactLoss);
  }
  return digest;
}

void SimulatedArtifacts::Collect() { contents_.erase(AnyLayer()); }

}  // namespace espalier::simulation
