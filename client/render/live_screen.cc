#include "client/render/live_screen.h"

#include "absl/strings/str_cat.h"

namespace espalier {

LiveScreen::LiveScreen(std::FILE* stream) : stream_(stream) {
  std::fputs("\x1b[?1049h\x1b[?25l\x1b[2J", stream_);  // second screen, no cursor, empty
  std::fflush(stream_);
}

LiveScreen::~LiveScreen() {
  std::fputs("\x1b[?25h\x1b[?1049l", stream_);
  std::fflush(stream_);
}

void LiveScreen::Draw(const std::vector<std::string>& lines) {
  // Line by line over what stands there, so that nothing flickers: to the top, each to its end, the rest cleared.
  std::string text = "\x1b[H";
  for (size_t i = 0; i < lines.size(); ++i) absl::StrAppend(&text, i == 0 ? "" : "\r\n", lines[i], "\x1b[K");
  absl::StrAppend(&text, "\x1b[J");
  if (text == shown_) return;
  std::fputs(text.c_str(), stream_);
  std::fflush(stream_);
  shown_ = std::move(text);
}

}  // namespace espalier
