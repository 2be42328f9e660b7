#include "coordinator/core/job_entry.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/domain/runtime_profile.h"
#include "common/wire/record.h"

namespace espalier {

absl::StatusOr<std::unique_ptr<JobEntry>> JobEntry::Make(JobRecord record, ProgramFactory factory) {
  auto entry = std::make_unique<JobEntry>();
  entry->record = std::move(record);
  entry->factory_ = std::move(factory);
  ESPALIER_ASSIGN_OR_RETURN(entry->spec, wire::ParseJobSpec(entry->record.spec));
  ESPALIER_ASSIGN_OR_RETURN(entry->inputs, wire::ParseJobInputs(entry->record.inputs));
  ESPALIER_ASSIGN_OR_RETURN(entry->ladder,
                            BuildLadderForRuntime(entry->inputs.dense, entry->spec.ladder, entry->spec.runtime));
  return entry;
}

absl::Status JobEntry::EnsureProgram(JobStore& store) {
  if (program != nullptr) return absl::OkStatus();
  ESPALIER_ASSIGN_OR_RETURN(const std::vector<EventRecord> events, store.LoadEvents(record.job_id, 0));
  ESPALIER_ASSIGN_OR_RETURN(program, factory_(record.job_id, spec, inputs));
  for (const EventRecord& event : events) {
    const absl::Status status = Tell(event);
    if (status.ok()) continue;
    program = nullptr;
    replay_error = absl::StrCat("event ", event.sequence, " of the stored search does not fit this version: ",
                                status.message());
    return absl::FailedPreconditionError(replay_error);
  }
  return absl::OkStatus();
}

absl::Status JobEntry::Tell(const EventRecord& event) {
  last_sequence = event.sequence;
  switch (event.kind) {
    case EventKind::kOutcome: {
      ESPALIER_ASSIGN_OR_RETURN(const TaskOutcome outcome, wire::ParseTaskOutcome(event.payload));
      told[event.task_id] = event.attempt;
      attempts.Forget(event.task_id);
      return program->Tell(event.task_id, outcome);
    }
    case EventKind::kTaskFailed:
      told[event.task_id] = 0;
      attempts.Forget(event.task_id);
      failed_tasks.push_back(absl::StrCat(event.task_id, ": ", event.reason));
      return program->TellFailed(event.task_id, event.reason);
    case EventKind::kWallTimeStop:
      is_wall_time_told = true;
      program->TellWallTimeStop();
      return absl::OkStatus();
    case EventKind::kArtifactLost:
      program->TellArtifactLost(event.artifact);
      return absl::OkStatus();
  }
  return absl::DataLossError(absl::StrCat("event of unknown kind ", static_cast<int>(event.kind)));
}

absl::Status JobEntry::Apply(const EventRecord& event, absl::Time now) {
  ++version;
  ESPALIER_RETURN_IF_ERROR(Tell(event));
  RefreshQueue(now);
  return absl::OkStatus();
}

void JobEntry::RefreshQueue(absl::Time now) {
  queue_order.clear();
  if (program == nullptr || program->finished() || IsFinal(record.state)) {
    queue.clear();
    return;
  }
  std::map<std::string, Queued> wanted;
  for (Task& task : program->Wanted()) {
    queue_order.push_back(task.task_id);
    const auto known = queue.find(task.task_id);
    Queued& queued = wanted[task.task_id];
    queued.wanted_since = known == queue.end() ? now : known->second.wanted_since;
    queued.is_bank_checked = known != queue.end() && known->second.is_bank_checked;
    queued.input_digest = InputDigest(task);
    queued.task = std::move(task);
  }
  queue = std::move(wanted);
}

absl::Duration JobEntry::Elapsed(absl::Time now) const {
  absl::Duration elapsed = absl::Seconds(record.elapsed_seconds);
  if (running_since_ != absl::InfinitePast()) elapsed += now - running_since_;
  return elapsed;
}

void JobEntry::StartClock(absl::Time now) {
  if (running_since_ == absl::InfinitePast()) running_since_ = now;
}

void JobEntry::StopClock(absl::Time now) {
  record.elapsed_seconds = absl::ToDoubleSeconds(Elapsed(now));
  running_since_ = absl::InfinitePast();
}

const JobEntry::Granted* JobEntry::FindGranted(const std::string& task_id, int attempt) const {
  const auto task = granted.find(task_id);
  if (task == granted.end()) return nullptr;
  const auto found = task->second.find(attempt);
  return found == task->second.end() ? nullptr : &found->second;
}

JobEntry::Queued* JobEntry::FindQueued(const std::string& task_id) {
  const auto found = queue.find(task_id);
  return found == queue.end() ? nullptr : &found->second;
}

}  // namespace espalier
