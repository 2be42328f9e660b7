// Reading a target as people write it.
#include <cmath>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/domain/cost.h"

namespace espalier {
namespace {

struct Suffix {
  const char* text;
  double factor;
};
constexpr Suffix kSuffixes[] = {{"KiB", 1024.0}, {"MiB", 1048576.0}, {"GiB", 1073741824.0},
                                {"K", 1e3},      {"k", 1e3},         {"M", 1e6},
                                {"G", 1e9},      {"B", 1e9},         {"T", 1e12}};

bool IsDecimal(absl::string_view text) {
  bool has_digit = false;
  int dots = 0;
  for (char c : text) {
    if (c == '.') {
      ++dots;
    } else if (absl::ascii_isdigit(c)) {
      has_digit = true;
    } else {
      return false;
    }
  }
  return has_digit && dots <= 1;
}

}  // namespace

absl::StatusOr<Target> ParseTarget(const std::string& text) {
  const auto error = [&](const char* what) {
    return absl::InvalidArgumentError(absl::StrCat("target '", text, "' ", what));
  };
  constexpr const char* kAccepted =
      "is not understood: give a share of the dense model (60%) or a count (2.36M, 4.6B, 2362560)";
  absl::string_view rest = absl::StripAsciiWhitespace(text);
  for (const char* unit : {"ms", "us", "s", "tok/s", "tokens/s"}) {
    absl::string_view number = rest;
    if (absl::ConsumeSuffix(&number, unit) && IsDecimal(absl::StripAsciiWhitespace(number))) {
      return error(
          "is a latency: latency targets are not offered, give a share of the dense model (60%) or a count (2.36M, "
          "4.6B, 2362560)");
    }
  }
  Target target;
  if (absl::ConsumeSuffix(&rest, "%")) {
    double percent = 0;
    rest = absl::StripTrailingAsciiWhitespace(rest);
    if (!IsDecimal(rest) || !absl::SimpleAtod(rest, &percent)) return error(kAccepted);
    if (percent <= 0 || percent > 100) return error("must lie above 0% and at most 100%");
    target.share = percent / 100;
    return target;
  }
  double factor = 1;
  for (const Suffix& suffix : kSuffixes) {
    if (absl::ConsumeSuffix(&rest, suffix.text)) {
      factor = suffix.factor;
      break;
    }
  }
  rest = absl::StripTrailingAsciiWhitespace(rest);
  if (factor == 1) {
    if (!IsDecimal(rest) || !absl::SimpleAtoi(rest, &target.count)) return error(kAccepted);
  } else {
    double number = 0;
    if (!IsDecimal(rest) || !absl::SimpleAtod(rest, &number) || number * factor > 9e18) return error(kAccepted);
    target.count = std::llround(number * factor);
  }
  if (target.count <= 0) return error("must be above 0");
  return target;
}

}  // namespace espalier
