// Who may work on what, until when. Pure: time is an argument. One lease for each (job, task) at a time.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "common/domain/lease_token.h"
#include "common/domain/task_progress.h"

namespace espalier {

struct Lease {
  LeaseToken token;
  std::string worker_id;
  std::string input_digest;
  absl::Time granted_at;
  absl::Time expires_at;
  bool is_held = false;       // the worker has listed it
  double charged_seconds = 0;  // of device time that its job was charged in advance (fair_shares.h)
  TaskProgress progress;
  absl::Time moved_at = absl::InfinitePast();  // when the progress was last another one than before
};

class LeaseTable {
 public:
  // Replaces nothing: the task must have no lease.
  void Grant(Lease lease);
  // nullptr when the task has no lease, or one with another token.
  const Lease* Find(const LeaseToken& token) const;
  const Lease* FindTask(const std::string& job_id, const std::string& task_id) const;
  // No-op for a token that is not current.
  void Renew(const LeaseToken& token, absl::Time expires_at, const TaskProgress& progress);
  // The progress that is about to be renewed with differs from the last one.
  void NoteMoved(const LeaseToken& token, absl::Time now);
  // Extends what the worker has not listed yet as well: it is calling.
  void RenewAllOf(const std::string& worker_id, absl::Time expires_at);

  std::optional<Lease> Remove(const LeaseToken& token);
  std::vector<Lease> RemoveWorker(const std::string& worker_id);
  std::vector<Lease> RemoveJob(const std::string& job_id);
  // Removes what is due, in order of expiry.
  std::vector<Lease> Expire(absl::Time now);

  std::vector<const Lease*> OfWorker(const std::string& worker_id) const;  // in order of (job, task)
  std::vector<const Lease*> OfJob(const std::string& job_id) const;
  int NumOfWorker(const std::string& worker_id) const;
  std::set<std::string> WorkersOfJob(const std::string& job_id) const;
  int size() const { return static_cast<int>(leases_.size()); }
  absl::Time next_expiry() const;  // InfiniteFuture when there is none

 private:
  using TaskKey = std::pair<std::string, std::string>;
  // Orders by (job, task) and by (expiry, job, task): never by address, so that one history is one order.
  struct ByTask {
    bool operator()(const Lease* a, const Lease* b) const;
  };
  struct ByExpiry {
    bool operator()(const Lease* a, const Lease* b) const;
  };
  void SetExpiry(Lease& lease, absl::Time expires_at);
  Lease Take(std::map<TaskKey, Lease>::iterator at);

  std::map<TaskKey, Lease> leases_;
  std::map<std::string, std::set<Lease*, ByTask>> by_worker_;
  std::set<Lease*, ByExpiry> by_expiry_;
};

}  // namespace espalier
