#include "client/render/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

#include "absl/strings/numbers.h"

namespace espalier {
namespace {

int FromEnvironment(const char* name) {
  const char* text = std::getenv(name);
  int value = 0;
  return text != nullptr && absl::SimpleAtoi(text, &value) && value > 0 ? value : 0;
}

winsize SizeOf(std::FILE* stream) {
  winsize size = {};
  if (::ioctl(::fileno(stream), TIOCGWINSZ, &size) != 0) size = {};
  return size;
}

}  // namespace

bool IsTerminal(std::FILE* stream) { return ::isatty(::fileno(stream)) != 0; }

int TerminalWidth(std::FILE* stream) {
  if (!IsTerminal(stream)) return 0;
  if (const int columns = FromEnvironment("COLUMNS"); columns > 0) return columns;
  const int columns = SizeOf(stream).ws_col;
  return columns > 0 ? columns : 80;
}

int TerminalHeight(std::FILE* stream) {
  if (!IsTerminal(stream)) return 0;
  if (const int lines = FromEnvironment("LINES"); lines > 0) return lines;
  const int lines = SizeOf(stream).ws_row;
  return lines > 0 ? lines : 24;
}

bool WantsColours(std::FILE* stream) {
  if (const char* no_color = std::getenv("NO_COLOR"); no_color != nullptr && *no_color != '\0') return false;
  const char* terminal = std::getenv("TERM");
  if (terminal != nullptr && std::string_view(terminal) == "dumb") return false;
  return IsTerminal(stream);
}

}  // namespace espalier
