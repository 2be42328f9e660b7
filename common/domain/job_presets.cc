#include "common/domain/job_presets.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace espalier {
namespace {

// Recovery as in the experiments that BALANCED was chosen by: AdamW, KL, batches of 16 windows (ResolveJob fills in
// their tokens), 20 steps of warm-up, then a cosine to a tenth.
Recovery DefaultRecovery() {
  Recovery recovery;
  recovery.tokens = 0;
  recovery.tokens_per_step = 0;
  recovery.train.loss = Loss::kKl;
  recovery.train.learning_rate = 1e-3;
  recovery.train.warmup_steps = 20;
  recovery.train.cosine_to = 0.1;
  return recovery;
}

JobSpec DarwinLm() {
  JobSpec spec;
  spec.preset = Preset::kDarwinLm;
  spec.ladder.head_granularity = HeadGranularity::kHead;
  spec.ladder.keep_kv_whole = true;
  spec.ladder.attention_levels = 11;
  spec.ladder.ffn_levels = 11;
  spec.first_parent = FirstParent::kUniform;
  spec.mode = TrainMode::kRestart;
  Phase phase;
  phase.name = "darwinlm";
  phase.generations = 200;
  phase.offspring = 16;
  phase.stages = {{8, 10'000, 1'024}, {4, 50'000, 2'048}, {2, 100'000, 4'096}, {1, 200'000, 8'192}};
  phase.train.loss = Loss::kCrossEntropy;
  phase.train.learning_rate = 1e-5;
  phase.redraw_every = 1;
  phase.same_kind_weight = 1;
  phase.cross_kind_weight = 0;
  spec.phases = {phase};
  spec.recovery = DefaultRecovery();
  spec.play_off = DefaultRecovery();
  return spec;
}

JobSpec Balanced(DeviceKind device) {
  const bool is_cpu = device == DeviceKind::kCpu;
  JobSpec spec;
  spec.preset = Preset::kBalanced;
  spec.first_parent = FirstParent::kAdditive;
  spec.mode = TrainMode::kContinue;
  Phase phase;
  phase.name = "balanced";
  phase.generations = 10;
  phase.offspring = 16;
  if (is_cpu) {
    phase.stages = {{4, 0, 4'096}, {2, 8'192, 8'192}, {1, 24'576, 16'384}};
  } else {
    phase.stages = {{8, 0, 8'192}, {3, 16'384, 16'384}, {1, 65'536, 32'768}};
  }
  phase.train.loss = Loss::kKl;
  phase.train.learning_rate = 5e-4;
  // A draw that several generations share lets the parent's measurement be reused; a new one now and then keeps the
  // search from fitting one set of windows.
  phase.redraw_every = 4;
  phase.same_kind_weight = 1;
  phase.cross_kind_weight = 1;
  spec.phases = {phase};
  spec.recovery = DefaultRecovery();
  spec.play_off = DefaultRecovery();
  // On a GPU long enough to tell masks apart that recovery makes nearly equal (docs/performance.md): after 200k tokens
  // the finalists' paired difference is noise, after a million it is not.
  spec.play_off.tokens = is_cpu ? 65'536 : 1'000'000;
  if (!is_cpu) spec.play_off.tokens_per_step = 16'384;
  spec.play_off.train.warmup_steps = 10;
  return spec;
}

}  // namespace

JobSpec PresetSpec(Preset preset, DeviceKind device) {
  JobSpec spec = preset == Preset::kDarwinLm ? DarwinLm() : Balanced(device);
  spec.device = device;
  return spec;
}

absl::StatusOr<Preset> ParsePreset(const std::string& name) {
  const std::string lower = absl::AsciiStrToLower(name);
  if (lower == "balanced") return Preset::kBalanced;
  if (lower == "darwinlm") return Preset::kDarwinLm;
  return absl::InvalidArgumentError(absl::StrCat("preset '", name, "' is not known: there are balanced and darwinlm"));
}

}  // namespace espalier
