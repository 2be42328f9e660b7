#include "client/commands/job_names.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "client/suggest/did_you_mean.h"
#include "common/base/status_macros.h"

namespace espalier {

absl::StatusOr<std::vector<v1::Job>> AllJobs(Connection& connection, absl::Duration limit) {
  std::vector<v1::Job> jobs;
  v1::ListJobsRequest request;
  do {
    ESPALIER_ASSIGN_OR_RETURN(
        const v1::ListJobsResponse response,
        connection.Call(&v1::SearchService::Stub::ListJobs, request, limit, [] { return true; }));
    jobs.insert(jobs.end(), response.jobs().begin(), response.jobs().end());
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  return jobs;
}

absl::Status WithNearestJob(Connection& connection, const std::string& name, const absl::Status& status) {
  if (!absl::IsNotFound(status)) return status;
  const absl::StatusOr<std::vector<v1::Job>> jobs = AllJobs(connection, absl::Seconds(2));
  if (!jobs.ok()) return status;
  const auto id_of = [](const std::string& full) { return std::string(absl::StripPrefix(full, "jobs/")); };
  std::vector<std::string> ids;
  for (const v1::Job& job : *jobs) ids.push_back(id_of(job.name()));
  return absl::NotFoundError(absl::StrCat(status.message(), DidYouMean(id_of(name), ids)));
}

}  // namespace espalier
