#include "common/wire/record.h"

#include "absl/strings/str_cat.h"
#include "common/wire/job_conversion.h"
#include "common/wire/mask_conversion.h"
#include "common/wire/task_conversion.h"

namespace espalier::wire {
namespace {

// A record begins with its kind and a version: protobuf alone would read nearly any bytes as any message.
constexpr char kVersion = '\x01';
constexpr char kSpec = 'S';
constexpr char kInputs = 'I';
constexpr char kOutcome = 'O';
constexpr char kTask = 'T';
constexpr size_t kHeaderBytes = 2;

template <typename Proto>
std::string ToBytes(char kind, const Proto& proto) {
  return std::string{kind, kVersion} + proto.SerializeAsString();
}

template <typename Proto>
absl::StatusOr<Proto> FromBytes(const std::string& bytes, char kind, const char* what) {
  Proto proto;
  if (bytes.size() < kHeaderBytes || bytes[0] != kind || bytes[1] != kVersion ||
      !proto.ParseFromArray(bytes.data() + kHeaderBytes, static_cast<int>(bytes.size() - kHeaderBytes))) {
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

std::string Serialize(const JobSpec& spec) { return ToBytes(kSpec, ToProto(spec)); }
std::string Serialize(const JobInputs& inputs) { return ToBytes(kInputs, ToProto(inputs)); }
std::string Serialize(const TaskOutcome& outcome) { return ToBytes(kOutcome, ToProto(outcome)); }
std::string Serialize(const Task& task) { return ToBytes(kTask, ToProto(task)); }

absl::StatusOr<JobSpec> ParseJobSpec(const std::string& bytes) {
  auto proto = FromBytes<v1::JobSpec>(bytes, kSpec, "job specification");
  if (!proto.ok()) return proto.status();
  return AsDataLoss(Overlay(JobSpec{}, *proto), "job specification");
}

absl::StatusOr<JobInputs> ParseJobInputs(const std::string& bytes) {
  auto proto = FromBytes<v1::JobInputs>(bytes, kInputs, "job inputs");
  if (!proto.ok()) return proto.status();
  return AsDataLoss(FromProto(*proto), "job inputs");
}

absl::StatusOr<TaskOutcome> ParseTaskOutcome(const std::string& bytes) {
  auto proto = FromBytes<v1::TaskOutcome>(bytes, kOutcome, "task outcome");
  if (!proto.ok()) return proto.status();
  return AsDataLoss(FromProto(*proto), "task outcome");
}

absl::StatusOr<Task> ParseTask(const std::string& bytes) {
  auto proto = FromBytes<v1::Task>(bytes, kTask, "task");
  if (!proto.ok()) return proto.status();
  return AsDataLoss(FromProto(*proto), "task");
}

}  // namespace espalier::wire
