#include "common/domain/measurement.h"

#include <algorithm>
#include <cmath>

namespace espalier {

PairedDifference ComparePaired(const Measurement& a, const Measurement& b) {
  PairedDifference difference;
  const size_t count = std::min(a.window_fitness.size(), b.window_fitness.size());
  if (count == 0) {
    difference.mean = a.fitness - b.fitness;
    return difference;
  }
  for (size_t i = 0; i < count; ++i) difference.mean += double{a.window_fitness[i]} - double{b.window_fitness[i]};
  difference.mean /= static_cast<double>(count);
  if (count == 1) return difference;
  double squares = 0;
  for (size_t i = 0; i < count; ++i) {
    const double deviation = double{a.window_fitness[i]} - double{b.window_fitness[i]} - difference.mean;
    squares += deviation * deviation;
  }
  difference.standard_error = std::sqrt(squares / static_cast<double>(count - 1) / static_cast<double>(count));
  return difference;
}

}  // namespace espalier
