// The command that measures a result's perplexity again.
#pragma once

#include <string>

#include "client/result/run_report.h"

namespace espalier {

// `espalier evaluate MODEL ...` with the token file, the sequence length and the number of windows of the job that the
// report's provenance holds: with another length the windows, and so the perplexity, would be others. For a shell. Empty
// when the job named no file to evaluate on (its perplexity is over windows held out of its own token file).
std::string EvaluateCommand(const RunReport& report, const std::string& model);

}  // namespace espalier
