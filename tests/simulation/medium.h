// The durable medium: what outlives every process. The store over it is the one that the unit tests use, with the
// faults of disks and databases in front: busy, an error before a write, an error after it, death of the caller before
// or after.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "common/artifacts/artifact_store.h"
#include "coordinator/store/memory_job_store.h"
#include "tests/simulation/context.h"

namespace espalier::simulation {

class Ledger;

// Thrown through the coordinator's code: its process dies in the middle of what it does.
struct ProcessDied {
  const char* where;
};

struct Medium {
  std::shared_ptr<MemoryJobStore::Content> content = std::make_shared<MemoryJobStore::Content>();
  // Defect kAcknowledgedEarly: what a crash leaves.
  std::optional<MemoryJobStore::Content> synced;
  int64_t num_bad_writes = 0;  // failed, or reported as failed
};

class SimulatedStore final : public JobStore {
 public:
  SimulatedStore(Context& context, Medium& medium, Ledger& ledger);

  absl::StatusOr<std::string> Identity() override { return inner_.Identity(); }
  int64_t epoch() const override { return inner_.epoch(); }
  absl::Status InsertJob(const JobRecord& job) override;
  absl::Status UpdateJob(const std::string& job_id, const JobUpdate& update) override;
  absl::Status DeleteJob(const std::string& job_id) override;
  absl::StatusOr<std::map<std::string, std::string>> LoadDeletedRequests() override;
  absl::StatusOr<std::vector<JobRecord>> LoadJobs() override;
  absl::Status InsertAttempts(const std::vector<AttemptRecord>& attempts) override;
  absl::Status EndAttempt(const LeaseToken& token, AttemptEnd end, const std::string& reason) override;
  absl::StatusOr<std::vector<AttemptRecord>> LoadAttempts(const std::string& job_id) override;
  absl::StatusOr<std::vector<int64_t>> CommitAll(const std::vector<EventCommit>& commits) override;
  absl::StatusOr<std::vector<EventRecord>> LoadEvents(const std::string& job_id, int64_t after_sequence) override;
  absl::StatusOr<std::optional<BankLayerRecord>> FindBankLayer(const std::string& key, int layer) override;
  absl::Status LoseBankLayers(const std::string& artifact) override;
  absl::Status Health() const override { return health_; }

  bool swallows_next_update = false;  // defect kPausedJobGranted
  bool hides_events = false;          // defect kReferencesUnread
  // A sync fails: nothing can be written any more.
  void Break();

 private:
  absl::Status Write(const char* what, const std::function<absl::Status()>& write);
  absl::Status BeforeRead();
  EventRecord Altered(const EventRecord& event);

  Context& context_;
  Medium& medium_;
  Ledger& ledger_;
  MemoryJobStore inner_;
  absl::Status health_;
};

class SimulatedArtifacts final : public ArtifactStore {
 public:
  explicit SimulatedArtifacts(Context& context) : context_(context) {}

  absl::StatusOr<std::string> Put(std::string_view content) override;
  absl::StatusOr<std::string> PutFile(const std::string& path) override;
  absl::StatusOr<std::string> Get(const std::string& digest) override;
  absl::StatusOr<std::string> GetRange(const std::string& digest, int64_t offset, int64_t length) override;
  absl::StatusOr<int64_t> Size(const std::string& digest) override;
  absl::Status Remove(const std::string& digest) override;
  absl::Status SetName(const std::string& name, std::string_view value) override;
  absl::StatusOr<std::string> GetName(const std::string& name) override;
  absl::Status RemoveName(const std::string& name) override;
  absl::StatusOr<std::vector<StoredArtifact>> List() override;
  absl::StatusOr<std::vector<StoredName>> ListNames() override;
  absl::Status Keep(const std::string& digest) override;
  absl::StatusOr<bool> RemoveUnused(const std::string& digest, absl::Time put_time) override;

  bool Has(const std::string& digest) const { return contents_.contains(digest); }
  bool WasLost(const std::string& digest) const { return lost_.contains(digest); }
  // One of those that are there; empty when there is none.
  std::string Lose();
  void Collect();  // defect kArtifactCollected

  bool is_full = false;
  std::function<void()> meanwhile;  // what others do while a collector lists and removes
  bool is_interrupted = false;      // they do it now
  std::function<void(const std::string& digest)> on_collected;

 private:
  std::string AnyLayer();

  Context& context_;
  std::map<std::string, std::string> contents_;
  std::map<std::string, absl::Time> put_at_;
  std::map<std::string, std::string> names_;
  std::set<std::string> lost_;
};

}  // namespace espalier::simulation
