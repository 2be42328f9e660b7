// Completion scripts, made from the commands and flags that the program has.
#pragma once

#include <CLI/CLI.hpp>

#include <string>

namespace espalier {

// The hidden command that the scripts ask for job names: silent when no coordinator answers at once.
inline constexpr char kJobNamesCommand[] = "__jobs";

// To be sourced by bash: commands, flags, known values of flags, jobs; else files.
std::string BashCompletion(const CLI::App& app);

// The same for zsh, through its bash-compatible completion.
std::string ZshCompletion(const CLI::App& app);

}  // namespace espalier
