#include "bench/job_loop.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "bench/progress.h"
#include "common/base/files.h"
#include "common/base/sha256.h"
#include "common/base/status_macros.h"
#include "common/checkpoint/model_folder.h"
#include "common/checkpoint/token_file.h"

namespace espalier::bench {
namespace {

double Now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Adds up the time between progress reports by the step that they name.
class StepClock {
 public:
  void Enter(const std::string& step) {
    const double now = Now();
    if (!step_.empty()) seconds_[step_] += now - since_;
    step_ = step;
    since_ = now;
  }
  std::map<std::string, double> Finish() {
    Enter("");
    return seconds_;
  }

 private:
  std::string step_;
  double since_ = 0;
  std::map<std::string, double> seconds_;
};

}  // namespace

absl::StatusOr<Files> PrepareFiles(const Options& options, const std::string& folder,
                                   const std::function<absl::Status(const std::string&)>& model_maker,
                                   const std::function<absl::Status(const std::string&)>& token_maker) {
  Files files;
  files.folder = folder;
  files.model = options.model.empty() ? folder + "/model" : options.model;
  files.tokens = options.tokens.empty() ? folder + "/tokens.npy" : options.tokens;
  ESPALIER_RETURN_IF_ERROR(CreateFolders(folder));
  SayDone("started");
  if (options.model.empty()) {
    ESPALIER_RETURN_IF_ERROR(model_maker(files.model));
    SayDone("a model of random weights is written");
  }
  ESPALIER_ASSIGN_OR_RETURN(files.inputs.dense, checkpoint::ReadModelConfig(files.model));
  {
    ESPALIER_ASSIGN_OR_RETURN(const auto model, checkpoint::ModelFolder::Open(files.model));
    files.inputs.dense = model->config();
  }
  ESPALIER_ASSIGN_OR_RETURN(files.inputs.model_digest, checkpoint::FolderDigest(files.model));
  SayDone("the model's files are digested");
  if (options.tokens.empty()) ESPALIER_RETURN_IF_ERROR(token_maker(files.tokens));
  ESPALIER_ASSIGN_OR_RETURN(const auto tokens,
                            checkpoint::TokenFile::Open(files.tokens, files.inputs.dense.vocabulary_size));
  files.inputs.num_tokens = tokens->num_tokens();
  files.inputs.row_length = tokens->row_length();
  ESPALIER_ASSIGN_OR_RETURN(files.inputs.tokens_digest, Sha256HexOfFile(files.tokens));
  return files;
}

// What the slots of a run share; one mutex guards the program and this.
struct JobLoop::Shared {
  std::mutex mutex;
  std::condition_variable changed;
  std::set<std::string> under_way;
  bool done = false;
  absl::Status status;

  void Finish(const absl::Status& with) {
    done = true;
    status.Update(with);
    changed.notify_all();
  }
};

JobLoop::JobLoop(Engine* engine, std::map<std::string, TaskOutcome>* known)
    : engine_(engine), known_(known), start_(Now()) {}

absl::StatusOr<std::unique_ptr<JobLoop>> JobLoop::Create(const JobSpec& spec, const JobInputs& inputs, Engine* engine,
                                                         std::map<std::string, TaskOutcome>* known) {
  ESPALIER_ASSIGN_OR_RETURN(const JobPreview preview, ResolveJob(spec, inputs));
  std::unique_ptr<JobLoop> loop(new JobLoop(engine, known));
  loop->spec_ = preview.resolved;
  ESPALIER_ASSIGN_OR_RETURN(loop->program_, JobProgram::Create("bench", preview.resolved, inputs));
  return loop;
}

double JobLoop::Seconds() const { return Now() - start_; }

absl::StatusOr<TaskRecord> JobLoop::Answer(const Task& task) {
  TaskRecord record;
  record.task = task;
  record.begin = Seconds();
  StepClock steps;
  const auto progress = [&](const TaskProgress& now) { steps.Enter(now.step); };
  ESPALIER_ASSIGN_OR_RETURN(record.outcome, engine_->Run(task, progress, {}));
  record.end = Seconds();
  record.seconds_by_step = steps.Finish();
  const auto* measurement = std::get_if<Measurement>(&record.outcome);
  if (measurement != nullptr && !measurement->feasible) {
    return absl::InternalError(absl::StrCat(task.task_id, ": infeasible: ", measurement->infeasible_reason));
  }
  return record;
}

void JobLoop::BookRetained() {
  PlacedBytes now;
  for (const RetainedState& state : engine_->ListStates()) {
    (state.location == StateLocation::kDevice ? now.device : state.location == StateLocation::kHost ? now.host : now.disk) += state.bytes;
  }
  most_retained_.device = std::max(most_retained_.device, now.device);
  most_retained_.host = std::max(most_retained_.host, now.host);
  most_retained_.disk = std::max(most_retained_.disk, now.disk);
}

void JobLoop::Work(int slot, const std::function<bool(const JobProgram&)>& reached, Shared& shared) {
  std::unique_lock lock(shared.mutex);
  while (!shared.done) {
    const std::vector<Task> wanted = program_->Wanted();
    const auto next = std::find_if(wanted.begin(), wanted.end(),
                                   [&](const Task& task) { return !shared.under_way.contains(task.task_id); });
    if (next == wanted.end()) {
      if (shared.under_way.empty())
        return shared.Finish(absl::InternalError("the job wants no task and has not got there"));
      shared.changed.wait(lock);
      continue;
    }
    const Task task = *next;
    const std::string digest = InputDigest(task);
    shared.under_way.insert(task.task_id);
    absl::Status told;
    if (const auto found = known_->find(digest); found != known_->end()) {
      told = program_->Tell(task.task_id, found->second);
    } else {
      lock.unlock();
      absl::StatusOr<TaskRecord> record = Answer(task);
      lock.lock();
      if (!record.ok()) return shared.Finish(record.status());
      // Also when another slot has got there meanwhile: the next call goes on from here.
      told = program_->Tell(task.task_id, record->outcome);
      if (task.kind() == TaskKind::kBankLayer) known_->emplace(digest, record->outcome);
      record->slot = slot;
      records_.push_back(*std::move(record));
      BookRetained();
      engine_->KeepOnly(program_->LiveStates());
    }
    shared.under_way.erase(task.task_id);
    if (!told.ok() || reached(*program_) || program_->finished()) return shared.Finish(told);
    shared.changed.notify_all();
  }
}

absl::Status JobLoop::RunUntil(const std::function<bool(const JobProgram&)>& reached) {
  Shared shared;
  {
    std::vector<std::jthread> slots;
    for (int slot = 0; slot < engine_->num_slots(); ++slot) slots.emplace_back([&, slot] { Work(slot, reached, shared); });
  }
  if (shared.status.ok() && program_->failure().has_value()) return absl::InternalError(*program_->failure());
  return shared.status;
}

}  // namespace espalier::bench
