#include "bench/ranking_agreement.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "absl/strings/str_cat.h"
#include "coordinator/search/selection.h"

namespace espalier::bench {
namespace {

constexpr size_t kLargeStage = 8;

double MostApart(const std::vector<double>& a, const std::vector<double>& b) {
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(a[i] - b[i]));
  return most;
}

std::set<size_t> Survivors(const std::vector<double>& fitness, int count) {
  std::vector<size_t> order(fitness.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](size_t i, size_t j) { return fitness[i] < fitness[j]; });
  order.resize(std::min(order.size(), static_cast<size_t>(std::max(count, 0))));
  return {order.begin(), order.end()};
}

std::string FaultOf(const StageFitness& stage, const StageAgreement& found) {
  for (size_t i = 0; i < stage.plain.size(); ++i) {
    for (size_t j = 0; j < stage.plain.size(); ++j) {
      if (!(stage.plain[i] + 2 * found.noise < stage.plain[j]) || stage.fast[i] <= stage.fast[j]) continue;
      return absl::StrCat("plain steps put candidate ", i, " (", stage.plain[i], ") before candidate ", j, " (", stage.plain[j],
                          "), the fast way puts it behind (", stage.fast[i], ", ", stage.fast[j], "); a rounding moves a fitness by ",
                          found.noise);
    }
  }
  if (stage.plain.size() >= kLargeStage && found.spread <= 2 * found.noise) {
    return absl::StrCat("all candidates lie within ", found.spread, ", a rounding moves a fitness by ", found.noise,
                        ": their order says nothing");
  }
  return "";
}

}  // namespace

StageAgreement Agreement(const StageFitness& stage) {
  StageAgreement found;
  const size_t count = stage.plain.size();
  const bool fits = count > 0 && stage.fast.size() == count && !stage.nudged.empty() &&
                    std::all_of(stage.nudged.begin(), stage.nudged.end(), [&](const auto& run) { return run.size() == count; });
  const auto is_finite = [](const std::vector<double>& run) {
    return std::all_of(run.begin(), run.end(), [](double value) { return std::isfinite(value); });
  };
  if (!fits || !is_finite(stage.fast) || !is_finite(stage.plain) || !std::all_of(stage.nudged.begin(), stage.nudged.end(), is_finite)) {
    found.fault = "a candidate has no finite fitness by every way";
    return found;
  }
  for (const std::vector<double>& run : stage.nudged) found.noise = std::max(found.noise, MostApart(run, stage.fast));
  const auto [best, worst] = std::minmax_element(stage.plain.begin(), stage.plain.end());
  found.spread = *worst - *best;
  found.most_apart = MostApart(stage.fast, stage.plain);
  found.spearman = RankAgreement(stage.fast, stage.plain);
  const std::set<size_t> fast = Survivors(stage.fast, stage.survivors), plain = Survivors(stage.plain, stage.survivors);
  for (const size_t survivor : fast) found.exchanged += plain.contains(survivor) ? 0 : 1;
  found.fault = FaultOf(stage, found);
  return found;
}

}  // namespace espalier::bench
