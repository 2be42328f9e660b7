// A line made of texts in colours, cut to a width as it is seen.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "client/render/colours.h"
#include "client/render/text_width.h"

namespace espalier {

class ScreenLine {
 public:
  ScreenLine& Add(const std::string& text, const char* colour = nullptr) {
    parts_.emplace_back(Printable(text), colour);
    return *this;
  }
  // Blanks up to a column.
  ScreenLine& To(int column) {
    const int blanks = column - Width();
    return blanks > 0 ? Add(std::string(blanks, ' ')) : *this;
  }
  int Width() const {
    int width = 0;
    for (const auto& [text, colour] : parts_) width += DisplayWidth(text);
    return width;
  }
  std::string Render(int width, bool use_colours) const {
    std::string line;
    int left = width;
    for (const auto& [text, colour] : parts_) {
      if (left <= 0) break;
      const std::string fitted = FitText(text, left);
      left -= DisplayWidth(fitted);
      line += use_colours && colour != nullptr && !fitted.empty() ? Paint(fitted, colour) : fitted;
      if (fitted != text) break;
    }
    return line;
  }

 private:
  std::vector<std::pair<std::string, const char*>> parts_;
};

}  // namespace espalier
