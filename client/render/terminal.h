// What the other end of a stream can show.
#pragma once

#include <cstdio>

namespace espalier {

bool IsTerminal(std::FILE* stream);

// Columns and rows; 0 when the stream is no terminal (a pipe gets everything). COLUMNS and LINES beat what the terminal
// says.
int TerminalWidth(std::FILE* stream);
int TerminalHeight(std::FILE* stream);

// Whether to write colours: a terminal that is not "dumb", and no NO_COLOR in the environment (https://no-color.org:
// any value that is not empty).
bool WantsColours(std::FILE* stream);

}  // namespace espalier
