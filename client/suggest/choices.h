// Flags with known values: checked, shown by --help, completed by the shell and put right when mistyped, all from one
// list.
#pragma once

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

namespace espalier {

// Refuses other values at the command line (a usage error), with the nearest one that there is.
CLI::Validator OneOf(const std::vector<std::string>& words);

// Only names the values, for --help and completion; whoever reads the flag checks it.
CLI::Validator KnownValues(const std::vector<std::string>& words);

// The values that one of the two was given; empty when the option has neither.
std::vector<std::string> ChoicesOf(CLI::Option& option);

// "'jsn' is not one of table, json, yaml, name; did you mean 'json'?"
std::string NotOneOf(const std::string& word, const std::vector<std::string>& words);

}  // namespace espalier
