// Whether a page is well-formed: tags nest and close, attributes are quoted and stand once, entities are known. Stricter
// than browsers, so that nothing hangs on how they repair.
#pragma once

#include <cctype>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace espalier::testing {

class WellFormed {
 public:
  explicit WellFormed(const std::string& text) : text_(text) {}

  // Empty, or what is wrong and where.
  std::string Problem() {
    const std::string kDoctype = "<!DOCTYPE html>";
    if (!absl::StartsWith(text_, kDoctype)) return "no doctype";
    at_ = kDoctype.size();
    while (at_ < text_.size() && problem_.empty()) {
      if (text_[at_] == '<') {
        Tag();
      } else {
        Character();
      }
    }
    if (problem_.empty() && !open_.empty()) problem_ = absl::StrCat("<", open_.back(), "> is not closed");
    return problem_.empty() ? "" : absl::StrCat(problem_, " before ...", text_.substr(at_, 80));
  }

 private:
  void Fail(const std::string& why) {
    if (problem_.empty()) problem_ = why;
  }
  char Here() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  std::string Word() {
    std::string word;
    while (std::isalnum(static_cast<unsigned char>(Here())) != 0 || Here() == '-') word += text_[at_++];
    return word;
  }

  void Character() {
    if (text_[at_] != '&') {
      const auto byte = static_cast<unsigned char>(text_[at_]);
      if (byte < 0x20 && byte != '\n' && byte != '\t' && byte != '\r') Fail("a control character");
      ++at_;
      return;
    }
    static const std::set<std::string> kKnown = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
    const size_t end = text_.find(';', at_);
    if (end == std::string::npos || !kKnown.contains(text_.substr(at_, end + 1 - at_))) return Fail("an unknown entity");
    at_ = end + 1;
  }

  void Tag() {
    ++at_;
    if (Here() == '/') {
      ++at_;
      const std::string name = Word();
      if (open_.empty() || open_.back() != name) return Fail("</" + name + "> closes nothing");
      open_.pop_back();
      if (Here() != '>') return Fail("an end tag with more in it");
      ++at_;
      return;
    }
    const std::string name = Word();
    if (name.empty()) return Fail("a bare <");
    std::set<std::string> seen;
    while (Here() == ' ') {
      ++at_;
      const std::string attribute = Word();
      if (attribute.empty() || !seen.insert(attribute).second) return Fail("no or a second attribute " + attribute);
      if (text_.substr(at_, 2) != "=\"") return Fail(attribute + " has no quoted value");
      at_ += 2;
      while (Here() != '"' && Here() != '<' && Here() != '\0' && problem_.empty()) Character();
      if (Here() != '"') return Fail("a value that does not end");
      ++at_;
    }
    if (Here() == '/') {
      ++at_;
    } else {
      open_.push_back(name);
    }
    if (Here() != '>') return Fail("<" + name + " does not end");
    ++at_;
  }

  const std::string& text_;
  size_t at_ = 0;
  std::vector<std::string> open_;
  std::string problem_;
};

}  // namespace espalier::testing
