// The worker's flags about how it reaches its coordinator and what it may open.
#pragma once

#include <CLI/CLI.hpp>

#include "worker/session/serve.h"

namespace espalier {

void AddSecurityFlags(CLI::App& app, ServeOptions& options);

}  // namespace espalier
