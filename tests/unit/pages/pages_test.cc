// The pages through the routes, over a coordinator whose workers are nothing but their side of the protocol.
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/str_replace.h"
#include "coordinator/http/page_routes.h"
#include "coordinator/http/request_target.h"
#include "coordinator/pages/fleet_page.h"
#include "tests/unit/core/fleet.h"
#include "tests/unit/pages/well_formed.h"

namespace espalier::testing {
namespace {

class ServiceClock final : public Clock {
 public:
  explicit ServiceClock(const Service* service) : service_(service) {}
  absl::Time Now() const override { return service_->now; }

 private:
  const Service* service_;
};

class Site {
 public:
  explicit Site(Service* service) : clock_(service) { AddPages(&router_, service->core.get(), &clock_); }

  HttpResponse Ask(const std::string& target) const { return router_.Answer(target); }
  // A page that must be there and be well-formed.
  std::string Get(const std::string& target) const {
    INFO(target);
    const HttpResponse response = Ask(target);
    CHECK(response.status == 200);
    CHECK(response.content_type == "text/html; charset=utf-8");
    CHECK(WellFormed(response.body).Problem() == "");
    return response.body;
  }
  // Every page that can be reached from `start`, at most so many.
  std::set<std::string> Crawl(const std::string& start, size_t most) const {
    std::set<std::string> seen = {start};
    std::vector<std::string> open = {start};
    while (!open.empty() && seen.size() < most) {
      const std::string page = Get(open.back());
      open.pop_back();
      for (size_t at = page.find("href=\"/"); at != std::string::npos; at = page.find("href=\"/", at + 1)) {
        const size_t begin = at + 6;
        std::string link = absl::StrReplaceAll(page.substr(begin, page.find('"', begin) - begin), {{"&amp;", "&"}});
        link = link.substr(0, link.find('#'));
        if (seen.insert(link).second) open.push_back(link);
      }
    }
    return seen;
  }

 private:
  ServiceClock clock_;
  HttpRouter router_;
};

int CountOf(const std::string& text, const std::string& what) {
  int count = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++count;
  return count;
}

NewJob NamedJob(const std::string& job_id, const std::string& name, int generations) {
  NewJob job = SmallJob(job_id, generations);
  job.resolved.display_name = name;
  return job;
}

TEST_CASE("Pages: without any data each says what is missing and what to do", "[pages]") {
  Service service(absl::Seconds(5));
  const Site site(&service);
  CHECK_THAT(site.Get("/"), Catch::Contains("No job yet") && Catch::Contains("espalier submit"));
  CHECK(site.Get("/jobs") == site.Get("/"));
  CHECK_THAT(site.Get("/workers"), Catch::Contains("No worker") && Catch::Contains("espalier-worker"));
  CHECK_THAT(site.Get("/compare"), Catch::Contains("<form"));
  for (const char* missing : {"/jobs/none", "/jobs/none/candidates/p0-g0-c00", "/jobs/"}) {
    CHECK(site.Ask(missing).status == 404);
    CHECK(WellFormed(site.Ask(missing).body).Problem() == "");
  }
  CHECK_THAT(site.Ask("/jobs/%3Cscript%3E").body, Catch::Contains("&lt;script&gt;") && !Catch::Contains("<script"));
  CHECK_THAT(site.Get("/compare?a=none&b=%22%3E%3Cb%3E"),
             Catch::Contains("there is no job") && Catch::Contains("value=\"&quot;&gt;&lt;b&gt;\""));
}

TEST_CASE("Pages: a queued job says why nothing of it runs and expects nothing that was not measured", "[pages]") {
  Service service(absl::Seconds(5));
  const Site site(&service);
  service.Create(NamedJob("first", "a search", 3));
  const std::string page = site.Get("/jobs/first");
  CHECK_THAT(page, Catch::Contains("queued") && Catch::Contains("unknown") && Catch::Contains("No generation has ended"));
  CHECK_THAT(page, Catch::Contains("http-equiv=\"refresh\""));
  CHECK_THAT(site.Get("/jobs"), Catch::Contains("a search") && Catch::Contains("not begun"));
}

TEST_CASE("Pages: a running job shows its stages, its workers and what is left", "[pages]") {
  Service service(absl::Seconds(5));
  const Site site(&service);
  service.Create(NamedJob("first", "a search", 6));
  std::vector<FakeWorker> workers = {FakeWorker("w1", CpuWorker(1)), FakeWorker("w2", CpuWorker(1))};
  const FakeEvaluator evaluator(SmallInputs(), {.noise = 0.05});
  for (int i = 0; i < 4000 && service.Get("first").progress.generation < 3; ++i) {
    workers[i % 2].Work(evaluator);
    workers[i % 2].Call(service);
    service.Pass(absl::Milliseconds(100));
  }
  const std::string page = site.Get("/jobs/first");
  CHECK_THAT(page, Catch::Contains("4 of 6") && Catch::Contains("Running now") && Catch::Contains("left"));
  CHECK_THAT(page, Catch::Contains("fitness by generation") && Catch::Contains("fitness by device time"));
  CHECK_THAT(page, Catch::Contains("class=\"error\"") && Catch::Contains("rank agreement by generation"));
  CHECK_THAT(page, Catch::Contains("the mask, layers by units") && Catch::Contains("candidate by candidate"));
  CHECK_THAT(page, Catch::Contains("It is not over") && Catch::Contains("end expected"));
  CHECK_THAT(site.Get("/jobs/first?generation=1"), Catch::Contains("Generation 1, candidate by candidate") &&
                                                       Catch::Contains("out after stage 1"));
  CHECK_THAT(site.Get("/workers"), Catch::Contains("a CPU") && Catch::Contains("/jobs/first"));
  CHECK_THAT(site.Get("/workers?worker=w1"), Catch::Contains("One worker"));
}

TEST_CASE("Pages: of a finished job every page that is linked is there and well-formed", "[pages]") {
  Service service(absl::Seconds(5));
  const Site site(&service);
  std::vector<FakeWorker> workers = {FakeWorker("w1", CpuWorker(1))};
  const FakeEvaluator evaluator(SmallInputs(), {.noise = 0.05});
  for (const char* id : {"one", "two"}) {
    service.Create(NamedJob(id, "", 3));
    RunToEnd(service, id, workers, evaluator);
    REQUIRE(service.Get(id).state == JobState::kSucceeded);
  }
  const std::string page = site.Get("/jobs/one");
  CHECK_THAT(page, Catch::Contains("How it ended") && Catch::Contains("perplexity (dense 30.00)"));
  CHECK_THAT(page, !Catch::Contains("http-equiv=\"refresh\""));
  const std::set<std::string> pages = site.Crawl("/", 400);
  for (const char* path : {"/jobs/two", "/workers", "/compare", "/jobs/one?generation=1", "/jobs/one/candidates/first-parent",
                           "/workers?worker=w1", "/compare?a=one"}) {
    INFO(path);
    CHECK(pages.contains(path));
  }
  CHECK(pages.size() > 30);
  const std::string candidate = site.Get("/jobs/one/candidates/first-parent");
  CHECK_THAT(candidate, Catch::Contains("Cost by part") && Catch::Contains("embeddings") && Catch::Contains("no parent"));
  CHECK_THAT(site.Get("/compare?a=one&b=two"), Catch::Contains("Fitness") && Catch::Contains("Masks"));
  CHECK_THAT(site.Get("/compare?a=one/p0/g1/c00&b=one/p0/g1/c01"),
             Catch::Contains("Window by window") && Catch::Contains("from one to the other"));
}

TEST_CASE("Pages: two hundred generations stay readable", "[pages]") {
  Service service(absl::Seconds(5));
  const Site site(&service);
  NewJob job = NamedJob("long", "", 200);
  job.resolved.phases[0].offspring = 4;
  job.resolved.phases[0].stages = {{2, 0, 1024}, {1, 1024, 1024}};
  job.resolved = Resolved(job.resolved, job.inputs);
  service.Create(job);
  std::vector<FakeWorker> workers = {FakeWorker("w1", CpuWorker(8))};
  RunToEnd(service, "long", workers, FakeEvaluator(SmallInputs(), {.noise = 0.05}));
  REQUIRE(service.Get("long").generations.size() == 200);
  const std::string page = site.Get("/jobs/long");
  CHECK(CountOf(page, "?generation=") >= 200);
  CHECK(page.size() < 600'000);
  // Two hundred bars would be a grey wall: one band for each chart instead.
  CHECK(CountOf(page, "class=\"band\"") == 2);
  CHECK(CountOf(page, "class=\"error\"") == 0);
  CHECK_THAT(site.Get("/jobs/long?generation=100"), Catch::Contains("Generation 100, candidate by candidate"));
}

TEST_CASE("Pages: a thousand workers fit, those that need a look first", "[pages]") {
  Service service(absl::Seconds(5));
  const Site site(&service);
  for (int i = 0; i < 1000; ++i) {
    WorkerDescription description = CpuWorker(1);
    description.host_name = absl::StrCat("node-", i);
    FakeWorker worker(absl::StrCat("worker-", i), description);
    worker.is_draining = i == 777;
    worker.Call(service);
  }
  const std::string page = site.Get("/workers");
  CHECK(CountOf(page, "<bdi>node-") == kWorkersOnPage);
  CHECK(CountOf(page, "title=\"node-") == 1000);
  CHECK_THAT(page, Catch::Contains("<bdi>node-777<") && Catch::Contains("1 to 100 of 1000"));
  CHECK(page.size() < 1'000'000);
  CHECK(CountOf(site.Get("/workers?page=9"), "<bdi>node-") == kWorkersOnPage);
  CHECK(CountOf(site.Get("/workers?page=1000000"), "<bdi>node-") == 0);
}

TEST_CASE("Pages: a hundred jobs come newest first on pages of fifty", "[pages]") {
  Service service(absl::Seconds(5));
  service.options.limits.max_active_jobs = 1000;
  service.options.limits.max_active_jobs_per_caller = 1000;
  service.Restart();
  const Site site(&service);
  for (int i = 0; i < 100; ++i) service.Create(NamedJob(absl::StrCat("job-", i), "", 1));
  CHECK_THAT(site.Get("/jobs"), Catch::Contains("/jobs/job-99\"") && !Catch::Contains("/jobs/job-49\""));
  CHECK_THAT(site.Get("/jobs?page=1"), Catch::Contains("/jobs/job-49\"") && Catch::Contains("51 to 100 of 100"));
  CHECK_THAT(site.Get("/jobs?page=-5"), Catch::Contains("/jobs/job-99\""));
}

TEST_CASE("Pages: odd names and reasons are shown as they are and never become tags", "[pages]") {
  Service service(absl::Seconds(5));
  const Site site(&service);
  const std::string odd = "<script>alert(1)</script>\"'&\x01\xE2\x80\xAE";
  NewJob job = NamedJob("odd", odd, 2);
  job.resolved.model_folder = "/models/<img src=x onerror=alert(2)>";
  job.resolved.max_attempts = 3;
  job.resolved.tokens_path = "/secret/place/tokens.npy";
  service.Create(job);
  WorkerDescription description = CpuWorker(1);
  description.host_name = odd;
  description.device_name = odd;
  description.software_version = odd;
  FakeWorker worker("<worker \"1\">", description);
  worker.Call(service);
  worker.Fail(absl::InternalError("disk <b>full</b>"));
  worker.Call(service);
  for (const char* target : {"/jobs", "/jobs/odd", "/workers", "/workers?worker=%3Cworker%20%221%22%3E", "/compare?a=odd&b=odd"}) {
    const std::string page = site.Get(target);
    CHECK_THAT(page, !Catch::Contains("/models/") && !Catch::Contains("/secret/"));  // where things lie is nobody's business
    CHECK_THAT(page, !Catch::Contains("<script") && !Catch::Contains("<img") && !Catch::Contains("full</b>"));
    CHECK_THAT(page, Catch::Contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;\xEF\xBF\xBD"));
  }
  CHECK_THAT(site.Get("/jobs/odd"), Catch::Contains("tried again") && Catch::Contains("disk &lt;b&gt;full&lt;/b&gt;"));
}

TEST_CASE("Pages: infeasible candidates of all generations are counted with links, and a device's peak is shown", "[pages]") {
  Service service(absl::Seconds(5));
  const Site site(&service);
  service.Create(NamedJob("tight", "", 4));
  FakeWorker worker("w1", CpuWorker(1));
  const FakeEvaluator evaluator(SmallInputs(), {.noise = 0.05});
  for (int i = 0; i < 4000 && !IsFinal(service.Get("tight").state); ++i) {
    for (const auto& [token, task] : worker.held) {
      TaskOutcome outcome = evaluator.Run(task);
      auto* measurement = std::get_if<Measurement>(&outcome);
      if (measurement != nullptr) measurement->peak_bytes = int64_t{3} << 30;
      // The first offspring of the first generation and of the third, in their first stage.
      const bool is_first = token.task_id.starts_with("evaluate/p0/g0/s0/") || token.task_id.starts_with("evaluate/p0/g2/s0/");
      if (is_first && i % 3 == 0) {
        measurement->feasible = false;
        measurement->infeasible_reason = "out of memory";
      }
      worker.finished.push_back({token, outcome});
    }
    worker.held.clear();
    worker.Call(service);
    service.Pass(absl::Milliseconds(10));
  }
  REQUIRE(service.Get("tight").state == JobState::kSucceeded);
  const std::string page = site.Get("/jobs/tight");  // shows the last generation, where nothing failed
  CHECK_THAT(page, Catch::Contains("infeasible over all generations: ") && Catch::Contains("href=\"/jobs/tight?generation=1#generation\"") &&
                       Catch::Contains("href=\"/jobs/tight?generation=3#generation\"") && !Catch::Contains("out of memory"));
  CHECK_THAT(site.Get("/jobs/tight?generation=1"), Catch::Contains("out of memory"));
  CHECK_THAT(site.Get("/workers"), Catch::Contains("3.0 GiB</span> at most used") || Catch::Contains("3.0 GiB at most used"));
}

TEST_CASE("Pages: a job that failed says why", "[pages]") {
  Service service(absl::Seconds(5));
  const Site site(&service);
  service.Create(NamedJob("bad", "", 2));
  FakeWorker worker("w1", CpuWorker(1));
  worker.Call(service);
  worker.Fail(absl::InvalidArgumentError("model.safetensors: not the file that the job was made for"));
  worker.Call(service);
  CHECK_THAT(site.Get("/jobs/bad"), Catch::Contains("The job failed") && Catch::Contains("not the file that the job"));
}

TEST_CASE("Pages: an estimate that was made before a job began stands beside what it took", "[pages]") {
  Service service(absl::Seconds(5));
  const Site site(&service);
  std::vector<FakeWorker> workers = {FakeWorker("w1", CpuWorker(1))};
  const FakeEvaluator evaluator(SmallInputs(), {});
  service.Create(NamedJob("one", "", 2));
  RunToEnd(service, "one", workers, evaluator);
  NewJob second = NamedJob("two", "", 2);
  const auto preview = ResolveJob(second.resolved, second.inputs);
  REQUIRE_OK(preview);
  second.inputs.first_estimate = service.core->EstimateJob(service.now, *preview);
  REQUIRE(second.inputs.first_estimate.device_seconds.has_value());
  CHECK(second.inputs.first_estimate.num_devices == 1);
  service.Restart();
  workers[0].Call(service);
  const TimeEstimate again = service.core->EstimateJob(service.now, *preview);  // the rate outlives the process
  CHECK(again.device_seconds == second.inputs.first_estimate.device_seconds);
  service.Create(second);
  RunToEnd(service, "two", workers, evaluator);
  service.Restart();
  const Site after(&service);
  CHECK_THAT(after.Get("/jobs/two"), Catch::Contains("Times expected before it began: the rate of") && Catch::Contains("on 1 device"));
  CHECK_THAT(after.Get("/jobs/one"), Catch::Contains("unknown"));
  // The same job again: what was expected is near what it took, because the rate is its own.
  const double took = service.Get("two").progress.engine_seconds;
  CHECK(*second.inputs.first_estimate.device_seconds > 0.4 * took);
  CHECK(*second.inputs.first_estimate.device_seconds < 2.5 * took);
}

TEST_CASE("BearerOf: a browser's password is a token, whatever the name", "[pages]") {
  CHECK(BearerOf("Basic " + absl::Base64Escape("anna:reader-0123456789")) == "Bearer reader-0123456789");
  CHECK(BearerOf("Basic " + absl::Base64Escape(":a:b")) == "Bearer a:b");
  CHECK(BearerOf("Bearer x") == "Bearer x");
  CHECK(BearerOf("Basic !!") == "Basic !!");
  CHECK(BearerOf("Basic " + absl::Base64Escape("no colon")) == "Basic " + absl::Base64Escape("no colon"));
  CHECK(BearerOf("") == "");
}

TEST_CASE("ParseRequestTarget: decodes path and query and leaves rubbish as it is", "[pages]") {
  const RequestTarget target = ParseRequestTarget("/jobs/%3Cx%3E?a=1+2&b=%26%zz&page=7&page=8&c");
  CHECK(target.path == "/jobs/<x>");
  CHECK(ValueIn(target, "a") == "1 2");
  CHECK(ValueIn(target, "b") == "&%zz");
  CHECK(NumberIn(target, "page") == 8);
  CHECK(ValueIn(target, "c").empty());
  CHECK_FALSE(NumberIn(target, "a").has_value());
  CHECK_FALSE(NumberIn(ParseRequestTarget("/x?page=-1"), "page").has_value());
  CHECK_FALSE(NumberIn(ParseRequestTarget("/x?page=99999999999"), "page").has_value());
}

}  // namespace
}  // namespace espalier::testing
