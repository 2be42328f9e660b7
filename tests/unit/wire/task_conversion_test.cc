#include "common/wire/task_conversion.h"

#include <limits>

#include "common/wire/mask_conversion.h"
#include "common/wire/names.h"
#include "common/wire/record.h"
#include "common/wire/synchronize_conversion.h"
#include "tests/support/catch.h"

namespace espalier::testing {
namespace {

const std::string kDigest(64, 'a');

Task Base() {
  Task task;
  task.job_id = "job-1";
  task.task_id = "evaluate/p0/g3";
  task.context.model_folder = "/m";
  task.context.model_digest = kDigest;
  task.context.tokens_path = "/t.npy";
  task.context.tokens_digest = kDigest;
  task.context.sequence_length = 256;
  task.context.ladder.units = {{{UnitKind::kAttention, 0}, 4, {0, 2, 4}}, {{UnitKind::kFfn, 0}, 64, {0, 32, 64}},
                               {{UnitKind::kAttention, 1}, 4, {0}}};
  task.context.criterion = "structured_obs";
  task.context.damping = 0.01;
  task.context.cpu_threads = 3;
  return task;
}

EvaluateTask Evaluate() {
  EvaluateTask evaluate;
  evaluate.bank = {"key", {"d0", "d1"}};
  evaluate.mask = {{1, 2, 0}};
  evaluate.mask_digest = kDigest;
  evaluate.stream = {{Pool::kTrain, 7, 1, 2}, 10, 20, {10, 20}, true};
  evaluate.resume = StateKey{"job-1", "m", "train/7/1/2", 10};
  evaluate.score = {Pool::kSelect, 7, 0, 1};
  evaluate.score_windows = 5;
  evaluate.measure_perplexity = true;
  return evaluate;
}

void CheckRoundTrip(const Task& task) {
  const auto back = wire::ParseTask(wire::Serialize(task));
  REQUIRE_OK(back);
  CHECK(back->context == task.context);
  CHECK(back->payload == task.payload);
  CHECK(InputDigest(*back) == InputDigest(task));
}

TEST_CASE("Task: every kind survives the wire", "[wire]") {
  Task task = Base();
  task.payload = BankLayerTask{3, {Pool::kCalibrate, 0, 0, 0}, 256};
  CheckRoundTrip(task);
  task.payload = AdditiveUnitTask{{"key", {"d"}}, 1, {Pool::kScore, 1, 2, 3}, 9};
  CheckRoundTrip(task);
  task.payload = Evaluate();
  CheckRoundTrip(task);
  FinishTask finish;
  finish.mask = {{2, 2, 0}};
  finish.recovery.tokens = 1000;
  finish.recovery_key = {Pool::kTrain, 7, 9, 0};
  finish.start = StateKey{"job-1", "m", "s", 5};
  finish.start_evaluation = Evaluate();
  finish.score = {Pool::kReport, 0, 0, 0};
  finish.provenance_json = "{}";
  task.payload = finish;
  CheckRoundTrip(task);
}

TEST_CASE("Task: a ladder that does not rise is refused", "[wire]") {
  v1::Task proto = wire::ToProto(Base());
  proto.mutable_context()->mutable_ladder()->mutable_units(1)->set_removed(1, 70);
  CHECK(wire::FromProto(proto).status().code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("Outcome: numbers that cannot be true are refused, a failed mask's are dropped", "[wire]") {
  Measurement measurement;
  measurement.fitness = 0.5;
  measurement.window_fitness = {0.25F, 0.75F};
  measurement.trained_tokens = 12;
  const auto back = wire::FromProto(wire::ToProto(TaskOutcome(measurement)));
  REQUIRE_OK(back);
  CHECK(std::get<Measurement>(*back).window_fitness == measurement.window_fitness);

  measurement.loss = std::numeric_limits<double>::infinity();
  CHECK_FALSE(wire::FromProto(wire::ToProto(TaskOutcome(measurement))).ok());
  measurement.feasible = false;
  measurement.infeasible_reason = "the loss is infinite";
  const auto infeasible = wire::FromProto(wire::ToProto(TaskOutcome(measurement)));
  REQUIRE_OK(infeasible);
  CHECK(std::get<Measurement>(*infeasible).loss == 0);

  BankLayerOutcome layer;
  layer.artifact_digest = "../../etc/passwd";
  CHECK_FALSE(wire::FromProto(wire::ToProto(TaskOutcome(layer))).ok());
  CHECK_FALSE(wire::FromProto(v1::TaskOutcome()).ok());
}

TEST_CASE("Synchronize: request and response survive the wire", "[wire]") {
  SynchronizeRequest request;
  request.worker_id = "w";
  request.description.numerics_class = "class";
  request.description.slots = 3;
  const LeaseToken token{4, "job", "task", 2};
  request.held = {{token, {"train", 10, 20, 1.5, 2.5}}};
  request.finished = {{token, TaskOutcome(Measurement{})},
                      {token, TaskFailure{absl::DataLossError("a byte differs"), kDigest}},
                      {token, HandedBack{}}};
  request.states = {{{"job", "m", "s", 7}, 99, StateLocation::kDisk}};
  request.draining = true;
  request.max_wait = absl::Milliseconds(1500);
  const auto back = wire::FromProto(wire::ToProto(request));
  REQUIRE_OK(back);
  CHECK(back->description == request.description);
  CHECK(back->held[0].token == token);
  CHECK(back->held[0].progress.done == 10);
  CHECK(std::get<TaskFailure>(back->finished[1].result).status == absl::DataLossError("a byte differs"));
  CHECK(std::holds_alternative<HandedBack>(back->finished[2].result));
  CHECK(back->states[0].location == StateLocation::kDisk);
  CHECK(back->max_wait == request.max_wait);

  SynchronizeResponse response;
  response.grants = {{token, Base()}};
  response.stop = {token};
  response.verdicts = {{token, Decision::kSuperseded, "why"}};
  response.keep_states = {{"job", "m", "s", 7}};
  response.lease_duration = absl::Seconds(60);
  response.next_call = absl::Milliseconds(1);
  response.epoch = 4;
  const auto answer = wire::FromProto(wire::ToProto(response));
  REQUIRE_OK(answer);
  CHECK(answer->grants[0].task.task_id == Base().task_id);
  CHECK(answer->verdicts[0].decision == Decision::kSuperseded);
  CHECK(answer->next_call == absl::Milliseconds(1));
}

TEST_CASE("Synchronize: an outcome that cannot be read is a failure of its attempt, not of the call", "[wire]") {
  v1::SynchronizeRequest proto;
  proto.set_worker_id("w");
  proto.mutable_description()->set_numerics_class("class");
  proto.mutable_description()->set_slots(1);
  proto.mutable_description()->set_device(v1::CPU);
  v1::FinishedTask& finished = *proto.add_finished();
  *finished.mutable_token() = wire::ToProto(LeaseToken{1, "job", "task", 1});
  finished.mutable_outcome()->mutable_evaluate()->set_feasible(true);
  finished.mutable_outcome()->mutable_evaluate()->set_fitness(std::numeric_limits<double>::quiet_NaN());
  const auto request = wire::FromProto(proto);
  REQUIRE_OK(request);
  CHECK(std::get<TaskFailure>(request->finished[0].result).status.code() == absl::StatusCode::kInternal);

  SECTION("a token that was never granted is refused") {
    finished.mutable_token()->set_attempt(0);
    CHECK(wire::FromProto(proto).status().code() == absl::StatusCode::kInvalidArgument);
  }
  SECTION("no slots") {
    proto.mutable_description()->set_slots(0);
    CHECK(wire::FromProto(proto).status().code() == absl::StatusCode::kInvalidArgument);
  }
  SECTION("a negative wait") {
    proto.mutable_max_wait()->set_seconds(-1);
    CHECK(wire::FromProto(proto).status().code() == absl::StatusCode::kInvalidArgument);
  }
}

TEST_CASE("Names: built and parsed, anything else is refused", "[wire]") {
  CHECK(wire::CandidateName("a", "p0/g3/c05") == "jobs/a/candidates/p0-g3-c05");
  CHECK(*wire::ParseJobName("jobs/my-job1") == "my-job1");
  CHECK(wire::ParseCandidateName("jobs/a/candidates/p0-g3-c05")->candidate == "p0-g3-c05");
  for (const char* name : {"", "jobs/", "job/a", "jobs/a/b", "jobs/../x", "jobs/1a", "jobs/a-"}) {
    CAPTURE(name);
    CHECK_FALSE(wire::ParseJobName(name).ok());
  }
  CHECK_FALSE(wire::CheckJobId(std::string(64, 'a')).ok());
}

}  // namespace
}  // namespace espalier::testing
