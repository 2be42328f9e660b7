#include "client/commands/print_job.h"

#include <cstdio>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "client/render/colours.h"
#include "client/render/format.h"
#include "client/render/output.h"
#include "client/render/progress_view.h"
#include "client/render/table.h"
#include "client/render/terminal.h"
#include "client/result/report_from_job.h"
#include "client/result/report_html.h"
#include "client/service/connection.h"

namespace espalier {
namespace {

void PrintJobTable(const v1::Job& job) {
  TableRows rows = {{"job", job.name()},
                    {"state", JobStateName(job)},
                    {"model", job.spec().model_folder()},
                    {"target", JobTargetText(job.spec())},
                    {"progress", JobResultLine(job)}};
  if (!job.spec().display_name().empty()) rows.insert(rows.begin() + 1, {"name", job.spec().display_name()});
  for (const std::string& failed : job.failed_tasks()) rows.push_back({"gave up", failed});
  TableOptions options;
  if (WantsColours(stdout)) {
    options.colour = [](size_t, size_t column, const std::string& cell) {
      return column == 0 ? kDim : ColourOfState(cell);
    };
  }
  std::printf("%s", FormatTable(rows, options).c_str());
  const TableRows cost = JobCostTable(CostFromJob(job), HasEnded(job) ? "taken" : "so far");
  if (!cost.empty()) {
    std::printf("\n");
    PrintTable(cost);
  }
  const absl::StatusOr<RunReport> report = ReportFromJob(job);
  if (!report.ok()) return;
  std::printf("\n");
  PrintTable(ResultTable(*report));
}

}  // namespace

std::string JobStateName(const v1::Job& job) { return absl::AsciiStrToLower(v1::Job::State_Name(job.state())); }

std::string JobTargetText(const v1::JobSpec& spec) {
  if (spec.target().kind_case() == v1::Target::kCount) return FormatCount(static_cast<double>(spec.target().count()));
  return FormatPercent(spec.target().share());
}

std::string JobResultLine(const v1::Job& job) {
  if (job.state() == v1::Job::FAILED) return absl::StrCat("failed: ", job.failure());
  return HasEnded(job) ? JobStateName(job) : ProgressLine(job);
}

void PrintJobAs(const std::string& format, const v1::Job& job) {
  if (!PrintOutput(format, [&job] { return MessageJson(job); }, {job.name()})) PrintJobTable(job);
}

}  // namespace espalier
