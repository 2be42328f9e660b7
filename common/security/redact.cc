#include "common/security/redact.h"

namespace espalier {
namespace {

bool StartsPath(std::string_view text, size_t at) {
  if (text[at] != '/' || at + 1 == text.size()) return false;
  const char next = text[at + 1];
  if (next == ' ' || next == '\'' || next == '"') return false;  // a slash alone
  return at == 0 || std::string_view(" \t'\"`([{<=:,").find(text[at - 1]) != std::string_view::npos;
}

size_t EndOfPath(std::string_view text, size_t at) {
  const char before = at == 0 ? '\0' : text[at - 1];
  const bool is_quoted = before == '\'' || before == '"' || before == '`';
  if (is_quoted) {
    const size_t end = text.find(before, at);
    if (end != std::string_view::npos) return end;
  }
  const size_t end = text.find_first_of(" \t\r\n'\"`)]}>,;", at);
  return end == std::string_view::npos ? text.size() : end;
}

}  // namespace

std::string WithoutPaths(std::string_view text, size_t max_bytes) {
  std::string result;
  for (size_t at = 0; at < text.size() && result.size() < max_bytes;) {
    if (StartsPath(text, at)) {
      const size_t end = EndOfPath(text, at);
      result += "<path>";
      // "/a/b: reason": the colon belongs to the sentence.
      at = end > at && text[end - 1] == ':' ? end - 1 : end;
      continue;
    }
    const unsigned char c = static_cast<unsigned char>(text[at++]);
    result += c < 0x20 || c == 0x7f ? ' ' : static_cast<char>(c);
  }
  if (result.size() > max_bytes) result.resize(max_bytes);
  return result;
}

}  // namespace espalier
