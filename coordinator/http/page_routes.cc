#include "coordinator/http/page_routes.h"

#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/time/clock.h"
#include "common/base/strings.h"
#include "coordinator/http/request_target.h"
#include "coordinator/pages/candidate_page.h"
#include "coordinator/pages/compare_page.h"
#include "coordinator/pages/fleet_page.h"
#include "coordinator/pages/job_page.h"
#include "coordinator/pages/jobs_page.h"
#include "coordinator/pages/message_page.h"

namespace espalier {
namespace {

constexpr char kJobsPrefix[] = "/jobs/";
constexpr char kCandidatesPart[] = "/candidates/";
constexpr int kMostOffered = 200;  // jobs in a form's list

// Pages change with the core and not with each other, so each request asks anew.
class PageMaker {
 public:
  PageMaker(Coordinator* coordinator, const Clock* clock) : coordinator_(coordinator), clock_(clock) {}

  HttpResponse Jobs(const std::string& target) const {
    const int page = NumberIn(ParseRequestTarget(target), "page").value_or(0);
    const JobsSnapshot jobs = coordinator_->SnapshotJobs(clock_->Now(), page * kJobsOnPage, kJobsOnPage);
    return Page(JobsPage(jobs, coordinator_->Snapshot(clock_->Now()), page, absl::Now()));
  }

  HttpResponse JobOrCandidate(const std::string& target) const {
    const RequestTarget parsed = ParseRequestTarget(target);
    const std::string rest = parsed.path.substr(sizeof(kJobsPrefix) - 1);
    const size_t middle = rest.find(kCandidatesPart);
    if (middle != std::string::npos) {
      const auto snapshot = coordinator_->SnapshotCandidate(clock_->Now(), rest.substr(0, middle),
                                                            rest.substr(middle + sizeof(kCandidatesPart) - 1));
      return snapshot.ok() ? Page(CandidatePage(*snapshot, absl::Now())) : Failure(snapshot.status());
    }
    std::optional<int> generation = NumberIn(parsed, "generation");
    if (generation.has_value()) --*generation;  // people count from 1
    const auto snapshot = coordinator_->SnapshotJob(clock_->Now(), rest, generation);
    return snapshot.ok() ? Page(JobPage(*snapshot, absl::Now())) : Failure(snapshot.status());
  }

  HttpResponse Workers(const std::string& target) const {
    const RequestTarget parsed = ParseRequestTarget(target);
    FleetQuery query;
    query.page = NumberIn(parsed, "page").value_or(0);
    query.worker = ValueIn(parsed, "worker");
    return Page(FleetPage(coordinator_->ListWorkers(clock_->Now()), query, absl::Now()));
  }

  HttpResponse Compare(const std::string& target) const {
    const RequestTarget parsed = ParseRequestTarget(target);
    std::vector<std::string> job_ids;
    for (const JobView& job : coordinator_->SnapshotJobs(clock_->Now(), 0, kMostOffered).jobs) job_ids.push_back(job.job_id);
    return Page(ComparePage(Find(ValueIn(parsed, "a")), Find(ValueIn(parsed, "b")), job_ids, absl::Now()));
  }

 private:
  static HttpResponse Page(std::string html) { return {200, "text/html; charset=utf-8", std::move(html)}; }

  static HttpResponse Failure(const absl::Status& why) {
    const bool is_missing = absl::IsNotFound(why);
    return {is_missing ? 404 : 503, "text/html; charset=utf-8",
            MessagePage(is_missing ? "Not found" : "This cannot be shown", ToString(why.message()), absl::Now())};
  }

  Compared Find(const std::string& text) const {
    Compared found;
    found.text = text;
    if (text.empty()) return found;
    const size_t slash = text.find('/');
    if (slash == std::string::npos) {
      auto snapshot = coordinator_->SnapshotJob(clock_->Now(), text, std::nullopt);
      if (!snapshot.ok()) {
        found.error = ToString(snapshot.status().message());
        return found;
      }
      found.job = std::move(snapshot->job);
      found.candidate = std::move(snapshot->best);
      return found;
    }
    auto snapshot = coordinator_->SnapshotCandidate(clock_->Now(), text.substr(0, slash), text.substr(slash + 1));
    if (!snapshot.ok()) {
      found.error = ToString(snapshot.status().message());
      return found;
    }
    found.job = std::move(snapshot->job);
    found.candidate = std::move(snapshot->candidate);
    return found;
  }

  Coordinator* coordinator_;
  const Clock* clock_;
};

}  // namespace

void AddPages(HttpRouter* router, Coordinator* coordinator, const Clock* clock) {
  const PageMaker pages(coordinator, clock);
  router->exact["/"] = [pages](const std::string& target) { return pages.Jobs(target); };
  router->exact["/jobs"] = router->exact["/"];
  router->prefixes[kJobsPrefix] = [pages](const std::string& target) { return pages.JobOrCandidate(target); };
  router->exact["/workers"] = [pages](const std::string& target) { return pages.Workers(target); };
  router->exact["/compare"] = [pages](const std::string& target) { return pages.Compare(target); };
}

}  // namespace espalier
