// The manual page, made from what --help is made from.
#pragma once

#include <CLI/CLI.hpp>

#include <string>

namespace espalier {

// espalier.1 in the man macros. Flags that many commands share stand in a section of their own.
std::string ManPage(const CLI::App& app, const std::string& version);

}  // namespace espalier
