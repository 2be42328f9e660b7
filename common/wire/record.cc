#include "common/wire/record.h"

#include "absl/strings/str_cat.h"
#include "common/wire/job_conversion.h"
#include "common/wire/mask_conversion.h"
#include "common/wire/task_conversion.h"

namespace espalier::wire {
namespace {

// A version byte before the message: bytes of something else are recognised at once.
constexpr char kVersion = '\x01';

template <typename Proto>
std::string ToBytes(const Proto& proto) {
  return kVersion + proto.SerializeAsString();
}

template <typename Proto>
absl::StatusOr<Proto> FromBytes(const std::string& bytes, const char* what) {
  Proto proto;
  if (bytes.empty() || bytes[0] != kVersion ||
      !proto.ParseFromArray(bytes.data() + 1, static_cast<int>(bytes.size()) - 1)) {
    return absl::DataLossError(absl::StrCat("stored ", what, " of ", bytes.size(), " bytes cannot be read"));
  }
  return proto;
}

template <typename T>
absl::StatusOr<T> AsDataLoss(absl::StatusOr<T> value, const char* what) {
  if (value.ok()) return value;
  return absl::DataLossError(absl::StrCat("stored ", what, ": ", value.status().message()));
}

}  // namespace

std::string Serialize(const JobSpec& spec) { return ToBytes(ToProto(spec)); }
std::string Serialize(const JobInputs& inputs) { return ToBytes(ToProto(inputs)); }
std::string Serialize(const TaskOutcome& outcome) { return ToBytes(ToProto(outcome)); }
std::string Serialize(const Task& task) { return ToBytes(ToProto(task)); }

absl::StatusOr<JobSpec> ParseJobSpec(const std::string& bytes) {
  auto proto = FromBytes<v1::JobSpec>(bytes, "job specification");
  if (!proto.ok()) return proto.status();
  return AsDataLoss(Overlay(JobSpec{}, *proto), "job specification");
}

absl::StatusOr<JobInputs> ParseJobInputs(const std::string& bytes) {
  auto proto = FromBytes<v1::JobInputs>(bytes, "job inputs");
  if (!proto.ok()) return proto.status();
  return AsDataLoss(FromProto(*proto), "job inputs");
}

absl::StatusOr<TaskOutcome> ParseTaskOutcome(const std::string& bytes) {
  auto proto = FromBytes<v1::TaskOutcome>(bytes, "task outcome");
  if (!proto.ok()) return proto.status();
  return AsDataLoss(FromProto(*proto), "task outcome");
}

absl::StatusOr<Task> ParseTask(const std::string& bytes) {
  auto proto = FromBytes<v1::Task>(bytes, "task");
  if (!proto.ok()) return proto.status();
  return AsDataLoss(FromProto(*proto), "task");
}

}  // namespace espalier::wire
