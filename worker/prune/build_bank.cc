#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/domain/bank_key.h"
#include "worker/model/device_runtime.h"
#include "worker/prune/bank.h"
#include "worker/prune/compensation.h"
#include "worker/prune/criterion.h"
#include "worker/prune/layer_tensors.h"

namespace espalier {
namespace {

torch::ScalarType DtypeOf(NumberFormat format) {
  switch (format) {
    case NumberFormat::kFloat32: return torch::kFloat32;
    case NumberFormat::kFloat16: return torch::kFloat16;
    case NumberFormat::kBFloat16: return torch::kBFloat16;
  }
  return torch::kFloat32;
}

absl::StatusOr<const UnitLadder*> FindLadder(const Ladder& ladder, const Unit& unit) {
  for (const UnitLadder& candidate : ladder.units) {
    if (candidate.unit == unit) return &candidate;
  }
  return absl::InvalidArgumentError(absl::StrCat("the ladder has no ", Name(unit)));
}

// How a unit's groups, prunable parts (heads or neurons) and columns of its output projection lie in each other.
struct UnitLayout {
  const char* output_weight;
  int64_t columns_per_part = 1;
  int64_t parts_per_group = 1;
};

UnitLayout LayoutOf(const ModelConfig& config, const Ladder& ladder, UnitKind kind) {
  if (kind == UnitKind::kFfn) return {kDownWeight, 1, 1};
  const bool whole_groups = ladder.head_granularity == HeadGranularity::kKvGroup;
  return {kOWeight, config.head_size, whole_groups ? config.heads_per_group() : 1};
}

std::vector<int> ExpandGroups(const std::vector<int>& groups, int64_t parts_per_group) {
  std::vector<int> parts;
  for (const int group : groups) {
    for (int64_t i = 0; i < parts_per_group; ++i) parts.push_back(static_cast<int>(group * parts_per_group + i));
  }
  return parts;
}

// The columns of the kept parts, ascending.
torch::Tensor ColumnsOf(const torch::Tensor& kept, int64_t columns_per_part) {
  if (columns_per_part == 1) return kept;
  return (kept.unsqueeze(1) * columns_per_part + torch::arange(columns_per_part, kept.options()).unsqueeze(0)).flatten();
}

class UnitBuilder {
 public:
  UnitBuilder(const Criterion& criterion, const Compensation& compensation, NumberFormat format, BankSeconds& seconds)
      : criterion_(criterion), compensation_(compensation), format_(format), seconds_(seconds) {}

  absl::StatusOr<UnitBank> Build(const UnitLadder& ladder, const UnitLayout& layout, const UnitProblem& problem,
                                 const std::function<void(int64_t)>& progress, const std::function<void()>& begin_solve,
                                 std::stop_token stop) const {
    if (problem.num_columns() != ladder.size * layout.columns_per_part) {
      return absl::InvalidArgumentError(absl::StrCat("the ladder is for ", ladder.size, " parts, the output projection has ",
                                                     problem.num_columns(), " columns"));
    }
    UnitBank bank;
    bank.unit = ladder.unit;
    const absl::Time begin = SteadyClock().Now();
    ESPALIER_ASSIGN_OR_RETURN(const std::vector<int> groups, criterion_.Order(problem, progress, stop));
    bank.order = ExpandGroups(groups, layout.parts_per_group);
    const absl::Time ordered = SteadyClock().Now();
    begin_solve();
    for (const int removed : ladder.removed) bank.levels.emplace_back().removed = removed;
    FillKept(bank, problem.weight_on.device());
    const PreparedProblem prepared = Prepare(problem);
    ESPALIER_RETURN_IF_ERROR(Solve(layout, problem, prepared, groups, stop, bank));
    seconds_.order += absl::ToDoubleSeconds(ordered - begin);
    seconds_.solve += absl::ToDoubleSeconds(SteadyClock().Now() - ordered);
    return bank;
  }

 private:
  absl::Status Solve(const UnitLayout& layout, const UnitProblem& problem, const PreparedProblem& prepared,
                     const std::vector<int>& groups, std::stop_token stop, UnitBank& bank) const {
    std::vector<LevelEntry*> repaired_levels;
    std::vector<torch::Tensor> kept;
    for (LevelEntry& entry : bank.levels) {
      if (entry.removed == 0) continue;
      const torch::Tensor columns = ColumnsOf(entry.kept, layout.columns_per_part);
      if (columns.numel() == 0) {
        entry.squared_error = SquaredError(problem, columns, torch::Tensor());
        continue;
      }
      repaired_levels.push_back(&entry);
      kept.push_back(columns);
    }
    const torch::Tensor order = torch::tensor(groups, torch::kInt64).to(problem.weight_on.device());
    return compensation_.RepairNested(
        problem, prepared, kept, ColumnsOf(order, problem.group_size), [&](size_t set, const torch::Tensor& repaired) -> absl::Status {
          if (stop.stop_requested()) return absl::CancelledError("the compensation was stopped");
          LevelEntry& entry = *repaired_levels[set];
          const torch::Tensor rounded = repaired.to(DtypeOf(format_));
          entry.squared_error = SquaredError(problem, kept[set], rounded.to(torch::kFloat64));
          if (!std::isfinite(entry.squared_error)) {
            return absl::InvalidArgumentError(
                absl::StrCat(entry.removed, " removed: a compensated weight does not fit ", Name(format_)));
          }
          entry.edits.push_back({layout.output_weight, EditKind::kReplacement, rounded});
          return absl::OkStatus();
        });
  }

  const Criterion& criterion_;
  const Compensation& compensation_;
  NumberFormat format_;
  BankSeconds& seconds_;
};

absl::Status AboutUnit(const Unit& unit, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(Name(unit), ": ", ToString(status.message())));
}

absl::StatusOr<LayerBank> BuildOrThrow(const LanguageModel& dense, const LayerStatistics& statistics, const Ladder& ladder,
                                       const BankBuildSettings& settings, const BankProgress& progress, std::stop_token stop) {
  const c10::NoGradGuard no_gradients;
  ESPALIER_ASSIGN_OR_RETURN(const std::unique_ptr<Criterion> criterion, MakeCriterion(settings.criterion));
  ESPALIER_ASSIGN_OR_RETURN(const std::unique_ptr<Compensation> compensation, MakeCompensation(settings.compensation));
  LayerBank bank;
  bank.layer = statistics.layer;
  bank.ladder_digest = LadderDigest(ladder);
  bank.settings = settings;
  bank.keep_kv_whole = ladder.keep_kv_whole;
  bank.number_format = dense.config.number_format;
  const UnitBuilder builder(*criterion, *compensation, bank.number_format, bank.seconds);
  const LayerWeights& weights = dense.layers[bank.layer];
  const int64_t all_columns = statistics.attention_moment_nn.size(0) + statistics.ffn_moment_nn.size(0);
  int64_t columns_before = 0;
  const auto build = [&](UnitKind kind, const torch::Tensor& weight, const torch::Tensor& moment_nn, UnitBank& result) -> absl::Status {
    const Unit unit{kind, bank.layer};
    ESPALIER_ASSIGN_OR_RETURN(const UnitLadder* unit_ladder, FindLadder(ladder, unit));
    const UnitLayout layout = LayoutOf(dense.config, ladder, kind);
    const int64_t group_size = layout.columns_per_part * layout.parts_per_group;
    if (progress) progress("eliminate", columns_before, all_columns);
    const UnitProblem problem{weight.to(torch::kFloat64), moment_nn.to(torch::kFloat64), group_size, settings.damping};
    const auto report = [&](int64_t groups) {
      if (progress) progress("eliminate", columns_before + groups * group_size, all_columns);
    };
    const auto begin_solve = [&] {
      if (progress) progress("compensate", columns_before, all_columns);
    };
    absl::StatusOr<UnitBank> built = builder.Build(*unit_ladder, layout, problem, report, begin_solve, stop);
    if (!built.ok()) return AboutUnit(unit, built.status());
    result = *std::move(built);
    columns_before += moment_nn.size(0);
    return absl::OkStatus();
  };
  ESPALIER_RETURN_IF_ERROR(build(UnitKind::kAttention, weights.attention.o_weight, statistics.attention_moment_nn, bank.attention));
  ESPALIER_RETURN_IF_ERROR(build(UnitKind::kFfn, weights.ffn.down_weight, statistics.ffn_moment_nn, bank.ffn));
  return bank;
}

}  // namespace

absl::StatusOr<LayerBank> BuildLayerBank(const LanguageModel& dense, const LayerStatistics& statistics, const Ladder& ladder,
                                         const BankBuildSettings& settings, const BankProgress& progress, std::stop_token stop) {
  if (!(settings.damping >= 0) || !std::isfinite(settings.damping)) {
    return absl::InvalidArgumentError(absl::StrCat("damping must be a number not below 0, not ", settings.damping));
  }
  try {
    return BuildOrThrow(dense, statistics, ladder, settings, progress, stop);
  } catch (...) {
    return StatusOfCurrentException(dense.device());
  }
}

}  // namespace espalier
