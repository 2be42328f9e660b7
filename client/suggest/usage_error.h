// What is wrong with a command line, in words that help.
#pragma once

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

namespace espalier {

// The first word that is no command, or flag that its command does not have, with the nearest one there is; else what the
// parser says. `arguments` are those behind the program's name.
std::string UsageMessage(CLI::App& app, const std::vector<std::string>& arguments, const CLI::ParseError& error);

// "espalier watch" for the subcommand watch of espalier.
std::string FullName(const CLI::App& command);

std::vector<std::string> CommandNames(const CLI::App& app);  // without hidden ones
std::vector<std::string> FlagNames(const CLI::App& command);  // "--format", ...

}  // namespace espalier
