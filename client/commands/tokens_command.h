// `espalier tokens`: a Python program beside this one, because the tokenizers that models ship with are Python's.
#pragma once

#include <CLI/CLI.hpp>

namespace espalier {

void AddTokensCommand(CLI::App& app, int& exit_code);

}  // namespace espalier
