// The report as one page that needs no network and no script; light and dark.
#pragma once

#include <string>

#include "client/result/run_report.h"

namespace espalier {

std::string ReportHtml(const RunReport& report);

// Dense, uniform, additive and the result side by side, with a head row; for the page and the terminal.
std::vector<std::vector<std::string>> ResultTable(const RunReport& report);

}  // namespace espalier
