#include "coordinator/core/job_entry.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/domain/device_memory.h"
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
  absl::StatusOr<std::unique_ptr<JobProgram>> made = factory_(record.job_id, spec, inputs);
  if (!made.ok()) {
    replay_error = absl::StrCat("the stored job does not fit this version: ", made.status().message());
    return absl::FailedPreconditionError(replay_error);
  }
  program = *std::move(made);
  for (const EventRecord& event : events) {
    const absl::Status status = Tell(event);
    if (status.ok()) continue;
    program = nullptr;
    replay_error = absl::StrCat("event ", event.sequence, " of the stored search does not fit this version: ",
                                status.message());
    return absl::FailedPreconditionError(replay_error);
  }
  num_generations_ = program->Generations().size();
  return absl::OkStatus();
}

absl::Status JobEntry::Tell(const EventRecord& event) {
  last_sequence = event.sequence;
  switch (event.kind) {
    case EventKind::kOutcome: {
      ESPALIER_ASSIGN_OR_RETURN(const TaskOutcome outcome, wire::ParseTaskOutcome(event.payload));
      told[event.task_id] = event.attempt;
      has_outcome = has_outcome || event.attempt > 0;
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
  const int64_t revision = program->WantedRevision();
  ESPALIER_RETURN_IF_ERROR(Tell(event));
  const bool is_about_task = event.kind == EventKind::kOutcome || event.kind == EventKind::kTaskFailed;
  if (is_about_task && program->WantedRevision() == revision) {
    RemoveQueued(event.task_id);
  } else {
    RefreshQueue(now);
    NoteGenerations(now);
  }
  return absl::OkStatus();
}

// A generation that ends makes other tasks wanted, so that this need not be looked at with each outcome.
void JobEntry::NoteGenerations(absl::Time now) {
  const std::vector<GenerationView> generations = program->Generations();
  const size_t count = generations.size();
  if (count == num_generations_) return;
  for (size_t i = num_generations_; i < count; ++i) ended_offspring.push_back(generations[i].offspring);
  if (generation_began_ < now) ended_generation = now - generation_began_;
  num_generations_ = count;
  generation_began_ = now;
}

const SearchHealth& JobEntry::Health() {
  health_ = HealthOf(*program, Preview().dense_cost, health_);
  return health_;
}

void JobEntry::RemoveQueued(const std::string& task_id) {
  const auto found = queue.find(task_id);
  if (found == queue.end()) return;
  ready.Remove(found->second.position);
  queue.erase(found);
}

void JobEntry::RefreshQueue(absl::Time now) {
  may_have_unwanted_leases = true;
  ready.Clear();
  if (program == nullptr || program->finished() || IsFinal(record.state)) {
    queue.clear();
    return;
  }
  std::map<std::string, Queued> wanted;
  int64_t position = 0;
  for (Task& task : program->Wanted()) {
    auto known = queue.extract(task.task_id);
    const std::string task_id = task.task_id;
    if (known.empty()) {
      Queued& queued = wanted[task_id];
      queued.wanted_since = now;
      queued.input_digest = InputDigest(task);
      queued.task = std::move(task);
      has_unchecked_banks = true;
    } else {
      wanted.insert(std::move(known));  // the same task has the same content
    }
    Queued& queued = wanted.at(task_id);
    queued.position = position++;
    if (!leased.contains(task_id)) ready.Put(queued.position, {&queued.task, queued.wanted_since});
  }
  queue = std::move(wanted);
}

void JobEntry::SetLeased(const std::string& task_id, bool is_leased) {
  if (is_leased) {
    leased.insert(task_id);
  } else {
    leased.erase(task_id);
  }
  const auto found = queue.find(task_id);
  if (found == queue.end()) return;
  ready.Remove(found->second.position);
  if (!is_leased) ready.Put(found->second.position, {&found->second.task, found->second.wanted_since});
}

void JobEntry::CheckBanksAgain() {
  for (auto& [task_id, waiting] : queue) waiting.is_bank_checked = false;
  has_unchecked_banks = !queue.empty();
}

bool JobEntry::IsLive(const StateKey& state) {
  if (IsFinal(record.state) || program == nullptr) return false;
  if (live_sequence_ != last_sequence) {
    const std::vector<StateKey> live = program->LiveStates();
    live_states_ = {live.begin(), live.end()};
    live_sequence_ = last_sequence;
  }
  return live_states_.contains(state);
}

const JobPreview& JobEntry::Preview() {
  if (!preview_.has_value()) {
    absl::StatusOr<JobPreview> made = ResolveJob(spec, inputs);
    preview_ = made.ok() ? *std::move(made) : JobPreview{};
  }
  return *preview_;
}

JobSize SizeOf(const JobPreview& preview) {
  JobSize size;
  size.dense_parameters = preview.dense_parameters;
  if (preview.dense_cost > 0)
    size.share = static_cast<double>(preview.target_cost) / static_cast<double>(preview.dense_cost);
  return size;
}

bool JobEntry::IsBoundToClass() const { return has_outcome || is_behind || !leased.empty(); }

bool JobEntry::IsOfOtherClass(const std::string& numerics_class) const {
  return IsBoundToClass() && record.numerics_class != numerics_class;
}

Requirements JobEntry::WorkerRequirements() {
  Requirements requirements;
  requirements.device = spec.device;
  if (IsBoundToClass()) requirements.numerics_class = record.numerics_class;
  requirements.device_memory = spec.minimum_device_memory;
  if (spec.minimum_device_memory > 0 || spec.device != DeviceKind::kCuda || Preview().dense_cost == 0) return requirements;
  if (!least_memory_.has_value()) least_memory_ = LeastMemory(spec, SizeOf(Preview())).bytes;
  requirements.device_memory = *least_memory_;
  requirements.is_memory_an_estimate = true;
  return requirements;
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
