#include "common/wire/enum_conversion.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace espalier::wire {
namespace {

template <typename Domain, typename Proto>
struct Pair {
  Domain domain;
  Proto proto;
};

// One table serves both directions; every domain value is in it.
template <typename Domain, typename Proto, size_t kSize>
Proto Forward(const Pair<Domain, Proto> (&table)[kSize], Domain value) {
  for (const auto& pair : table) {
    if (pair.domain == value) return pair.proto;
  }
  return Proto{};
}

template <typename Domain, typename Proto, size_t kSize>
absl::StatusOr<Domain> Backward(const Pair<Domain, Proto> (&table)[kSize], Proto value, const char* what) {
  for (const auto& pair : table) {
    if (pair.proto == value) return pair.domain;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown ", what, " ", static_cast<int>(value), value == Proto{} ? " (unspecified)" : ""));
}

constexpr Pair<Preset, v1::Preset> kPresets[] = {{Preset::kBalanced, v1::BALANCED}, {Preset::kDarwinLm, v1::DARWINLM}};
constexpr Pair<FirstParent, v1::FirstParent> kFirstParents[] = {
    {FirstParent::kUniform, v1::UNIFORM}, {FirstParent::kAdditive, v1::ADDITIVE}, {FirstParent::kGiven, v1::GIVEN}};
constexpr Pair<TrainMode, v1::TrainMode> kTrainModes[] = {{TrainMode::kRestart, v1::RESTART},
                                                          {TrainMode::kContinue, v1::CONTINUE}};
constexpr Pair<ContinueState, v1::ContinueState> kContinueStates[] = {
    {ContinueState::kFull, v1::FULL}, {ContinueState::kWeightsBFloat16, v1::WEIGHTS_BF16}};
constexpr Pair<Loss, v1::Loss> kLosses[] = {
    {Loss::kCrossEntropy, v1::CROSS_ENTROPY}, {Loss::kKl, v1::KL}, {Loss::kBoth, v1::BOTH}};
constexpr Pair<DeviceKind, v1::DeviceKind> kDeviceKinds[] = {{DeviceKind::kCpu, v1::CPU}, {DeviceKind::kCuda, v1::CUDA}};
constexpr Pair<Runtime, v1::Runtime> kRuntimes[] = {{Runtime::kHuggingFace, v1::HUGGING_FACE},
                                                    {Runtime::kGguf, v1::GGUF},
                                                    {Runtime::kNemotronNas, v1::NEMOTRON_NAS},
                                                    {Runtime::kVllmAnyModel, v1::VLLM_ANYMODEL}};
constexpr Pair<CostKind, v1::CostKind> kCostKinds[] = {{CostKind::kParameters, v1::PARAMETERS},
                                                       {CostKind::kFlopsPerToken, v1::FLOPS_PER_TOKEN},
                                                       {CostKind::kBytes, v1::BYTES}};
constexpr Pair<HeadGranularity, v1::HeadGranularity> kGranularities[] = {{HeadGranularity::kHead, v1::HEAD},
                                                                         {HeadGranularity::kKvGroup, v1::KV_GROUP}};
constexpr Pair<UnitKind, v1::UnitKind> kUnitKinds[] = {{UnitKind::kAttention, v1::ATTENTION}, {UnitKind::kFfn, v1::FFN}};
constexpr Pair<Pool, v1::Pool> kPools[] = {{Pool::kCalibrate, v1::POOL_CALIBRATE},
                                           {Pool::kTrain, v1::POOL_TRAIN},
                                           {Pool::kScore, v1::POOL_SCORE},
                                           {Pool::kSelect, v1::POOL_SELECT},
                                           {Pool::kReport, v1::POOL_REPORT}};
constexpr Pair<NumberFormat, v1::NumberFormat> kNumberFormats[] = {{NumberFormat::kFloat32, v1::FLOAT32},
                                                                   {NumberFormat::kFloat16, v1::FLOAT16},
                                                                   {NumberFormat::kBFloat16, v1::BFLOAT16}};
constexpr Pair<RopeType, v1::RopeConfig::Type> kRopeTypes[] = {{RopeType::kDefault, v1::RopeConfig::DEFAULT},
                                                               {RopeType::kLinear, v1::RopeConfig::LINEAR},
                                                               {RopeType::kLlama3, v1::RopeConfig::LLAMA3}};
constexpr Pair<Family, v1::ModelConfig::Family> kFamilies[] = {{Family::kLlama, v1::ModelConfig::LLAMA},
                                                               {Family::kMistral, v1::ModelConfig::MISTRAL},
                                                               {Family::kQwen2, v1::ModelConfig::QWEN2},
                                                               {Family::kQwen3, v1::ModelConfig::QWEN3}};
constexpr Pair<StateLocation, v1::RetainedState::Location> kLocations[] = {
    {StateLocation::kDevice, v1::RetainedState::DEVICE},
    {StateLocation::kHost, v1::RetainedState::HOST},
    {StateLocation::kDisk, v1::RetainedState::DISK}};
constexpr Pair<Departure, v1::SynchronizeRequest::Departure> kDepartures[] = {
    {Departure::kNone, v1::SynchronizeRequest::DEPARTURE_UNSPECIFIED},
    {Departure::kLeaves, v1::SynchronizeRequest::LEAVES},
    {Departure::kDied, v1::SynchronizeRequest::DIED}};
constexpr Pair<Decision, v1::Verdict::Decision> kDecisions[] = {{Decision::kCommitted, v1::Verdict::COMMITTED},
                                                                {Decision::kSuperseded, v1::Verdict::SUPERSEDED},
                                                                {Decision::kNoted, v1::Verdict::NOTED},
                                                                {Decision::kRejected, v1::Verdict::REJECTED}};

}  // namespace

v1::Preset ToProto(Preset value) { return Forward(kPresets, value); }
v1::FirstParent ToProto(FirstParent value) { return Forward(kFirstParents, value); }
v1::TrainMode ToProto(TrainMode value) { return Forward(kTrainModes, value); }
v1::ContinueState ToProto(ContinueState value) { return Forward(kContinueStates, value); }
v1::Loss ToProto(Loss value) { return Forward(kLosses, value); }
v1::DeviceKind ToProto(DeviceKind value) { return Forward(kDeviceKinds, value); }
v1::Runtime ToProto(Runtime value) { return Forward(kRuntimes, value); }
v1::CostKind ToProto(CostKind value) { return Forward(kCostKinds, value); }
v1::HeadGranularity ToProto(HeadGranularity value) { return Forward(kGranularities, value); }
v1::UnitKind ToProto(UnitKind value) { return Forward(kUnitKinds, value); }
v1::Pool ToProto(Pool value) { return Forward(kPools, value); }
v1::NumberFormat ToProto(NumberFormat value) { return Forward(kNumberFormats, value); }
v1::RopeConfig::Type ToProto(RopeType value) { return Forward(kRopeTypes, value); }
v1::ModelConfig::Family ToProto(Family value) { return Forward(kFamilies, value); }
v1::RetainedState::Location ToProto(StateLocation value) { return Forward(kLocations, value); }
v1::SynchronizeRequest::Departure ToProto(Departure value) { return Forward(kDepartures, value); }
v1::Verdict::Decision ToProto(Decision value) { return Forward(kDecisions, value); }

absl::StatusOr<Preset> FromProto(v1::Preset value) { return Backward(kPresets, value, "preset"); }
absl::StatusOr<FirstParent> FromProto(v1::FirstParent value) { return Backward(kFirstParents, value, "first parent"); }
absl::StatusOr<TrainMode> FromProto(v1::TrainMode value) { return Backward(kTrainModes, value, "mode"); }
absl::StatusOr<ContinueState> FromProto(v1::ContinueState value) {
  return Backward(kContinueStates, value, "continue_state");
}
absl::StatusOr<Loss> FromProto(v1::Loss value) { return Backward(kLosses, value, "loss"); }
absl::StatusOr<DeviceKind> FromProto(v1::DeviceKind value) { return Backward(kDeviceKinds, value, "device"); }
absl::StatusOr<Runtime> FromProto(v1::Runtime value) { return Backward(kRuntimes, value, "runtime"); }
absl::StatusOr<CostKind> FromProto(v1::CostKind value) {
  if (value == v1::LATENCY) {
    return absl::InvalidArgumentError(
        "LATENCY cannot be measured by this version; use PARAMETERS, FLOPS_PER_TOKEN or BYTES");
  }
  return Backward(kCostKinds, value, "cost kind");
}
absl::StatusOr<HeadGranularity> FromProto(v1::HeadGranularity value) {
  return Backward(kGranularities, value, "head granularity");
}
absl::StatusOr<UnitKind> FromProto(v1::UnitKind value) { return Backward(kUnitKinds, value, "unit kind"); }
absl::StatusOr<Pool> FromProto(v1::Pool value) { return Backward(kPools, value, "pool"); }
absl::StatusOr<NumberFormat> FromProto(v1::NumberFormat value) {
  return Backward(kNumberFormats, value, "number format");
}
absl::StatusOr<RopeType> FromProto(v1::RopeConfig::Type value) { return Backward(kRopeTypes, value, "rope type"); }
absl::StatusOr<Family> FromProto(v1::ModelConfig::Family value) { return Backward(kFamilies, value, "family"); }
absl::StatusOr<StateLocation> FromProto(v1::RetainedState::Location value) {
  return Backward(kLocations, value, "location");
}
absl::StatusOr<Departure> FromProto(v1::SynchronizeRequest::Departure value) {
  return Backward(kDepartures, value, "departure");
}
absl::StatusOr<Decision> FromProto(v1::Verdict::Decision value) { return Backward(kDecisions, value, "decision"); }

}  // namespace espalier::wire
