#include "common/picture/numbers.h"

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "absl/strings/str_format.h"

namespace espalier {

std::string FormatCount(double count) {
  constexpr std::array<const char*, 5> kSuffixes = {"", "k", "M", "B", "T"};
  size_t step = 0;
  while (std::abs(count) >= 999.5 && step + 1 < kSuffixes.size()) {
    count /= 1000;
    ++step;
  }
  if (step == 0) return absl::StrFormat("%.0f", count);
  const int digits = std::abs(count) >= 100 ? 0 : std::abs(count) >= 10 ? 1 : 2;
  return absl::StrFormat("%.*f%s", digits, count, kSuffixes[step]);
}

std::string FormatBytes(double bytes) {
  constexpr std::array<const char*, 5> kSuffixes = {"B", "KiB", "MiB", "GiB", "TiB"};
  size_t step = 0;
  while (bytes >= 1024 && step + 1 < kSuffixes.size()) {
    bytes /= 1024;
    ++step;
  }
  return absl::StrFormat("%.*f %s", step == 0 ? 0 : 1, bytes, kSuffixes[step]);
}

std::string FormatSeconds(double seconds) {
  if (!(seconds >= 0) || seconds > 1e9) return "-";
  if (seconds < 9.95) return absl::StrFormat("%.1fs", seconds);
  const int64_t whole = static_cast<int64_t>(std::llround(seconds));
  if (whole < 60) return absl::StrFormat("%ds", whole);
  if (whole < 3600) return absl::StrFormat("%dm%02ds", whole / 60, whole % 60);
  return absl::StrFormat("%dh%02dm", whole / 3600, whole % 3600 / 60);
}

std::string FormatNumber(double value, int digits) {
  if (std::isnan(value)) return "-";
  return absl::StrFormat("%.*f", digits, value);
}

std::string FormatPercent(double share) { return absl::StrFormat("%.1f%%", share * 100); }

}  // namespace espalier
