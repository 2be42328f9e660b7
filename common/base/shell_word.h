// Text as one word of a POSIX shell.
#pragma once

#include <string>

namespace espalier {

// Between single quotes, whatever it holds.
std::string QuotedForShell(const std::string& text);

// As it is where a shell would leave it alone, else quoted.
std::string ShellWord(const std::string& text);

}  // namespace espalier
