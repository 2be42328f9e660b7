// The limits that an operator may want to move, as flags; all of them with their defaults: core/limits.h.
#pragma once

#include <CLI/CLI.hpp>

#include "coordinator/core/limits.h"

namespace espalier {

void AddLimitFlags(CLI::App& app, Limits& limits);

// Allows this process as many open files as it may allow itself (each connection is one), and returns how many.
int RaiseFileLimit();

}  // namespace espalier
