#include "common/wire/synchronize_conversion.h"

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/wire/enum_conversion.h"
#include "common/wire/task_conversion.h"

namespace espalier::wire {
namespace {

void SetDuration(absl::Duration duration, google::protobuf::Duration* proto) {
  absl::Duration rest;
  proto->set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &rest));
  proto->set_nanos(static_cast<int>(absl::ToInt64Nanoseconds(rest)));
}

absl::StatusOr<absl::Duration> DurationFromProto(const google::protobuf::Duration& proto, const char* field) {
  constexpr int64_t kMaxSeconds = 7 * 24 * 3600;
  if (proto.seconds() < 0 || proto.seconds() > kMaxSeconds || proto.nanos() < 0 || proto.nanos() >= 1'000'000'000) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": ", proto.seconds(), " s and ", proto.nanos(), " ns is no duration between 0 and a week"));
  }
  return absl::Seconds(proto.seconds()) + absl::Nanoseconds(proto.nanos());
}

absl::StatusOr<WorkerDescription> DescriptionFromProto(const v1::WorkerDescription& proto) {
  constexpr int kMaxSlots = 1024;
  WorkerDescription description;
  description.protocol_version = proto.protocol_version();
  description.host_name = proto.host_name();
  ESPALIER_ASSIGN_OR_RETURN(description.device, FromProto(proto.device()));
  description.device_name = proto.device_name();
  description.memory_bytes = proto.memory_bytes();
  description.numerics_class = proto.numerics_class();
  description.slots = proto.slots();
  description.software_version = proto.software_version();
  if (description.numerics_class.empty()) return absl::InvalidArgumentError("description.numerics_class is empty");
  if (description.slots < 1 || description.slots > kMaxSlots) {
    return absl::InvalidArgumentError(
        absl::StrCat("description.slots: ", description.slots, " is not between 1 and ", kMaxSlots));
  }
  return description;
}

TaskProgress ProgressFromProto(const v1::TaskProgress& proto) {
  return {proto.step(), proto.done(), proto.total(), proto.tokens_per_second(), proto.loss()};
}

void ResultToProto(const TaskOutcome& outcome, v1::FinishedTask& proto) { *proto.mutable_outcome() = ToProto(outcome); }

void ResultToProto(const TaskFailure& failure, v1::FinishedTask& proto) {
  proto.mutable_failure()->set_code(static_cast<int>(failure.status.code()));
  proto.mutable_failure()->set_message(ToString(failure.status.message()));
  proto.mutable_failure()->set_lost_artifact(failure.lost_artifact);
}

void ResultToProto(const HandedBack&, v1::FinishedTask& proto) { proto.mutable_handed_back(); }

absl::StatusOr<FinishedAttempt> FinishedFromProto(const v1::FinishedTask& proto) {
  FinishedAttempt finished;
  ESPALIER_ASSIGN_OR_RETURN(finished.token, FromProto(proto.token()));
  switch (proto.result_case()) {
    case v1::FinishedTask::kOutcome: {
      absl::StatusOr<TaskOutcome> outcome = FromProto(proto.outcome());
      if (outcome.ok()) {
        finished.result = *std::move(outcome);
      } else {
        finished.result = TaskFailure{
            absl::InternalError(absl::StrCat("the reported outcome cannot be used: ", outcome.status().message())), ""};
      }
      return finished;
    }
    case v1::FinishedTask::kFailure: {
      const int code = proto.failure().code();
      const bool is_known = code > 0 && code <= static_cast<int>(absl::StatusCode::kUnauthenticated);
      finished.result =
          TaskFailure{absl::Status(is_known ? static_cast<absl::StatusCode>(code) : absl::StatusCode::kUnknown,
                                   proto.failure().message()),
                      proto.failure().lost_artifact()};
      return finished;
    }
    case v1::FinishedTask::kHandedBack:
      finished.result = HandedBack{};
      return finished;
    case v1::FinishedTask::RESULT_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError(absl::StrCat("finished: ", ToText(finished.token), " has no result"));
}

absl::StatusOr<RetainedState> RetainedFromProto(const v1::RetainedState& proto) {
  RetainedState state;
  ESPALIER_ASSIGN_OR_RETURN(state.key, FromProto(proto.key()));
  state.bytes = proto.bytes();
  ESPALIER_ASSIGN_OR_RETURN(state.location, FromProto(proto.location()));
  return state;
}

}  // namespace

v1::LeaseToken ToProto(const LeaseToken& token) {
  v1::LeaseToken proto;
  proto.set_epoch(token.epoch);
  proto.set_job(token.job_id);
  proto.set_task(token.task_id);
  proto.set_attempt(token.attempt);
  return proto;
}

absl::StatusOr<LeaseToken> FromProto(const v1::LeaseToken& proto) {
  LeaseToken token{proto.epoch(), proto.job(), proto.task(), proto.attempt()};
  if (token.epoch < 1 || token.job_id.empty() || token.task_id.empty() || token.attempt < 1) {
    return absl::InvalidArgumentError(absl::StrCat("token: ", ToText(token), " was never granted"));
  }
  return token;
}

v1::TaskProgress ToProto(const TaskProgress& progress) {
  v1::TaskProgress proto;
  proto.set_step(progress.step);
  proto.set_done(progress.done);
  proto.set_total(progress.total);
  proto.set_tokens_per_second(progress.tokens_per_second);
  proto.set_loss(progress.loss);
  return proto;
}

v1::WorkerDescription ToProto(const WorkerDescription& description) {
  v1::WorkerDescription proto;
  proto.set_protocol_version(description.protocol_version);
  proto.set_host_name(description.host_name);
  proto.set_device(ToProto(description.device));
  proto.set_device_name(description.device_name);
  proto.set_memory_bytes(description.memory_bytes);
  proto.set_numerics_class(description.numerics_class);
  proto.set_slots(description.slots);
  proto.set_software_version(description.software_version);
  return proto;
}

v1::SynchronizeRequest ToProto(const SynchronizeRequest& request) {
  v1::SynchronizeRequest proto;
  proto.set_worker_id(request.worker_id);
  *proto.mutable_description() = ToProto(request.description);
  for (const HeldLease& held : request.held) {
    v1::HeldLease* added = proto.add_held();
    *added->mutable_token() = ToProto(held.token);
    *added->mutable_progress() = ToProto(held.progress);
  }
  for (const FinishedAttempt& finished : request.finished) {
    v1::FinishedTask* added = proto.add_finished();
    *added->mutable_token() = ToProto(finished.token);
    std::visit([&](const auto& result) { ResultToProto(result, *added); }, finished.result);
  }
  for (const RetainedState& state : request.states) {
    v1::RetainedState* added = proto.add_states();
    *added->mutable_key() = ToProto(state.key);
    added->set_bytes(state.bytes);
    added->set_location(ToProto(state.location));
  }
  proto.set_draining(request.draining);
  proto.set_departure(ToProto(request.departure));
  SetDuration(request.max_wait, proto.mutable_max_wait());
  return proto;
}

absl::StatusOr<SynchronizeRequest> FromProto(const v1::SynchronizeRequest& proto) {
  SynchronizeRequest request;
  request.worker_id = proto.worker_id();
  ESPALIER_ASSIGN_OR_RETURN(request.departure, FromProto(proto.departure()));
  if (request.departure != Departure::kDied) {
    ESPALIER_ASSIGN_OR_RETURN(request.description, DescriptionFromProto(proto.description()));
  }
  for (const v1::HeldLease& held : proto.held()) {
    ESPALIER_ASSIGN_OR_RETURN(LeaseToken token, FromProto(held.token()));
    request.held.push_back({std::move(token), ProgressFromProto(held.progress())});
  }
  for (const v1::FinishedTask& finished : proto.finished()) {
    ESPALIER_ASSIGN_OR_RETURN(FinishedAttempt attempt, FinishedFromProto(finished));
    request.finished.push_back(std::move(attempt));
  }
  for (const v1::RetainedState& state : proto.states()) {
    ESPALIER_ASSIGN_OR_RETURN(RetainedState retained, RetainedFromProto(state));
    request.states.push_back(std::move(retained));
  }
  request.draining = proto.draining();
  ESPALIER_ASSIGN_OR_RETURN(request.max_wait, DurationFromProto(proto.max_wait(), "max_wait"));
  return request;
}

v1::SynchronizeResponse ToProto(const SynchronizeResponse& response) {
  v1::SynchronizeResponse proto;
  for (const LeaseGrant& grant : response.grants) {
    v1::LeaseGrant* added = proto.add_grants();
    *added->mutable_token() = ToProto(grant.token);
    *added->mutable_task() = ToProto(grant.task);
  }
  for (const LeaseToken& token : response.stop) *proto.add_stop() = ToProto(token);
  for (const Verdict& verdict : response.verdicts) {
    v1::Verdict* added = proto.add_verdicts();
    *added->mutable_token() = ToProto(verdict.token);
    added->set_decision(ToProto(verdict.decision));
    added->set_reason(verdict.reason);
  }
  for (const StateKey& key : response.keep_states) *proto.add_keep_states() = ToProto(key);
  SetDuration(response.lease_duration, proto.mutable_lease_duration());
  SetDuration(response.next_call, proto.mutable_next_call());
  SetDuration(response.poll_time, proto.mutable_poll_time());
  proto.set_epoch(response.epoch);
  return proto;
}

absl::StatusOr<SynchronizeResponse> FromProto(const v1::SynchronizeResponse& proto) {
  SynchronizeResponse response;
  for (const v1::LeaseGrant& grant : proto.grants()) {
    LeaseGrant& added = response.grants.emplace_back();
    ESPALIER_ASSIGN_OR_RETURN(added.token, FromProto(grant.token()));
    ESPALIER_ASSIGN_OR_RETURN(added.task, FromProto(grant.task()));
  }
  for (const v1::LeaseToken& token : proto.stop()) {
    ESPALIER_ASSIGN_OR_RETURN(LeaseToken converted, FromProto(token));
    response.stop.push_back(std::move(converted));
  }
  for (const v1::Verdict& verdict : proto.verdicts()) {
    Verdict& added = response.verdicts.emplace_back();
    ESPALIER_ASSIGN_OR_RETURN(added.token, FromProto(verdict.token()));
    ESPALIER_ASSIGN_OR_RETURN(added.decision, FromProto(verdict.decision()));
    added.reason = verdict.reason();
  }
  for (const v1::StateKey& key : proto.keep_states()) {
    ESPALIER_ASSIGN_OR_RETURN(StateKey converted, FromProto(key));
    response.keep_states.push_back(std::move(converted));
  }
  ESPALIER_ASSIGN_OR_RETURN(response.lease_duration, DurationFromProto(proto.lease_duration(), "lease_duration"));
  ESPALIER_ASSIGN_OR_RETURN(response.next_call, DurationFromProto(proto.next_call(), "next_call"));
  ESPALIER_ASSIGN_OR_RETURN(response.poll_time, DurationFromProto(proto.poll_time(), "poll_time"));
  response.epoch = proto.epoch();
  return response;
}

}  // namespace espalier::wire
