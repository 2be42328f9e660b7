// What is refused at the door, what is filled in, and what a preview says.
#include <algorithm>
#include <functional>

#include "coordinator/search/job_program.h"
#include "coordinator/search/retained_states.h"
#include "tests/unit/search/search_fixtures.h"

namespace espalier {
namespace {

using namespace testing;

JobInputs TinyInputs(int64_t num_tokens, int row_length) {
  JobInputs inputs = SmallInputs();
  ModelConfig& dense = inputs.dense;
  dense.hidden_size = 192;
  dense.num_layers = 8;
  dense.num_heads = 6;
  dense.num_kv_heads = 2;
  dense.head_size = 32;
  dense.ffn_width = 512;
  dense.vocabulary_size = 4096;
  dense.layers.assign(8, DenseLayer(dense));
  inputs.num_tokens = num_tokens;
  inputs.row_length = row_length;
  return inputs;
}

std::string Refusal(const JobSpec& spec, const JobInputs& inputs) {
  const auto preview = ResolveJob(spec, inputs);
  REQUIRE_FALSE(preview.ok());
  CHECK(preview.status().code() == absl::StatusCode::kInvalidArgument);
  return std::string(preview.status().message());
}

TEST_CASE("ResolveJob: every preset resolves, on both devices, and resolving again changes nothing") {
  const JobInputs inputs = TinyInputs(1024 * 512, 512);
  for (Preset preset : {Preset::kBalanced, Preset::kDarwinLm}) {
    for (DeviceKind device : {DeviceKind::kCpu, DeviceKind::kCuda}) {
      JobSpec spec = PresetSpec(preset, device);
      spec.target.count = 2362560;
      const auto preview = ResolveJob(spec, inputs);
      REQUIRE_OK(preview);
      CHECK(preview->resolved.sequence_length == 512);
      CHECK(preview->target_cost == 2362560);
      CHECK(preview->dense_parameters == 3935424);
      CHECK(preview->train_tokens > 0);
      CHECK(preview->bank_bytes > 0);
      CHECK(preview->resolved.additive_score_tokens > 0);
      const auto again = ResolveJob(preview->resolved, inputs);
      REQUIRE_OK(again);
      CHECK(again->resolved == preview->resolved);
      CHECK(again->train_tokens == preview->train_tokens);
      JobSpec without_phases = spec;
      without_phases.phases.clear();
      CHECK(ResolveJob(without_phases, inputs)->resolved == preview->resolved);
    }
  }
}

// 8 layers of Llama-2-7B's width: 1.88B parameters.
JobInputs WideInputs() {
  JobInputs inputs = TinyInputs(4400 * 1024, 1024);
  ModelConfig& dense = inputs.dense;
  dense.hidden_size = 4096;
  dense.num_heads = dense.num_kv_heads = 32;
  dense.head_size = 128;
  dense.ffn_width = 11008;
  dense.vocabulary_size = 32000;
  dense.max_positions = 4096;
  dense.layers.assign(8, DenseLayer(dense));
  return inputs;
}

TEST_CASE("ResolveJob: a candidate's memory counts the activations of one step, in the device's number format") {
  const JobInputs inputs = TinyInputs(1024 * 512, 512);
  const auto bytes = [&](DeviceKind device, int tokens_per_step) {
    JobSpec spec = PresetSpec(Preset::kBalanced, device);
    spec.target.count = 2361254;  // 0.6 of 3935424 parameters, rounded down
    spec.tokens_per_step = tokens_per_step;
    return ResolveJob(spec, inputs)->device_bytes;
  };
  // In each of 8 layers 6 hidden states of 192, and 0.6 of: 3 vectors of 32 for each of 6 query heads, 4 for each of 2 KV
  // heads, 4 times 512 neurons.
  const double values = 8 * (6 * 192 + 0.6 * ((3 * 6 + 4 * 2) * 32 + 4 * 512));
  CHECK(bytes(DeviceKind::kCpu, 2048) - bytes(DeviceKind::kCpu, 1024) == Approx(1024 * 4 * values).epsilon(1e-6));
  CHECK(bytes(DeviceKind::kCuda, 2048) - bytes(DeviceKind::kCuda, 1024) == Approx(1024 * 2 * values).epsilon(1e-6));
  CHECK(bytes(DeviceKind::kCpu, 256) == bytes(DeviceKind::kCpu, 512));  // a step has at least one window
}

TEST_CASE("ContinueStateBySize: what CONTINUE keeps is whole while a generation's states are small, and weights alone when not") {
  JobSpec spec = PresetSpec(Preset::kDarwinLm, DeviceKind::kCuda);
  spec.mode = TrainMode::kContinue;
  spec.target.share = 0.5;
  const JobInputs tiny = TinyInputs(1024 * 512, 512);
  REQUIRE_OK(ContinueStateBySize(spec, tiny));
  CHECK(*ContinueStateBySize(spec, tiny) == ContinueState::kFull);
  REQUIRE_OK(ContinueStateBySize(spec, WideInputs()));
  CHECK(*ContinueStateBySize(spec, WideInputs()) == ContinueState::kWeightsBFloat16);
  spec.mode = TrainMode::kRestart;  // keeps nothing
  CHECK(*ContinueStateBySize(spec, WideInputs()) == ContinueState::kFull);
  spec.target.share = 2;
  CHECK_FALSE(ContinueStateBySize(spec, tiny).ok());
}

TEST_CASE("RetainedBytes: all that trained in a stage which is not the last, in the form that they are kept in") {
  JobSpec spec = PresetSpec(Preset::kDarwinLm, DeviceKind::kCuda);
  spec.mode = TrainMode::kContinue;
  spec.target.share = 0.5;
  const auto bytes_of = [](const JobSpec& of, ContinueState state) {
    const auto plan = MakeSearchPlan("job", ResolveJob(of, WideInputs())->resolved, WideInputs());
    REQUIRE_OK(plan);
    return static_cast<double>(RetainedBytes(*plan, state));
  };
  const double candidate = 0.5 * static_cast<double>(ResolveJob(spec, WideInputs())->dense_parameters);
  CHECK(bytes_of(spec, ContinueState::kFull) == Approx(16 * 12 * candidate).epsilon(1e-3));
  CHECK(bytes_of(spec, ContinueState::kWeightsBFloat16) == Approx(16 * 2 * candidate).epsilon(1e-3));
  // 16 are scored only, 8 of them train and wait for the stage's end, the last stage's go on from there.
  JobSpec balanced = PresetSpec(Preset::kBalanced, DeviceKind::kCuda);
  balanced.target.share = 0.5;
  CHECK(bytes_of(balanced, ContinueState::kFull) == Approx(8 * 12 * candidate).epsilon(1e-3));
  spec.mode = TrainMode::kRestart;
  CHECK(bytes_of(spec, ContinueState::kFull) == 0);
}

TEST_CASE("ResolveJob: a note says that survivors keep rounded weights alone, and what whole states would take") {
  JobSpec spec = PresetSpec(Preset::kDarwinLm, DeviceKind::kCuda);
  spec.mode = TrainMode::kContinue;
  spec.target.share = 0.5;
  CHECK(ResolveJob(spec, WideInputs())->warnings.empty());
  spec.continue_state = ContinueState::kWeightsBFloat16;
  const auto preview = ResolveJob(spec, WideInputs());
  REQUIRE_OK(preview);
  REQUIRE(preview->warnings.size() == 1);
  CHECK_THAT(preview->warnings[0], Catch::StartsWith("continue_state is WEIGHTS_BF16") && Catch::Contains(" GB"));
  spec.mode = TrainMode::kRestart;
  CHECK(ResolveJob(spec, WideInputs())->warnings.empty());
}

TEST_CASE("DARWINLM: the published schedule to the letter") {
  const JobSpec spec = PresetSpec(Preset::kDarwinLm, DeviceKind::kCuda);
  CHECK(spec.first_parent == FirstParent::kUniform);
  CHECK(spec.mode == TrainMode::kRestart);
  CHECK(spec.ladder.head_granularity == HeadGranularity::kHead);
  CHECK(spec.ladder.keep_kv_whole);
  CHECK(spec.ladder.attention_levels == 11);
  CHECK(spec.ladder.ffn_levels == 11);
  REQUIRE(spec.phases.size() == 1);
  const Phase& phase = spec.phases[0];
  CHECK(phase.generations == 200);
  CHECK(phase.offspring == 16);
  CHECK(phase.stages ==
        std::vector<Stage>{{8, 10'000, 1'024}, {4, 50'000, 2'048}, {2, 100'000, 4'096}, {1, 200'000, 8'192}});
  CHECK(phase.train.loss == Loss::kCrossEntropy);
  CHECK(phase.train.learning_rate == 1e-5);
  CHECK(phase.train.weight_decay == 0.01);
  CHECK(phase.redraw_every == 1);
  CHECK(phase.cross_kind_weight == 0);
}

TEST_CASE("BALANCED: small files cut its stages with a warning, other schedules are taken at their word") {
  const JobInputs inputs = TinyInputs(40 * 512, 512);
  JobSpec spec = PresetSpec(Preset::kBalanced, DeviceKind::kCpu);
  spec.target.share = 0.6;
  const auto preview = ResolveJob(spec, inputs);
  REQUIRE_OK(preview);
  CHECK_FALSE(preview->warnings.empty());
  const auto program = JobProgram::Create("job-1", preview->resolved, inputs);
  REQUIRE_OK(program);
  spec.phases[0].offspring = 8;
  CHECK_THAT(Refusal(spec, inputs), Catch::Contains("too few tokens"));
}

TEST_CASE("ResolveJob: BALANCED on the tiny model stays within what two cores train in minutes") {
  JobSpec spec = PresetSpec(Preset::kBalanced, DeviceKind::kCpu);
  spec.target.count = 2362560;
  spec.ladder.head_granularity = HeadGranularity::kHead;
  spec.stop.generations = 8;
  const auto preview = ResolveJob(spec, TinyInputs(1024 * 512, 512));
  REQUIRE_OK(preview);
  CHECK(preview->train_tokens < 900'000);
}

TEST_CASE("ResolveJob: too few tokens says how many the schedule needs, and with that many it resolves") {
  JobSpec spec = PresetSpec(Preset::kDarwinLm, DeviceKind::kCpu);
  spec.target.share = 0.6;
  // However short the file is, and however many stages it is too short for.
  for (const int windows : {1, 31, 32, 100, 300, 512}) {
    const std::string message = Refusal(spec, TinyInputs(windows * 512, 512));
    if (windows >= 32) {
      CHECK_THAT(message,
                 Catch::Contains("phases[0].stages[3].train_tokens is 200000") && Catch::Contains("too few tokens"));
    }
    const size_t at = message.find("at least ");
    REQUIRE(at != std::string::npos);
    const int64_t needed = std::stoll(message.substr(at + 9));
    CHECK(ResolveJob(spec, TinyInputs(needed, 512)).ok());
    CHECK_FALSE(ResolveJob(spec, TinyInputs(needed - 512, 512)).ok());
  }
  // With no generations nothing is trained.
  spec.stop.generations = 0;
  CHECK(ResolveJob(spec, TinyInputs(512 * 512, 512)).ok());
  CHECK_THAT(Refusal(spec, TinyInputs(31 * 512, 512)), Catch::Contains("at least 16384 tokens (32 windows)"));
}

TEST_CASE("ResolveJob: errors name the field, its value and what is possible") {
  const JobInputs inputs = TinyInputs(1024 * 512, 512);
  struct Bad {
    std::function<void(JobSpec*)> change;
    std::vector<const char*> named;
  };
  const std::vector<Bad> all = {
      {[](JobSpec* s) {
         s->target = {0, 3935425};
       },
       {"3935425", "3935424"}},
      {[](JobSpec* s) {
         s->target = {0, 1000};
       },
       {"1000", "786624"}},
      {[](JobSpec* s) { s->target = {}; }, {"target"}},
      {[](JobSpec* s) { s->sequence_length = 4096; }, {"4096", "1024"}},
      {[](JobSpec* s) { s->sequence_length = -1; }, {"sequence_length is -1"}},
      {[](JobSpec* s) { s->phases[0].stages[0].survivors = 17; }, {"phases[0].stages[0].survivors is 17", "16"}},
      {[](JobSpec* s) { s->phases[0].stages.back().survivors = 2; }, {"survivors is 2"}},
      {[](JobSpec* s) { s->phases[0].stages[1].score_tokens = 0; }, {"phases[0].stages[1].score_tokens is 0"}},
      {[](JobSpec* s) { s->phases[0].stages[1].train_tokens = -5; }, {"train_tokens is -5"}},
      {[](JobSpec* s) { s->phases[0].stages[2].train_tokens = 4096; }, {"CONTINUE", "4096", "8192"}},
      {[](JobSpec* s) { s->phases[0].stages.clear(); }, {"phases[0].stages"}},
      {[](JobSpec* s) { s->phases[0].offspring = 0; }, {"phases[0].offspring is 0"}},
      {[](JobSpec* s) { s->phases[0].generations = 0; }, {"phases[0].generations is 0"}},
      {[](JobSpec* s) { s->phases[0].redraw_every = 0; }, {"phases[0].redraw_every is 0"}},
      {[](JobSpec* s) { s->phases[0].same_kind_weight = 0, s->phases[0].cross_kind_weight = 0; },
       {"cross_kind_weight"}},
      {[](JobSpec* s) { s->phases[0].train.learning_rate = 0; }, {"phases[0].train.learning_rate is 0"}},
      {[](JobSpec* s) { s->phases[0].train.beta2 = 1; }, {"phases[0].train.beta2 is 1"}},
      {[](JobSpec* s) { s->stop.generations = -1; }, {"stop.generations is -1"}},
      {[](JobSpec* s) { s->stop.token_budget = 10; }, {"stop.token_budget is 10"}},
      {[](JobSpec* s) { s->criterion = "magic"; }, {"criterion", "magic", "structured_obs"}},
      {[](JobSpec* s) { s->compensation = "magic"; }, {"compensation", "least_squares"}},
      {[](JobSpec* s) { s->strategy = "magic"; }, {"strategy", "evolution"}},
      {[](JobSpec* s) { s->damping = 0; }, {"damping is 0"}},
      {[](JobSpec* s) { s->calibration_tokens = 1'000'000; }, {"calibration_tokens is 1000000", "too few tokens"}},
      {[](JobSpec* s) { s->report_score_tokens = 1'000'000; }, {"report_score_tokens"}},
      {[](JobSpec* s) { s->tokens_per_step = 0; }, {"tokens_per_step is 0"}},
      {[](JobSpec* s) { s->cpu_threads = 0; }, {"cpu_threads is 0"}},
      {[](JobSpec* s) { s->ladder.width_multiple = 1000; }, {"ladder.width_multiple is 1000"}},
      {[](JobSpec* s) {
         s->runtime = Runtime::kNemotronNas, s->ladder.attention_removed = {0, 3, 6};
       },
       {"NEMOTRON_NAS", "3"}},
      {[](JobSpec* s) { s->first_parent = FirstParent::kGiven; }, {"given mask", "3935424"}},
      {[](JobSpec* s) {
         s->first_parent = FirstParent::kGiven, s->given.removed = {{"ffn[0]", 33}};
       },
       {"ffn[0]", "33"}},
      {[](JobSpec* s) { s->recovery.tokens = -1; }, {"recovery.tokens is -1"}},
      {[](JobSpec* s) { s->play_off.train.learning_rate = -1; }, {"play_off.train.learning_rate is -1"}},
      {[](JobSpec* s) { s->evaluation_path = "val.npy"; }, {"512"}},
  };
  for (size_t i = 0; i < all.size(); ++i) {
    JobSpec spec = PresetSpec(Preset::kBalanced, DeviceKind::kCpu);
    spec.target.share = 0.6;
    all[i].change(&spec);
    INFO("case " << i);
    const std::string message = Refusal(spec, inputs);
    for (const char* name : all[i].named) CHECK_THAT(message, Catch::Contains(name));
  }
}

TEST_CASE("ResolveJob: the generations of a job cut the list of phases in order") {
  JobSpec spec = SmallSpec(3);
  spec.phases.push_back(SmallPhase(5));
  spec.stop.generations = 4;
  const JobInputs inputs = SmallInputs();
  const auto program = MakeProgram(spec, inputs);
  Drive(program.get(), FakeEvaluator(inputs, {}), FirstWanted(), Never);
  std::vector<int> phases;
  for (const GenerationView& generation : program->Generations()) phases.push_back(generation.phase);
  CHECK(phases == std::vector<int>{0, 0, 0, 1});
}

TEST_CASE("ResolveJob: FLOPs and bytes are budgets as well") {
  for (CostKind kind : {CostKind::kFlopsPerToken, CostKind::kBytes}) {
    JobSpec spec = SmallSpec(2);
    spec.cost = {kind, 512};
    const JobInputs inputs = SmallInputs();
    const auto program = MakeProgram(spec, inputs);
    Drive(program.get(), FakeEvaluator(inputs, {}), FirstWanted(), Never);
    REQUIRE_FALSE(program->failure().has_value());
    for (const CandidateView& candidate : program->Candidates())
      CHECK(candidate.cost <= ResolveJob(spec, inputs)->target_cost);
  }
}

TEST_CASE("ResolveJob: a runtime's ladder is searched as it is") {
  JobInputs inputs = SmallInputs();
  inputs.dense.ffn_width = 1024;
  inputs.dense.layers.assign(3, DenseLayer(inputs.dense));
  for (Runtime runtime : {Runtime::kGguf, Runtime::kNemotronNas, Runtime::kVllmAnyModel}) {
    JobSpec spec = SmallSpec(2);
    spec.ladder.head_granularity = HeadGranularity::kKvGroup;
    spec.runtime = runtime;
    const auto preview = ResolveJob(spec, inputs);
    REQUIRE_OK(preview);
    const bool said = std::any_of(preview->warnings.begin(), preview->warnings.end(), [](const std::string& warning) {
      return warning.find("restricts the ladder to") != std::string::npos;
    });
    CHECK(said);
    const auto program = MakeProgram(spec, inputs);
    Drive(program.get(), FakeEvaluator(inputs, {}), FirstWanted(), Never);
    REQUIRE_FALSE(program->failure().has_value());
    CHECK(program->result().parameters <= program->result().target_parameters);
  }
}

}  // namespace
}  // namespace espalier
