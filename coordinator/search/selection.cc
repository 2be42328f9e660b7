#include "coordinator/search/selection.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace espalier {
namespace {

bool IsBetter(const Ranked& a, const Ranked& b) {
  if (a.measurement.fitness != b.measurement.fitness) return a.measurement.fitness < b.measurement.fitness;
  return a.digest < b.digest;
}

std::vector<double> AverageRanks(const std::vector<double>& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](size_t i, size_t j) { return values[i] < values[j]; });
  std::vector<double> ranks(values.size());
  for (size_t begin = 0; begin < order.size();) {
    size_t end = begin;
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    for (size_t i = begin; i < end; ++i) ranks[order[i]] = static_cast<double>(begin + end - 1) / 2;
    begin = end;
  }
  return ranks;
}

}  // namespace

std::vector<Ranked> Rank(std::vector<Ranked> members) {
  members.erase(
      std::remove_if(members.begin(), members.end(), [](const Ranked& member) { return !member.measurement.feasible; }),
      members.end());
  std::sort(members.begin(), members.end(), IsBetter);
  return members;
}

double RankAgreement(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() < 2 || a.size() != b.size()) return 0;
  const std::vector<double> ranks_a = AverageRanks(a);
  const std::vector<double> ranks_b = AverageRanks(b);
  const double mean = static_cast<double>(a.size() - 1) / 2;
  double covariance = 0, variance_a = 0, variance_b = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    covariance += (ranks_a[i] - mean) * (ranks_b[i] - mean);
    variance_a += (ranks_a[i] - mean) * (ranks_a[i] - mean);
    variance_b += (ranks_b[i] - mean) * (ranks_b[i] - mean);
  }
  if (variance_a == 0 || variance_b == 0) return 0;
  return covariance / std::sqrt(variance_a * variance_b);
}

}  // namespace espalier
