#include "tests/simulation/client.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/simulation/world.h"

namespace espalier::simulation {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(8);
constexpr absl::Duration kPause = absl::Seconds(1);

bool IsWorthAnotherTry(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsAborted(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsResourceExhausted(status);
}

}  // namespace

// Days away from the truth, in both directions, and another one each time when clocks jump.
absl::Time Client::WallClock() {
  Context& context = world_.context;
  absl::Time now = absl::FromUnixSeconds(1'700'000'000) + (context.loop.now() - absl::UnixEpoch());
  if (context.profile.Has(Fault::kClockJump)) {
    now += context.Between(absl::Hours(-24), absl::Hours(24));
    context.Happened(Fault::kClockJump);
  }
  return now;
}

void Client::Ask(Action action, Done done, std::shared_ptr<void> held) {
  struct Question {
    Action action;
    Done done;
    std::shared_ptr<void> held;
    bool is_answered = false;
  };
  auto question = std::make_shared<Question>(Question{std::move(action), std::move(done), std::move(held)});
  const auto again = [this, question](absl::Duration after) {
    world_.context.loop.After(after, [this, question] {
      if (question->is_answered) return;
      Ask(question->action, question->done, question->held);
      question->is_answered = true;  // by the next one
    });
  };
  world_.SendToCoordinator(
      kClientHost,
      [this, question, again](CoordinatorProcess& coordinator) {
        coordinator.OnClient([this, question, again](Coordinator& core, absl::Time local_now) {
          const absl::StatusOr<JobView> result = question->action(core, local_now);
          world_.network.Send(kClientHost, false, [question, again, result] {
            if (question->is_answered) return;
            if (!result.ok() && IsWorthAnotherTry(result.status())) return again(kPause);
            question->is_answered = true;
            question->done(result);
          });
        });
      },
      [again] { again(kPause); });
  again(kPatience);
}

void Client::Start() {
  for (int i = 0; i < world_.context.profile.num_jobs; ++i) {
    Submit(world_.context.Between(absl::ZeroDuration(), absl::Seconds(20)));
  }
}

void Client::Submit(absl::Duration after) {
  Context& context = world_.context;
  auto job = std::make_shared<Job>();
  job->number = num_submitted_++;
  const int num_kinds = context.profile.has_stream_of_jobs ? kNumCatalogJobs - 1 : kNumCatalogJobs;
  job->catalog = static_cast<int>(context.random.Below(static_cast<uint64_t>(num_kinds)));
  // Some are told by the client what they are called, some are not.
  job->request_id = absl::StrCat("request-", job->number);
  ++num_open_;
  world_.ledger.ExpectJob(job->request_id, job->catalog);
  context.loop.After(after, [this, job] { Create(job); });
}

void Client::Create(const std::shared_ptr<Job>& job) {
  const CatalogJob& catalog = CatalogJobOf(job->catalog);
  const std::string job_id = job->number % 2 == 0 ? absl::StrCat("named-", job->number) : "";
  world_.context.Note("client: create ", job->request_id, " (", catalog.name, ")");
  Ask(
      [this, job, &catalog, job_id](Coordinator& core, absl::Time local_now) -> absl::StatusOr<JobView> {
        NewJob made;
        made.job_id = job_id;
        made.request_id = job->request_id;
        if (world_.context.defect == Defect::kSecondJob) {
          made.job_id = "";
          absl::StrAppend(&made.request_id, "#", world_.context.random.Next());
        }
        made.submitted = absl::StrCat("as sent ", job->number);
        made.resolved = catalog.spec;
        made.inputs = catalog.inputs;
        made.create_time = WallClock();
        absl::StatusOr<JobView> view = core.CreateJob(local_now, made);
        if (view.ok()) world_.ledger.OnCreated(job->request_id, view->job_id);
        return view;
      },
      [this, job](const absl::StatusOr<JobView>& view) {
        if (!view.ok()) {
          world_.context.Violate("I3", "the repeated request '", job->request_id,
                                 "' is refused: ", view.status().ToString());
          return;
        }
        job->job_id = view->job_id;
        world_.context.Note("client: ", job->request_id, " is ", job->job_id);
        PlanOperations(job);
        Watch(job);
      });
}

void Client::PlanOperations(const std::shared_ptr<Job>& job) {
  Context& context = world_.context;
  if (!context.profile.Has(Fault::kClientOperations)) return;
  const auto soon = [&] { return context.Between(absl::ZeroDuration(), absl::Seconds(150)); };
  for (int i = static_cast<int>(context.random.Below(4)); i > 0; --i) {
    context.loop.After(soon(), [this, job] { Pause(job); });
  }
  if (job->number > 0 && context.OneIn(3)) {
    job->is_to_be_deleted = context.OneIn(2);
    context.loop.After(soon(), [this, job] { Cancel(job); });
  }
}

void Client::Pause(const std::shared_ptr<Job>& job) {
  if (!world_.context.has_faults || job->is_over) return;
  world_.context.Note("client: pause ", job->job_id);
  Ask(
      [this, job](Coordinator& core, absl::Time local_now) {
        absl::StatusOr<JobView> view = core.PauseJob(local_now, job->job_id);
        if (view.ok()) world_.ledger.OnPaused(job->job_id);
        if (view.ok() && world_.context.defect == Defect::kPausedJobGranted) {
          world_.SwallowNextUpdate();
          (void)core.ResumeJob(local_now, job->job_id);
        }
        return view;
      },
      [this, job](const absl::StatusOr<JobView>& view) {
        if (!view.ok()) return;  // it has ended
        world_.context.Note("client: ", job->job_id, " is paused");
        world_.context.Happened(Fault::kClientOperations);
        world_.context.loop.After(world_.context.Between(absl::Seconds(1), absl::Seconds(60)),
                                  [this, job] { Resume(job); });
      });
}

void Client::Resume(const std::shared_ptr<Job>& job) {
  world_.context.Note("client: resume ", job->job_id);
  world_.ledger.OnResumeUnderWay(job->job_id, +1);
  // While a copy of this call may still arrive, the job may run again at any time.
  const std::shared_ptr<void> under_way(
      nullptr, [&ledger = world_.ledger, job_id = job->job_id](void*) { ledger.OnResumeUnderWay(job_id, -1); });
  Ask([job](Coordinator& core, absl::Time local_now) { return core.ResumeJob(local_now, job->job_id); },
      [](const absl::StatusOr<JobView>&) {}, under_way);
}

void Client::Cancel(const std::shared_ptr<Job>& job) {
  if (job->is_over) return;
  world_.context.Note("client: cancel ", job->job_id);
  Ask(
      [this, job](Coordinator& core, absl::Time local_now) {
        absl::StatusOr<JobView> view = core.CancelJob(local_now, job->job_id);
        if (view.ok()) world_.ledger.OnCancelled(job->job_id);
        return view;
      },
      [this, job](const absl::StatusOr<JobView>& view) {
        if (!view.ok()) return;
        world_.context.Note("client: ", job->job_id, " is cancelled");
        world_.context.Happened(Fault::kClientOperations);
      });
}

void Client::Delete(const std::shared_ptr<Job>& job) {
  Ask(
      [this, job](Coordinator& core, absl::Time local_now) -> absl::StatusOr<JobView> {
        const absl::Status status = core.DeleteJob(local_now, job->job_id);
        if (status.ok()) world_.ledger.OnDeleted(job->job_id);
        if (!status.ok()) return status;
        return JobView();
      },
      [this, job](const absl::StatusOr<JobView>& view) {
        // Not found: an earlier copy has deleted it.
        world_.context.Note("client: ", job->job_id, " is deleted: ", view.status().ToString());
        --num_open_;
      });
}

// Looks again and again, resumes what a late copy of a call has paused, and notes the end.
void Client::Watch(const std::shared_ptr<Job>& job) {
  Ask(
      [this, job](Coordinator& core, absl::Time local_now) {
        absl::StatusOr<JobView> view = core.GetJob(local_now, job->job_id);
        if (view.ok() && view->state == JobState::kSucceeded) world_.ledger.CheckFinished(job->job_id, core, local_now);
        return view;
      },
      [this, job](const absl::StatusOr<JobView>& view) {
        if (!view.ok()) {
          // A former leader that does not know yet that it is one; what the leader shows is checked at its ticks.
          world_.context.loop.After(absl::Seconds(5), [this, job] { Watch(job); });
          return;
        }
        if (IsFinal(view->state)) return Over(job);
        if (!world_.context.has_faults && view->state == JobState::kPaused) Resume(job);
        world_.context.loop.After(absl::Seconds(20), [this, job] { Watch(job); });
      });
}

void Client::Over(const std::shared_ptr<Job>& job) {
  job->is_over = true;
  const bool goes_on = world_.context.profile.has_stream_of_jobs;
  if (goes_on && world_.context.has_faults) Submit(absl::ZeroDuration());
  if (job->is_to_be_deleted || goes_on) {
    world_.context.loop.After(absl::Minutes(1), [this, job] { Delete(job); });
  } else {
    --num_open_;
  }
}

}  // namespace espalier::simulation
