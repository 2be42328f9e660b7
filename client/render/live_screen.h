// The terminal's second screen, painted again and again; what stood on the first one is there afterwards.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

namespace espalier {

class LiveScreen {
 public:
  explicit LiveScreen(std::FILE* stream);
  ~LiveScreen();  // back to the first screen
  LiveScreen(const LiveScreen&) = delete;
  LiveScreen& operator=(const LiveScreen&) = delete;

  // Replaces what is shown; nothing is written when it is the same. Lines must fit the terminal.
  void Draw(const std::vector<std::string>& lines);

 private:
  std::FILE* const stream_;
  std::string shown_;
};

}  // namespace espalier
