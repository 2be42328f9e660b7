#include <cstdio>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "client/commands/commands.h"
#include "client/commands/job_names.h"
#include "client/exit_codes.h"
#include "client/render/format.h"
#include "client/render/output.h"
#include "client/render/table.h"
#include "client/result/report_from_job.h"
#include "common/base/status_macros.h"

namespace espalier {
namespace {

using Json = nlohmann::ordered_json;
using Rows = TableRows;

absl::StatusOr<std::vector<v1::Candidate>> AllCandidates(Connection& connection, const std::string& job) {
  std::vector<v1::Candidate> candidates;
  v1::ListCandidatesRequest request;
  request.set_parent(FullJobName(job));
  request.set_page_size(1000);
  request.set_brief(true);
  do {
    ESPALIER_ASSIGN_OR_RETURN(const v1::ListCandidatesResponse response,
                              connection.Call(&v1::SearchService::Stub::ListCandidates, request));
    candidates.insert(candidates.end(), response.candidates().begin(), response.candidates().end());
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  return candidates;
}

absl::StatusOr<std::vector<v1::Worker>> AllWorkers(Connection& connection) {
  std::vector<v1::Worker> workers;
  v1::ListWorkersRequest request;
  do {
    ESPALIER_ASSIGN_OR_RETURN(const v1::ListWorkersResponse response,
                              connection.Call(&v1::SearchService::Stub::ListWorkers, request));
    workers.insert(workers.end(), response.workers().begin(), response.workers().end());
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  return workers;
}

// False when a table is asked for.
template <typename Message>
bool PrintMessages(const std::string& format, const std::vector<Message>& messages) {
  std::vector<std::string> names;
  for (const Message& message : messages) names.push_back(message.name());
  const auto json = [&messages] {
    Json list = Json::array();
    for (const Message& message : messages) list.push_back(MessageJson(message));
    return list;
  };
  return PrintOutput(format, json, names);
}

std::vector<std::string> CandidateRow(const v1::Candidate& candidate) {
  std::vector<std::string> row = {
      candidate.name(), absl::StrCat(candidate.generation() + 1), candidate.is_parent() ? "yes" : "",
      FormatCount(static_cast<double>(candidate.cost())), candidate.mask_digest().substr(0, 12)};
  if (candidate.measurements().empty()) {
    row.insert(row.end(), {"-", "-", "-"});
    return row;
  }
  const v1::Candidate::StageMeasurement& last = *candidate.measurements().rbegin();
  row.push_back(absl::StrCat(last.stage() + 1));
  if (last.measurement().feasible()) {
    row.push_back(FormatNumber(last.measurement().fitness(), 4));
    row.push_back(FormatNumber(last.measurement().standard_error(), 4));
  } else {
    row.push_back(absl::StrCat("infeasible: ", last.measurement().infeasible_reason()));
  }
  return row;
}

std::vector<std::string> WorkerRow(const v1::Worker& worker) {
  std::string doing;
  for (const v1::Worker::Activity& activity : worker.activities()) {
    absl::StrAppend(&doing, doing.empty() ? "" : ", ", activity.lease().task(), " (", activity.progress().step());
    if (activity.progress().total() > 0) {
      absl::StrAppend(&doing, " ",
                      FormatPercent(static_cast<double>(activity.progress().done()) /
                                    static_cast<double>(activity.progress().total())));
    }
    doing += ")";
  }
  return {worker.name(),
          absl::AsciiStrToLower(v1::Worker::State_Name(worker.state())),
          worker.description().host_name(),
          worker.description().device_name(),
          FormatSeconds(static_cast<double>(worker.silence().seconds())),
          absl::StrCat(worker.committed_tasks()),
          absl::StrCat(worker.failed_tasks()),
          FormatBytes(static_cast<double>(worker.retained_bytes())),
          doing.empty() && worker.state() == v1::Worker::QUARANTINED
              ? absl::StrCat("gets no tasks for ",
                             FormatSeconds(static_cast<double>(worker.quarantine_left().seconds())))
              : doing};
}

int Candidates(const RemoteFlags& flags, const std::string& job) {
  const auto connection = Connect(flags);
  if (!connection.ok()) return Fail(connection.status());
  const auto candidates = AllCandidates(**connection, job);
  if (!candidates.ok()) return Fail(WithNearestJob(**connection, FullJobName(job), candidates.status()));
  if (PrintMessages(flags.format, *candidates)) return kExitOk;
  Rows rows = {{"candidate", "generation", "parent", "cost", "mask", "stage", "fitness", "error"}};
  for (const v1::Candidate& candidate : *candidates) rows.push_back(CandidateRow(candidate));
  PrintTable(rows);
  return kExitOk;
}

int Workers(const RemoteFlags& flags) {
  const auto connection = Connect(flags);
  if (!connection.ok()) return Fail(connection.status());
  const auto workers = AllWorkers(**connection);
  if (!workers.ok()) return Fail(workers.status());
  if (PrintMessages(flags.format, *workers)) return kExitOk;
  Rows rows = {{"worker", "state", "host", "device", "silent", "done", "failed", "retained", "doing"}};
  for (const v1::Worker& worker : *workers) rows.push_back(WorkerRow(worker));
  PrintTable(rows);
  for (const v1::Worker& worker : *workers) {
    if (worker.quarantine_reasons().empty()) continue;
    std::printf("\n%s is in quarantine: it failed what other workers did (restart it, or wait)\n", worker.name().c_str());
    for (const std::string& reason : worker.quarantine_reasons()) std::printf("  %s\n", reason.c_str());
  }
  return kExitOk;
}

}  // namespace

void AddListingCommands(CLI::App& app, int& exit_code) {
  auto candidate_flags = std::make_shared<RemoteFlags>();
  auto job = std::make_shared<std::string>();
  CLI::App* candidates = app.add_subcommand("candidates", "list a job's candidates with their last measurements");
  candidates->add_option("job", *job, "the job's name, jobs/NAME or NAME")->required();
  AddRemoteFlags(*candidates, *candidate_flags);
  candidates->callback([candidate_flags, job, &exit_code] { exit_code = Candidates(*candidate_flags, *job); });

  auto worker_flags = std::make_shared<RemoteFlags>();
  CLI::App* workers = app.add_subcommand("workers", "list the workers and what they are doing");
  AddRemoteFlags(*workers, *worker_flags);
  workers->callback([worker_flags, &exit_code] { exit_code = Workers(*worker_flags); });
}

}  // namespace espalier
