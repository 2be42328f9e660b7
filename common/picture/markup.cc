#include "common/picture/markup.h"

#include <cctype>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace espalier {
namespace {

std::string OpeningOf(const char* tag, const Attributes& attributes) {
  std::string text = absl::StrCat("<", tag);
  for (const Attribute& attribute : attributes) {
    absl::StrAppend(&text, " ", attribute.name, "=\"", EscapeHtml(attribute.value), "\"");
  }
  return text;
}

}  // namespace

std::string EscapeHtml(const std::string& text) {
  std::string escaped;
  escaped.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&': escaped += "&amp;"; break;
      case '<': escaped += "&lt;"; break;
      case '>': escaped += "&gt;"; break;
      case '"': escaped += "&quot;"; break;
      case '\'': escaped += "&#39;"; break;
      case '\t':
      case '\n':
      case '\r': escaped += c; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
          escaped += "\xEF\xBF\xBD";
        } else {
          escaped += c;
        }
    }
  }
  return escaped;
}

Html Html::FromMarkup(std::string markup) {
  Html html;
  html.markup_ = std::move(markup);
  return html;
}

Html& Html::operator+=(const Html& more) {
  markup_ += more.markup_;
  return *this;
}

Attribute::Attribute(const char* attribute, double number) : name(attribute), value(absl::StrFormat("%.5g", number)) {}

Html ElementOf(const char* tag, const Attributes& attributes, const Html& content) {
  return Html::FromMarkup(absl::StrCat(OpeningOf(tag, attributes), ">", content.markup(), "</", tag, ">"));
}

Html VoidElement(const char* tag, const Attributes& attributes) {
  return Html::FromMarkup(OpeningOf(tag, attributes) + "/>");
}

std::string EncodeForUrl(const std::string& text) {
  std::string encoded;
  for (const char c : text) {
    const bool is_plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '.' || c == '_' || c == '~';
    if (is_plain) {
      encoded += c;
    } else {
      absl::StrAppendFormat(&encoded, "%%%02X", static_cast<unsigned char>(c));
    }
  }
  return encoded;
}

}  // namespace espalier
