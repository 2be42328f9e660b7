// HTML and SVG as values. Text becomes markup only through here and is escaped on the way, so that nothing a user or a
// worker named can become a tag. What comes out is well-formed XML as well.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace espalier {

// Also quotes; control characters, which no page may hold, become U+FFFD.
std::string EscapeHtml(const std::string& text);

class Html {
 public:
  Html() = default;
  Html(const std::string& text) : markup_(EscapeHtml(text)) {}  // NOLINT: text stands wherever markup does
  Html(const char* text) : Html(std::string(text)) {}           // NOLINT
  // What is markup already: style sheets and other constants of the program.
  static Html FromMarkup(std::string markup);

  Html& operator+=(const Html& more);
  const std::string& markup() const { return markup_; }
  bool empty() const { return markup_.empty(); }

 private:
  std::string markup_;
};

struct Attribute {
  Attribute(const char* attribute, const std::string& text) : name(attribute), value(text) {}
  Attribute(const char* attribute, const char* text) : name(attribute), value(text) {}
  Attribute(const char* attribute, double number);  // to five digits, for pictures
  Attribute(const char* attribute, int number) : name(attribute), value(std::to_string(number)) {}
  const char* name;
  std::string value;
};
using Attributes = std::vector<Attribute>;

Html ElementOf(const char* tag, const Attributes& attributes, const Html& content);
// <meta>, <br> and the like, which have no content.
Html VoidElement(const char* tag, const Attributes& attributes);

// Element("a", {{"href", "/jobs"}}, "all ", count, " jobs")
template <typename... Parts>
Html Element(const char* tag, const Attributes& attributes, const Parts&... parts) {
  Html content;
  ((content += Html(parts)), ...);
  return ElementOf(tag, attributes, content);
}

// For paths and queries of links: everything but letters, digits and "-._~" is percent-encoded.
std::string EncodeForUrl(const std::string& text);

}  // namespace espalier
