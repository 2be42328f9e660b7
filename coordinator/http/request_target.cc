#include "coordinator/http/request_target.h"

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace espalier {
namespace {

constexpr int kGreatestNumber = 1'000'000;

int DigitOf(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string Decode(const std::string& text, bool plus_is_blank) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool is_encoded =
        text[i] == '%' && i + 2 < text.size() && DigitOf(text[i + 1]) >= 0 && DigitOf(text[i + 2]) >= 0;
    if (is_encoded) {
      decoded += static_cast<char>(DigitOf(text[i + 1]) * 16 + DigitOf(text[i + 2]));
      i += 2;
    } else {
      decoded += plus_is_blank && text[i] == '+' ? ' ' : text[i];
    }
  }
  return decoded;
}

}  // namespace

RequestTarget ParseRequestTarget(const std::string& target) {
  RequestTarget parsed;
  const size_t question = target.find('?');
  parsed.path = Decode(target.substr(0, question), false);
  if (question == std::string::npos) return parsed;
  for (const absl::string_view part : absl::StrSplit(target.substr(question + 1), '&', absl::SkipEmpty())) {
    const std::pair<std::string, std::string> pair = absl::StrSplit(part, absl::MaxSplits('=', 1));
    parsed.query[Decode(pair.first, true)] = Decode(pair.second, true);
  }
  return parsed;
}

std::string ValueIn(const RequestTarget& target, const char* name) {
  const auto found = target.query.find(name);
  return found == target.query.end() ? "" : found->second;
}

std::optional<int> NumberIn(const RequestTarget& target, const char* name) {
  int number = 0;
  if (!absl::SimpleAtoi(ValueIn(target, name), &number) || number < 0 || number > kGreatestNumber) return std::nullopt;
  return number;
}

std::string BearerOf(const std::string& authorization) {
  constexpr char kBasic[] = "Basic ";
  if (!absl::StartsWith(authorization, kBasic)) return authorization;
  std::string pair;
  if (!absl::Base64Unescape(authorization.substr(sizeof(kBasic) - 1), &pair)) return authorization;
  const size_t colon = pair.find(':');
  if (colon == std::string::npos) return authorization;
  return absl::StrCat("Bearer ", pair.substr(colon + 1));
}

}  // namespace espalier
