#include "worker/session/session_state.h"

#include "tests/support/catch.h"

namespace espalier {
namespace {

const absl::Time kStart = absl::FromUnixSeconds(1000);

LeaseToken Token(const std::string& task, int attempt = 1) {
  return {.epoch = 1, .job_id = "job", .task_id = task, .attempt = attempt};
}

LeaseGrant Grant(const std::string& task) {
  LeaseGrant grant;
  grant.token = Token(task);
  grant.task.job_id = "job";
  grant.task.task_id = task;
  return grant;
}

SynchronizeResponse Reply(std::vector<LeaseGrant> grants = {}) {
  SynchronizeResponse reply;
  reply.grants = std::move(grants);
  reply.lease_duration = absl::Seconds(10);
  reply.next_call = absl::Seconds(3);
  reply.poll_time = absl::Seconds(20);
  return reply;
}

SessionState NewState(int slots = 1) {
  WorkerDescription description;
  description.slots = slots;
  return SessionState("worker-1", description, 7);
}

// A state whose slot 0 runs `task`, granted by a call sent at kStart.
SessionState Running(const std::string& task, int slots = 1) {
  SessionState state = NewState(slots);
  const SynchronizeRequest request = state.NextRequest({});
  const SessionActions actions = state.OnReply(kStart, kStart, request, Reply({Grant(task)}));
  REQUIRE(actions.start.size() == 1);
  return state;
}

TaskOutcome Outcome() { return Measurement{}; }

TEST_CASE("SessionState: an idle worker parks its call for the coordinator's poll time") {
  SessionState state = NewState();
  REQUIRE(state.NextRequest({}).max_wait == absl::ZeroDuration());  // nothing is known of the coordinator yet
  state.OnReply(kStart, kStart, state.NextRequest({}), Reply());
  REQUIRE(state.NextRequest({}).max_wait == absl::Seconds(20));
}

TEST_CASE("SessionState: a granted task starts once and is listed as held in the next call, when it is asked for") {
  SessionState state = Running("a");
  REQUIRE(state.next_call() == kStart + Reply().next_call);
  const SynchronizeRequest request = state.NextRequest({});
  REQUIRE(request.held.size() == 1);
  REQUIRE(request.held[0].token == Token("a"));
  REQUIRE(request.max_wait == absl::ZeroDuration());
  const SessionActions again = state.OnReply(kStart, kStart, request, Reply({Grant("a")}));
  REQUIRE(again.start.empty());
}

TEST_CASE("SessionState: progress travels with the next call") {
  SessionState state = Running("a");
  state.OnProgress(0, {.step = "train", .done = 5, .total = 10});
  REQUIRE(state.NextRequest({}).held[0].progress.done == 5);
}

TEST_CASE("SessionState: a held task is renewed well before its lease ends whatever the coordinator asks for") {
  SessionState state = Running("a");
  SynchronizeResponse reply = Reply();
  reply.next_call = absl::Hours(1);
  state.OnReply(kStart, kStart, state.NextRequest({}), reply);
  REQUIRE(state.next_call() <= kStart + absl::Seconds(4));
}

TEST_CASE("SessionState: a task without an answered call for 80 % of its lease is stopped") {
  SessionState state = Running("a");
  REQUIRE(state.next_tick() == kStart + absl::Seconds(8));
  REQUIRE(state.Tick(kStart + absl::Milliseconds(7999)).cancel.empty());
  REQUIRE(state.Tick(kStart + absl::Seconds(8)).cancel == std::vector<int>{0});
  REQUIRE(state.Tick(kStart + absl::Seconds(9)).cancel.empty());  // asked once
}

TEST_CASE("SessionState: an answered call moves the fence, counted from before it was sent") {
  SessionState state = Running("a");
  const absl::Time sent = kStart + absl::Seconds(5);
  state.OnReply(sent, sent + absl::Seconds(2), state.NextRequest({}), Reply());
  REQUIRE(state.next_tick() == sent + absl::Seconds(8));
}

TEST_CASE("SessionState: a finished outcome is repeated until it has a verdict") {
  SessionState state = Running("a");
  state.OnFinished(kStart, 0, Outcome());
  const SynchronizeRequest first = state.NextRequest({});
  REQUIRE(first.held.empty());
  REQUIRE(first.finished.size() == 1);
  SECTION("no answer: it is sent again") {
    state.OnCallFailed(kStart);
    REQUIRE(state.NextRequest({}).finished.size() == 1);
  }
  SECTION("an answer without a verdict: it is sent again") {
    state.OnReply(kStart, kStart, first, Reply());
    REQUIRE(state.NextRequest({}).finished.size() == 1);
  }
  SECTION("a verdict: it is forgotten") {
    SynchronizeResponse reply = Reply();
    reply.verdicts.push_back({.token = Token("a"), .decision = Decision::kCommitted, .reason = ""});
    state.OnReply(kStart, kStart, first, reply);
    REQUIRE(state.NextRequest({}).finished.empty());
  }
  SECTION("the grant repeated by a coordinator that has not heard of the end: not started again") {
    REQUIRE(state.OnReply(kStart, kStart, first, Reply({Grant("a")})).start.empty());
  }
}

TEST_CASE("SessionState: an outcome that arrives while a call is under way makes the next call due at once") {
  SessionState state = Running("a");
  const SynchronizeRequest request = state.NextRequest({});
  state.OnFinished(kStart, 0, Outcome());
  state.OnReply(kStart, kStart + absl::Seconds(1), request, Reply());
  REQUIRE(state.next_call() == kStart + absl::Seconds(1));
}

TEST_CASE("SessionState: a task that the coordinator stops is cancelled and never reported") {
  SessionState state = Running("a");
  SynchronizeResponse reply = Reply();
  reply.stop.push_back(Token("a"));
  REQUIRE(state.OnReply(kStart, kStart, state.NextRequest({}), reply).cancel == std::vector<int>{0});
  REQUIRE(state.NextRequest({}).held.empty());
  REQUIRE(
      state.OnReply(kStart, kStart, state.NextRequest({}), Reply({Grant("b")})).start.empty());  // still winding down
  state.OnFinished(kStart, 0, absl::CancelledError("stopped"));
  REQUIRE(state.NextRequest({}).finished.empty());
  REQUIRE(state.OnReply(kStart, kStart, state.NextRequest({}), Reply({Grant("b")})).start.size() == 1);
}

TEST_CASE("SessionState: failed calls back off with jitter, an answer resets that") {
  SessionState state = NewState();
  absl::Duration longest = absl::ZeroDuration();
  for (int failure = 0; failure < 12; ++failure) {
    state.OnCallFailed(kStart);
    const absl::Duration wait = state.next_call() - kStart;
    REQUIRE(wait >= absl::Milliseconds(50));
    REQUIRE(wait <= absl::Seconds(5));
    longest = std::max(longest, wait);
  }
  REQUIRE(longest > absl::Seconds(2));
  state.OnReply(kStart, kStart, state.NextRequest({}), Reply());
  state.OnCallFailed(kStart);
  REQUIRE(state.next_call() - kStart <= absl::Milliseconds(100));
}

TEST_CASE("SessionState: a draining worker finishes what it has, takes nothing new and says goodbye") {
  SessionState state = Running("a", 2);
  state.Drain(kStart, absl::Seconds(30));
  SynchronizeRequest request = state.NextRequest({});
  REQUIRE(request.draining);
  REQUIRE(request.departure == Departure::kNone);
  REQUIRE(state.OnReply(kStart, kStart, request, Reply({Grant("b")})).start.empty());
  state.OnFinished(kStart, 0, Outcome());
  REQUIRE_FALSE(state.is_drained());  // the outcome has no verdict yet
  SynchronizeResponse reply = Reply();
  reply.verdicts.push_back({.token = Token("a"), .decision = Decision::kCommitted, .reason = ""});
  state.OnReply(kStart, kStart, state.NextRequest({}), reply);
  REQUIRE(state.is_drained());
  REQUIRE(state.NextRequest({}).departure == Departure::kLeaves);
}

TEST_CASE("SessionState: what is not finished when the drain's grace ends is handed back") {
  SessionState state = Running("a");
  state.OnReply(kStart, kStart, state.NextRequest({}), Reply());
  state.Drain(kStart, absl::Seconds(3));
  REQUIRE(state.Tick(kStart + absl::Seconds(2)).cancel.empty());
  REQUIRE(state.Tick(kStart + absl::Seconds(3)).cancel == std::vector<int>{0});
  state.OnFinished(kStart + absl::Seconds(3), 0, absl::CancelledError("stopped"));
  const SynchronizeRequest request = state.NextRequest({});
  REQUIRE(request.finished.size() == 1);
  REQUIRE(std::holds_alternative<HandedBack>(request.finished[0].result));
}

TEST_CASE("SessionState: a forced worker hands back at once") {
  SessionState state = Running("a");
  REQUIRE(state.Force().cancel == std::vector<int>{0});
}

TEST_CASE("SessionState: a failure keeps its code, and a damaged artifact its digest") {
  SessionState state = Running("a");
  const std::string digest(64, 'a');
  state.OnFinished(kStart, 0, absl::DataLossError("artifact " + digest + " is damaged"));
  const auto failure = std::get<TaskFailure>(state.NextRequest({}).finished[0].result);
  REQUIRE(absl::IsDataLoss(failure.status));
  REQUIRE(failure.lost_artifact == digest);
}

TEST_CASE("SessionState: retained states are reported as the engine has them") {
  SessionState state = NewState();
  const RetainedState retained{.key = {.job_id = "job", .mask_digest = "m", .stream = "s", .position = 3},
                               .bytes = 10,
                               .location = StateLocation::kHost};
  REQUIRE(state.NextRequest({retained}).states.size() == 1);
}

}  // namespace
}  // namespace espalier
