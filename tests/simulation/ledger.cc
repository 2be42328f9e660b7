#include "tests/simulation/ledger.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/wire/record.h"

namespace espalier::simulation {
namespace {

const Mask* MaskOf(const Task& task) {
  if (const auto* evaluate = std::get_if<EvaluateTask>(&task.payload)) return &evaluate->mask;
  if (const auto* finish = std::get_if<FinishTask>(&task.payload)) return &finish->mask;
  return nullptr;
}

}  // namespace

void Ledger::ExpectJob(const std::string& request_id, int catalog_index) { expected_[request_id] = catalog_index; }

Ledger::Job* Ledger::Find(const std::string& job_id) {
  const auto found = jobs_.find(job_id);
  return found == jobs_.end() ? nullptr : &found->second;
}

const CatalogJob* Ledger::CatalogOf(const std::string& job_id) const {
  const auto found = jobs_.find(job_id);
  return found == jobs_.end() ? nullptr : found->second.catalog;
}

bool Ledger::WasCancelled(const std::string& job_id) const {
  const auto found = jobs_.find(job_id);
  return found != jobs_.end() && found->second.is_cancel_acknowledged;
}

bool Ledger::IsPoison(const Task& task) const {
  const CatalogJob* catalog = CatalogOf(task.job_id);
  const auto* evaluate = std::get_if<EvaluateTask>(&task.payload);
  return context_.profile.Has(Fault::kPoison) && catalog != nullptr && evaluate != nullptr &&
         !catalog->poison.empty() && evaluate->mask_digest == catalog->poison;
}

bool Ledger::AllJobsFinal() const {
  if (by_request_.size() < expected_.size()) return false;
  return std::all_of(jobs_.begin(), jobs_.end(),
                     [](const auto& item) { return item.second.is_deleted || IsFinal(item.second.state); });
}

void Ledger::OnEpoch(int64_t epoch) {
  if (epoch <= max_epoch_) context_.Violate("I6", "epoch ", epoch, " begins after epoch ", max_epoch_);
  max_epoch_ = std::max(max_epoch_, epoch);
}

void Ledger::OnJobInserted(const JobRecord& record) {
  const std::string request_id = record.request_id.substr(0, record.request_id.find('#'));  // defect kSecondJob
  const auto [known, is_new] = by_request_.emplace(request_id, record.job_id);
  if (!is_new || jobs_.contains(record.job_id) || !expected_.contains(request_id)) {
    context_.Violate("I3", "request '", request_id, "' made job ", record.job_id, " after job ", known->second);
    return;
  }
  Job& job = jobs_[record.job_id];
  job.request_id = request_id;
  job.catalog = &CatalogJobOf(expected_.at(request_id));
  auto program = JobProgram::Create(record.job_id, job.catalog->spec, job.catalog->inputs);
  job.program = *std::move(program);
  for (Task& task : job.program->Wanted()) job.wanted.emplace(task.task_id, std::move(task));
}

void Ledger::OnJobUpdated(const std::string& job_id, const JobUpdate& update) {
  Job* job = Find(job_id);
  if (job == nullptr) return;
  if (update.numerics_class.has_value()) {
    const bool is_other = !job->numerics_class.empty() && job->numerics_class != *update.numerics_class;
    if (is_other && job->has_outcome) {
      context_.Violate("I2", job_id, " changes its numerics class to ", *update.numerics_class, " with results of ",
                       job->numerics_class);
    }
    if (is_other) ++num_class_changes_;
    job->numerics_class = *update.numerics_class;
  }
  if (update.result_artifact.has_value() && !artifacts_.Has(*update.result_artifact)) {
    context_.Violate("I13", job_id, ": its result ", *update.result_artifact, " is not there");
  }
  if (update.result_artifact.has_value()) job->result_artifact = *update.result_artifact;
  if (!update.state.has_value()) return;
  if (IsFinal(job->state) && *update.state != job->state) {
    context_.Violate("I1", job_id, " was ", Name(job->state), " and becomes ", Name(*update.state));
  }
  job->state = *update.state;
  context_.Note("durable: ", job_id, " is ", Name(job->state));
}

void Ledger::OnJobDeleted(const std::string& job_id) {
  Job* job = Find(job_id);
  if (job == nullptr) return;
  if (!IsFinal(job->state)) context_.Violate("I3", job_id, " is deleted while it is ", Name(job->state));
  job->is_deleted = true;
  job->events.clear();
  job->attempts.clear();
  job->wanted.clear();
  job->program = nullptr;
}

void Ledger::CheckMask(const Job& job, const Task& task) {
  const Mask* mask = MaskOf(task);
  if (mask == nullptr) return;
  const auto& units = task.context.ladder.units;
  bool fits = mask->levels.size() == units.size();
  for (size_t i = 0; fits && i < units.size(); ++i) {
    fits = mask->levels[i] >= 0 && mask->levels[i] < units[i].num_levels();
  }
  if (!fits) context_.Violate("I12", task.task_id, " of ", job.request_id, ": its mask does not fit the ladder");
}

void Ledger::OnAttempts(const std::vector<AttemptRecord>& attempts) {
  for (const AttemptRecord& attempt : attempts) {
    const LeaseToken& token = attempt.token;
    ++num_attempts_;
    Job* job = Find(token.job_id);
    if (job == nullptr || job->is_deleted) {
      context_.Violate("I15", ToText(token), " is granted for a job that is not there");
      return;
    }
    if (token.epoch != max_epoch_)
      context_.Violate("I6", ToText(token), " is granted while epoch ", max_epoch_, " leads");
    auto& earlier = job->attempts[token.task_id];
    if (!earlier.empty() && earlier.rbegin()->first >= token.attempt) {
      context_.Violate("I6", ToText(token), " is granted after attempt ", earlier.rbegin()->first);
    }
    if (job->is_cancel_acknowledged) context_.Violate("I15", ToText(token), " is granted after the job was cancelled");
    if (job->is_pause_acknowledged && job->resumes_under_way == 0) {
      context_.Violate("I15", ToText(token), " is granted after the job was paused");
    }
    if (job->committed.contains(token.task_id)) {
      context_.Violate("I1", ToText(token), " is granted after the task was committed");
    }
    if (const auto task = job->wanted.find(token.task_id); task != job->wanted.end()) {
      CheckMask(*job, task->second);
      if (InputDigest(task->second) != attempt.input_digest) {
        context_.Violate("I2", ToText(token), " is granted with another input than the search wants");
      }
    }
    earlier[token.attempt] = attempt;
    context_.Note("grant ", ToText(token), " to ", attempt.worker_id);
  }
}

void Ledger::OnAttemptEnded(const LeaseToken& token, AttemptEnd end, const std::string& reason) {
  if (end == AttemptEnd::kExpired) ++num_expired_;
  if (absl::StrContains(reason, "no progress for")) ++num_stuck_;
  context_.Note("end ", ToText(token), ": ", Name(end), " (", reason, ")");
}

// A result counts when its job has succeeded: one that was stored by a write that was reported as failed is made again.
bool Ledger::RefersTo(const Job& job, const std::string& digest) {
  const bool is_result = job.state == JobState::kSucceeded && job.result_artifact == digest;
  return !job.is_deleted && (is_result || job.artifacts.contains(digest));
}

void Ledger::OnCollected(const std::string& digest) {
  ++num_collected_;
  context_.Note("collected ", digest);
  for (const auto& [job_id, job] : jobs_) {
    if (RefersTo(job, digest)) {
      context_.Violate("I13", "artifact ", digest, " is collected, to which ", job_id, " refers");
    }
  }
}

void Ledger::CheckOutcomeEvent(Job& job, const EventRecord& event) {
  const auto task = job.wanted.find(event.task_id);
  if (task == job.wanted.end()) {
    context_.Violate("I8", event.job_id, "/", event.task_id, " is committed, and the log before it does not want it");
    return;
  }
  if (event.attempt != 0) {
    const auto& attempts = job.attempts[event.task_id];
    const auto granted = attempts.find(event.attempt);
    if (granted == attempts.end() || granted->second.input_digest != event.input_digest) {
      context_.Violate("I2", event.job_id, "/", event.task_id, " attempt ", event.attempt,
                       " is committed and was never granted with that input");
      return;
    }
    if (!computed_.contains({granted->second.worker_id, event.job_id, event.task_id})) {
      context_.Violate("I19", event.job_id, "/", event.task_id, " attempt ", event.attempt,
                       " is committed, and worker ", granted->second.worker_id, " has not computed it");
    }
    if (const std::string& its_class = classes_[granted->second.worker_id]; its_class != job.numerics_class) {
      context_.Violate("I2", event.job_id, "/", event.task_id, " of a worker of class ", its_class,
                       " is committed to a job of class ", job.numerics_class);
    }
    job.has_outcome = true;
  }
  if (InputDigest(task->second) != event.input_digest) {
    context_.Violate("I2", event.job_id, "/", event.task_id, " is committed with another task's input");
  }
  if (job.is_cancel_acknowledged) {
    context_.Violate("I15", event.job_id, "/", event.task_id, " is committed after the job was cancelled");
  }
  TaskOutcome expected = job.catalog->evaluator->Run(task->second);
  // A layer taken over from another job's bank cost this one nothing.
  if (event.attempt == 0 && std::holds_alternative<BankLayerOutcome>(expected)) std::get<BankLayerOutcome>(expected).seconds = 0;
  if (wire::Serialize(expected) != event.payload) {
    context_.Violate("I2", event.job_id, "/", event.task_id, ": what is committed is not what its task gives");
  }
  if (const auto* layer = std::get_if<BankLayerOutcome>(&expected)) {
    job.artifacts.insert(layer->artifact_digest);
    if (!artifacts_.Has(layer->artifact_digest) && !artifacts_.WasLost(layer->artifact_digest)) {
      context_.Violate("I13", event.task_id, " names artifact ", layer->artifact_digest, ", which is not there");
    }
  }
}

void Ledger::OnCommit(const EventRecord& event) {
  ++num_commits_;
  if (event.kind == EventKind::kOutcome) ++num_outcomes_;
  context_.Note("commit ", event.sequence, " ", event.job_id, "/", event.task_id, " attempt ", event.attempt, " kind ",
                static_cast<int>(event.kind));
  Job* job = Find(event.job_id);
  if (job == nullptr || job->is_deleted) {
    context_.Violate("I2", "an event of ", event.job_id, ", which is not there");
    return;
  }
  if (!event.task_id.empty()) {
    const int attempt = event.kind == EventKind::kTaskFailed ? -1 : event.attempt;
    if (const auto [known, is_new] = job->committed.emplace(event.task_id, attempt); !is_new) {
      context_.Violate("I1", event.job_id, "/", event.task_id, " is committed a second time, now attempt ", attempt,
                       " after ", known->second);
      return;
    }
  }
  if (!job->events.empty() && job->events.back().sequence >= event.sequence) {
    context_.Violate("I1", "event ", event.sequence, " follows event ", job->events.back().sequence);
  }
  if (event.kind == EventKind::kOutcome) CheckOutcomeEvent(*job, event);
  if (event.kind == EventKind::kTaskFailed) {
    const auto task = job->wanted.find(event.task_id);
    if (task == job->wanted.end() || !IsPoison(task->second)) job->given_up.insert(event.task_id);
    if (job->catalog->spec.max_attempts > 1000) {
      context_.Violate("I10", event.job_id, "/", event.task_id, " is given up: ", event.reason);
    }
  }
  Follow(event.job_id, *job, event);
}

void Ledger::Follow(const std::string& job_id, Job& job, const EventRecord& event) {
  job.events.push_back(event);
  absl::Status status;
  switch (event.kind) {
    case EventKind::kOutcome: {
      const absl::StatusOr<TaskOutcome> outcome = wire::ParseTaskOutcome(event.payload);
      status = outcome.ok() ? job.program->Tell(event.task_id, *outcome) : outcome.status();
      break;
    }
    case EventKind::kTaskFailed: status = job.program->TellFailed(event.task_id, event.reason); break;
    case EventKind::kWallTimeStop: job.program->TellWallTimeStop(); break;
    case EventKind::kArtifactLost:
      job.artifacts.erase(event.artifact);
      job.program->TellArtifactLost(event.artifact);
      break;
  }
  if (!status.ok())
    context_.Violate("I9", job_id, ": event ", event.sequence, " cannot be replayed: ", status.ToString());
  job.wanted.clear();
  for (Task& task : job.program->Wanted()) job.wanted.emplace(task.task_id, std::move(task));
  CheckGenerations(job_id, job);
}

void Ledger::CheckGenerations(const std::string& job_id, Job& job) {
  const std::vector<GenerationView> generations = job.program->Generations();
  for (; job.num_generations < generations.size(); ++job.num_generations) {
    const GenerationView& generation = generations[job.num_generations];
    // Without noise the parent measures the same in every draw, so the best one can only get better.
    const bool is_comparable = job.catalog->name == "continue" || job.catalog->name == "poison";
    if (is_comparable && job.num_generations > 0 && generation.fitness > job.best_fitness + 1e-9 &&
        job.given_up.empty()) {
      context_.Violate("I11", job_id, ": generation ", generation.generation, " has ", generation.fitness, " after ",
                       job.best_fitness);
    }
    job.best_fitness = generation.fitness;
  }
}

void Ledger::OnCreated(const std::string& request_id, const std::string& job_id) {
  const auto known = by_request_.find(request_id);
  if (known == by_request_.end() || known->second != job_id) {
    context_.Violate("I3", "request '", request_id, "' is answered with job ", job_id, ", which is not durable");
  }
}

void Ledger::OnCancelled(const std::string& job_id) {
  Job* job = Find(job_id);
  if (job == nullptr || job->is_deleted) return;
  if (job->state != JobState::kCancelled) {
    context_.Violate("I15", job_id, " is acknowledged as cancelled and is ", Name(job->state));
  }
  job->is_cancel_acknowledged = true;
}

void Ledger::OnPaused(const std::string& job_id) {
  Job* job = Find(job_id);
  if (job == nullptr || job->resumes_under_way > 0) return;
  if (job->state != JobState::kPaused) {
    context_.Violate("I15", job_id, " is acknowledged as paused and is ", Name(job->state));
  }
  job->is_pause_acknowledged = true;
}

void Ledger::OnResumeUnderWay(const std::string& job_id, int change) {
  Job* job = Find(job_id);
  if (job == nullptr) return;
  job->resumes_under_way += change;
  job->is_pause_acknowledged = false;
}

void Ledger::OnDeleted(const std::string& job_id) {
  const Job* job = Find(job_id);
  if (job != nullptr && !job->is_deleted) context_.Violate("I3", job_id, " is acknowledged as deleted and is there");
}

}  // namespace espalier::simulation
