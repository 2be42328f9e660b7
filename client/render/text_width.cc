#include "client/render/text_width.h"

#include <locale.h>
#include <wchar.h>

#include <algorithm>
#include <cstdint>

namespace espalier {
namespace {

struct DecodedCharacter {
  uint32_t value = 0;
  size_t length = 1;  // bytes
  bool is_valid = false;
};

DecodedCharacter DecodeAt(const std::string& text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(at);
  if (first < 0x80) return {first, 1, true};
  const size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || at + length > text.size()) return {};
  uint32_t value = first & (0xFF >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80) return {};
    value = value << 6 | (byte(at + i) & 0x3F);
  }
  const uint32_t least = length == 4 ? 0x10000 : length == 3 ? 0x800 : 0x80;
  if (value < least || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) return {};
  return {value, length, true};
}

bool IsControl(uint32_t value) {
  // Also the marks that turn the direction of what follows.
  return value < 0x20 || (value >= 0x7F && value < 0xA0) || (value >= 0x202A && value <= 0x202E) ||
         (value >= 0x2066 && value <= 0x2069);
}

// The C library's table of its UTF-8 locale, whatever the user's locale is.
int ColumnsOf(uint32_t value) {
  if (IsControl(value)) return 0;
  if (value < 0x80) return 1;
  static const locale_t utf8 = ::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  if (utf8 == nullptr) return 1;
  const locale_t before = ::uselocale(utf8);
  const int columns = ::wcwidth(static_cast<wchar_t>(value));
  ::uselocale(before);
  return columns < 0 ? 1 : columns;
}

}  // namespace

int DisplayWidth(const std::string& text) {
  int width = 0;
  for (size_t i = 0; i < text.size();) {
    const DecodedCharacter character = DecodeAt(text, i);
    width += character.is_valid ? ColumnsOf(character.value) : 1;
    i += character.length;
  }
  return width;
}

std::string FitText(const std::string& text, int width) {
  if (width <= 0) return "";
  if (DisplayWidth(text) <= width) return text;
  std::string fitted;
  int used = 0;
  for (size_t i = 0; i < text.size();) {
    const DecodedCharacter character = DecodeAt(text, i);
    const int columns = character.is_valid ? ColumnsOf(character.value) : 1;
    if (used + columns > width - 1) break;
    fitted.append(text, i, character.length);
    used += columns;
    i += character.length;
  }
  return fitted + "…";
}

std::string Printable(const std::string& text) {
  std::string safe;
  for (size_t i = 0; i < text.size();) {
    const DecodedCharacter character = DecodeAt(text, i);
    if (character.is_valid && (character.value == '\n' || character.value == '\t')) {
      safe += ' ';
    } else if (!character.is_valid || IsControl(character.value)) {
      safe += '?';
    } else {
      safe.append(text, i, character.length);
    }
    i += character.length;
  }
  return safe;
}

}  // namespace espalier
