#include "common/wire/job_conversion.h"

#include "common/domain/job_presets.h"
#include "common/wire/record.h"
#include "tests/support/catch.h"

namespace espalier::testing {
namespace {

// A value other than the default in every field.
JobSpec FullSpec() {
  JobSpec spec;
  spec.display_name = "name";
  spec.preset = Preset::kDarwinLm;
  spec.model_folder = "/m";
  spec.tokens_path = "/t.npy";
  spec.evaluation_path = "/e.npy";
  spec.evaluation_windows = 7;
  spec.sequence_length = 256;
  spec.seed = ~uint64_t{0};
  spec.target.count = 123;
  spec.cost = {CostKind::kBytes, 4096};
  spec.ladder = {HeadGranularity::kHead, true, 5, 6, 64, {0, 2, 4}, {0, 8, 16}};
  spec.runtime = Runtime::kVllmAnyModel;
  spec.criterion = "c";
  spec.compensation = "k";
  spec.strategy = "s";
  spec.damping = 0.5;
  spec.calibration_tokens = 9;
  spec.first_parent = FirstParent::kGiven;
  spec.given.removed = {{"attention[0]", 2}, {"ffn[1]", 32}};
  spec.additive_score_tokens = 11;
  spec.mode = TrainMode::kRestart;
  spec.continue_state = ContinueState::kWeightsBFloat16;
  const TrainSettings train{Loss::kBoth, 0.1, 0.2, 0.3, 0.4, 1e-6, 1.5, 10, 0.1};
  spec.phases = {{"p", 3, 5, {{2, 0, 100}, {1, 200, 300}}, train, 4, 0.25, 0.75, 2}};
  spec.tokens_per_step = 512;
  spec.stop = {0, 99, 1.5, 6};
  spec.play_off = {12, train, 13, false};
  spec.play_off_score_tokens = 14;
  spec.recovery = {15, train, 16, true};
  spec.recover_yardsticks = true;
  spec.report_score_tokens = 17;
  spec.device = DeviceKind::kCuda;
  spec.cpu_threads = 2;
  spec.max_attempts = 4;
  spec.priority = -3;
  spec.weight = 2.5;
  spec.max_workers = 6;
  spec.minimum_device_memory = int64_t{40} << 30;
  return spec;
}

TEST_CASE("JobSpec: every field survives the way to protobuf, to bytes and back", "[wire]") {
  for (const JobSpec& spec : {FullSpec(), JobSpec{}, PresetSpec(Preset::kDarwinLm, DeviceKind::kCuda)}) {
    const auto back = wire::Overlay(JobSpec{}, wire::ToProto(spec));
    REQUIRE_OK(back);
    CHECK(*back == spec);
    const auto stored = wire::ParseJobSpec(wire::Serialize(spec));
    REQUIRE_OK(stored);
    CHECK(*stored == spec);
  }
}

TEST_CASE("JobSpec: a field left out is the preset's, a field set to zero is zero", "[wire]") {
  v1::JobSpec proto;
  proto.set_preset(v1::DARWINLM);
  const JobSpec preset = PresetSpec(Preset::kDarwinLm, DeviceKind::kCpu);
  SECTION("nothing set") { CHECK(*wire::FromUser(proto) == preset); }
  SECTION("additive over a preset whose first parent is uniform") {
    REQUIRE(preset.first_parent == FirstParent::kUniform);
    proto.set_first_parent(v1::ADDITIVE);
    CHECK(wire::FromUser(proto)->first_parent == FirstParent::kAdditive);
  }
  SECTION("no generations") {
    CHECK(wire::FromUser(proto)->stop.generations == preset.stop.generations);
    proto.mutable_stop()->set_generations(0);
    CHECK(wire::FromUser(proto)->stop.generations == 0);
  }
  SECTION("a phase of the user's takes what it leaves out from the preset's") {
    proto.add_phases()->set_generations(3);
    const auto spec = wire::FromUser(proto);
    REQUIRE_OK(spec);
    REQUIRE(spec->phases.size() == 1);
    CHECK(spec->phases[0].generations == 3);
    CHECK(spec->phases[0].stages == preset.phases[0].stages);
    CHECK(spec->phases[0].train == preset.phases[0].train);
  }
  SECTION("the device chooses the preset's budgets") {
    proto.set_preset(v1::BALANCED);
    proto.set_device(v1::CUDA);
    CHECK(*wire::FromUser(proto) == PresetSpec(Preset::kBalanced, DeviceKind::kCuda));
  }
}

TEST_CASE("JobSpec: flags beat the job file, and lists replace", "[wire]") {
  v1::JobSpec file;
  file.set_seed(1);
  file.mutable_target()->set_share(0.5);
  file.mutable_ladder()->add_ffn_removed(3);
  file.mutable_ladder()->set_ffn_levels(4);
  v1::JobSpec flags;
  flags.set_seed(0);
  flags.mutable_target()->set_count(77);
  flags.mutable_ladder()->add_ffn_removed(5);
  wire::MergeOver(flags, &file);
  CHECK(file.has_seed());
  CHECK(file.seed() == 0);
  CHECK(file.target().count() == 77);
  REQUIRE(file.ladder().ffn_removed_size() == 1);
  CHECK(file.ladder().ffn_removed(0) == 5);
  CHECK(file.ladder().ffn_levels() == 4);
}

TEST_CASE("JobSpec: what cannot be is refused by the field's name", "[wire]") {
  v1::JobSpec proto;
  std::string field;
  SECTION("share") {
    proto.mutable_target()->set_share(1.5);
    field = "spec: target: share: 1.5";
  }
  SECTION("not a number") {
    proto.mutable_recovery()->mutable_train()->set_learning_rate(std::numeric_limits<double>::quiet_NaN());
    field = "recovery: train: learning_rate";
  }
  SECTION("latency") {
    proto.mutable_cost()->set_kind(v1::LATENCY);
    field = "cost: kind: LATENCY";
  }
  SECTION("an enumeration's number of a later version") {
    proto.set_mode(static_cast<v1::TrainMode>(77));
    field = "mode: unknown mode 77";
  }
  const auto spec = wire::FromUser(proto);
  REQUIRE(spec.status().code() == absl::StatusCode::kInvalidArgument);
  CHECK_THAT(std::string(spec.status().message()), Catch::Contains(field));
}

TEST_CASE("Records: bytes of something else are data loss, not a value", "[wire]") {
  CHECK(wire::ParseJobSpec("").status().code() == absl::StatusCode::kDataLoss);
  CHECK(wire::ParseJobSpec("rubbish").status().code() == absl::StatusCode::kDataLoss);
  CHECK(wire::ParseTaskOutcome(wire::Serialize(JobSpec{})).status().code() == absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace espalier::testing
