#include "client/watch/bars.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace espalier {

std::string ProgressBar(double share, int columns) {
  static constexpr std::array<const char*, 8> kParts = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  if (columns <= 0) return "";
  const double clamped = std::isnan(share) ? 0 : std::clamp(share, 0.0, 1.0);
  const int eighths = static_cast<int>(clamped * columns * 8);
  std::string bar;
  for (int i = 0; i < eighths / 8; ++i) bar += "█";
  bar += kParts[eighths % 8];
  for (int i = (eighths + 7) / 8; i < columns; ++i) bar += "░";
  return bar;
}

std::string Sparkline(const std::vector<double>& values, int columns) {
  static constexpr std::array<const char*, 8> kSteps = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  if (values.empty() || columns <= 0) return "";
  std::vector<double> shown;
  const size_t count = std::min(values.size(), static_cast<size_t>(columns));
  for (size_t i = 0; i < count; ++i) shown.push_back(values[(i + 1) * values.size() / count - 1]);
  double least = INFINITY, greatest = -INFINITY;
  for (const double value : shown) {
    if (!std::isfinite(value)) continue;
    least = std::min(least, value);
    greatest = std::max(greatest, value);
  }
  std::string line;
  for (const double value : shown) {
    if (!std::isfinite(value)) {
      line += ' ';
    } else if (greatest <= least) {
      line += kSteps[3];
    } else {
      line += kSteps[std::clamp(static_cast<int>((value - least) / (greatest - least) * 7 + 0.5), 0, 7)];
    }
  }
  return line;
}

}  // namespace espalier
