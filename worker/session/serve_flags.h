// The worker's flags about how it reaches its coordinator, what it may open and who may look at it.
#pragma once

#include <CLI/CLI.hpp>

#include "worker/session/serve.h"

namespace espalier {

void AddSecurityFlags(CLI::App& app, ServeOptions& options);
// --metrics-listen and what protects it.
void AddMetricsFlags(CLI::App& app, ServeOptions& options);

}  // namespace espalier
