#include "common/http/http_server.h"

#include <boost/asio.hpp>
#include <string>

#include "coordinator/http/metrics.h"
#include "tests/support/catch.h"

namespace espalier::testing {
namespace {

// One request over a socket; the whole answer until the server closes.
std::string Ask(int port, const std::string& request) {
  boost::asio::io_context context;
  boost::asio::ip::tcp::socket socket(context);
  socket.connect({boost::asio::ip::make_address("127.0.0.1"), static_cast<uint16_t>(port)});
  boost::asio::write(socket, boost::asio::buffer(request));
  std::string answer;
  boost::system::error_code error;
  boost::asio::read(socket, boost::asio::dynamic_buffer(answer), error);
  return answer;
}

HttpRouter Router() {
  HttpRouter router;
  router.exact["/a"] = [](const std::string&) { return HttpResponse{.body = "exact"}; };
  router.prefixes["/jobs/"] = [](const std::string& path) { return HttpResponse{.body = "jobs " + path}; };
  router.prefixes["/jobs/x/"] = [](const std::string&) { return HttpResponse{.body = "longer"}; };
  return router;
}

TEST_CASE("HttpRouter: exact paths first, then the longest prefix, else 404", "[http]") {
  const HttpRouter router = Router();
  CHECK(router.Answer("/a").body == "exact");
  CHECK(router.Answer("/jobs/1").body == "jobs /jobs/1");
  CHECK(router.Answer("/jobs/x/1").body == "longer");
  CHECK(router.Answer("/b").status == 404);
}

TEST_CASE("HttpServer: answers GET and HEAD over a socket, and refuses the rest", "[http]") {
  const auto server = HttpServer::Start({}, Router());
  REQUIRE_OK(server);
  const int port = (*server)->port();
  CHECK_THAT(Ask(port, "GET /a?x=1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"),
             Catch::StartsWith("HTTP/1.1 200") && Catch::EndsWith("exact") && Catch::Contains("nosniff"));
  CHECK_THAT(Ask(port, "HEAD /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"),
             Catch::StartsWith("HTTP/1.1 200") && Catch::EndsWith("\r\n\r\n"));
  CHECK_THAT(Ask(port, "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
             Catch::StartsWith("HTTP/1.1 405"));
  CHECK(Ask(port, "GET /" + std::string(20'000, 'a') + " HTTP/1.1\r\n\r\n").empty());
  CHECK(Ask(port, "rubbish\r\n\r\n").empty());
  HttpOptions taken;
  taken.port = port;
  CHECK(HttpServer::Start(taken, Router()).status().code() == absl::StatusCode::kFailedPrecondition);
}

TEST_CASE("Metrics: counters follow what the core tells, gauges its snapshot", "[http]") {
  const auto metrics = Metrics::Make("1.2.3");
  const LeaseToken token{1, "job", "task", 1};
  metrics->OnLeaseGranted(token, "w", TaskKind::kEvaluate, "", absl::Seconds(2));
  Measurement measurement;
  measurement.trained_tokens = 1000;
  metrics->OnCommitted(token, measurement, absl::Seconds(3));
  metrics->OnLeaseEnded(token, "w", AttemptEnd::kExpired, "");
  CoordinatorSnapshot snapshot;
  snapshot.epoch = 4;
  snapshot.jobs[JobState::kRunning] = 1;
  snapshot.running.push_back({"search-1", {}, 5, 2, {}});
  const std::string text = metrics->Text(snapshot);
  for (const char* line : {"espalier_build_info{version=\"1.2.3\"} 1",
                           "espalier_leases_granted_total{kind=\"evaluate\"} 1",
                           "espalier_evaluations_total{kind=\"evaluate\",outcome=\"succeeded\"} 1",
                           "espalier_tokens_total{use=\"trained\"} 1000",
                           "espalier_leases_ended_total{end=\"expired\"} 1",
                           "espalier_searches{state=\"running\"} 1",
                           "espalier_tasks{search=\"search-1\",state=\"queued\"} 5",
                           "espalier_leader_epoch 4"}) {
    CHECK_THAT(text, Catch::Contains(line));
  }
  // Series that alerts build rates over are there before the first event.
  CHECK_THAT(text, Catch::Contains("espalier_leases_ended_total{end=\"failed\"} 0") &&
                       Catch::Contains("espalier_slot_seconds_total{outcome=\"wasted\"} 0"));
  // Series of a search go when it has ended.
  CHECK_THAT(metrics->Text({}), !Catch::Contains("search-1"));
}

TEST_CASE("Metrics: calls, attempts and lost time are counted, each call under its own kind", "[http]") {
  const auto metrics = Metrics::Make("1.2.3");
  metrics->OnCall("CreateJob", "OK", absl::Milliseconds(3));
  metrics->OnCall("Synchronize", "UNAVAILABLE", absl::Seconds(15));
  metrics->OnHttpAnswer(401);
  metrics->OnLeaseOver(absl::Seconds(7), AttemptEnd::kExpired);
  metrics->OnLeaseOver(absl::Seconds(9), AttemptEnd::kCommitted);
  metrics->OnCommitted({1, "job", "task", 3}, Measurement{}, absl::Seconds(3));
  metrics->OnCommitted({1, "job", "task", 0}, BankLayerOutcome{}, absl::ZeroDuration());
  metrics->OnWorkerQuarantined("w", absl::Minutes(1), {"why"});
  metrics->OnWorkerQuarantined("w", absl::ZeroDuration(), {});
  const std::string text = metrics->Text({});
  for (const char* line : {"espalier_rpc_requests_total{code=\"OK\",method=\"CreateJob\"} 1",
                           "espalier_rpc_duration_seconds_bucket{method=\"CreateJob\",le=\"0.005\"} 1",
                           "espalier_rpc_long_duration_seconds_bucket{method=\"Synchronize\",le=\"20\"} 1",
                           "espalier_http_requests_total{code=\"401\"} 1", "espalier_slot_seconds_total{outcome=\"wasted\"} 7",
                           "espalier_slot_seconds_total{outcome=\"useful\"} 9", "espalier_attempts_per_commit_bucket{le=\"2\"} 0",
                           "espalier_attempts_per_commit_bucket{le=\"3\"} 1", "espalier_bank_layers_reused_total 1",
                           "espalier_quarantines_total 1", "process_start_time_seconds "}) {
    CHECK_THAT(text, Catch::Contains(line));
  }
  CHECK_THAT(text, !Catch::Contains("espalier_rpc_duration_seconds_bucket{method=\"Synchronize\""));
}

TEST_CASE("Metrics: offspring by operator, infeasible candidates by reason, lost time by cause, workers by their end", "[http]") {
  const auto metrics = Metrics::Make("1.2.3");
  const LeaseToken token{1, "job", "task", 1};
  OffspringTallies offspring;
  offspring[Operator::kSameKind] = {12, 3};
  offspring[Operator::kCrossKind] = {4, 0};
  metrics->OnOffspringMeasured("job", offspring);
  metrics->OnOffspringMeasured("job", offspring);
  Measurement infeasible;
  infeasible.feasible = false;
  for (const char* reason : {"out of memory on an otherwise empty device (cuda, 5 bytes): y", "the training loss became nan in step 3",
                             "the perplexity is not finite", "something new"}) {
    infeasible.infeasible_reason = reason;
    metrics->OnCommitted(token, infeasible, absl::Seconds(1));
  }
  metrics->OnTaskGivenUp("job", "evaluate/p0/g3/s1/ab", "why");
  metrics->OnTaskGivenUp("job", "bank/3", "why");
  metrics->OnLeaseOver(absl::Seconds(7), AttemptEnd::kExpired);
  metrics->OnLeaseOver(absl::Seconds(2), AttemptEnd::kFailed);
  metrics->OnLeaseOver(absl::Seconds(9), AttemptEnd::kCommitted);
  metrics->OnWorkerGone("w", WorkerEnd::kSilent, "silent for long");
  const std::string text = metrics->Text({});
  for (const char* line : {"espalier_offspring_total{operator=\"same_kind\"} 24", "espalier_offspring_improved_total{operator=\"same_kind\"} 6",
                           "espalier_offspring_total{operator=\"cross_kind\"} 8", "espalier_offspring_improved_total{operator=\"cross_kind\"} 0",
                           "espalier_infeasible_total{reason=\"memory\"} 1", "espalier_infeasible_total{reason=\"not_finite\"} 2",
                           "espalier_infeasible_total{reason=\"other\"} 1", "espalier_infeasible_total{reason=\"given_up\"} 1",
                           "espalier_tasks_given_up_total 2", "espalier_wasted_slot_seconds_total{cause=\"expired\"} 7",
                           "espalier_wasted_slot_seconds_total{cause=\"failed\"} 2", "espalier_wasted_slot_seconds_total{cause=\"handed_back\"} 0",
                           "espalier_slot_seconds_total{outcome=\"wasted\"} 9", "espalier_workers_gone_total{end=\"silent\"} 1",
                           "espalier_workers_gone_total{end=\"left\"} 0", "espalier_artifact_operations_total{op=\"read\",result=\"damaged\"} "}) {
    CHECK_THAT(text, Catch::Contains(line));
  }
}

TEST_CASE("Metrics: what a running search has used of what, and its population's fitness by rank", "[http]") {
  const auto metrics = Metrics::Make("1.2.3");
  CoordinatorSnapshot snapshot;
  CoordinatorSnapshot::RunningJob& job = snapshot.running.emplace_back();
  job.job_id = "search-1";
  job.progress.num_evaluations = 40;
  job.progress.engine_seconds = 1234;
  job.planned_evaluations = 700;
  job.useful_slot_seconds = 1500;
  job.wasted_slot_seconds = 20;
  job.health.generations = 1;
  job.health.p10_fitness = 0.25;
  job.health.p90_fitness = 4;
  const std::string text = metrics->Text(snapshot);
  for (const char* line : {"espalier_used_evaluations{search=\"search-1\"} 40", "espalier_planned_evaluations{search=\"search-1\"} 700",
                           "espalier_search_device_seconds{search=\"search-1\"} 1234",
                           "espalier_search_slot_seconds{outcome=\"useful\",search=\"search-1\"} 1500",
                           "espalier_search_slot_seconds{outcome=\"wasted\",search=\"search-1\"} 20",
                           "espalier_population_fitness{rank=\"p10\",search=\"search-1\"} 0.25",
                           "espalier_population_fitness{rank=\"p90\",search=\"search-1\"} 4"}) {
    CHECK_THAT(text, Catch::Contains(line));
  }
}

TEST_CASE("StateDisk: less room than the reserve is said with both numbers, and shows among the metrics", "[http]") {
  const StateDisk roomy("/", "", 1);
  CHECK(roomy.CheckRoom().ok());
  const StateDisk full("/", "", int64_t{1} << 62);
  const absl::Status status = full.CheckRoom();
  CHECK(status.code() == absl::StatusCode::kResourceExhausted);
  CHECK_THAT(std::string(status.message()), Catch::Contains("4611686018427387904") && Catch::Contains("--disk-reserve"));
  const auto metrics = Metrics::Make("1.2.3");
  metrics->Watch(&full, "");
  CHECK_THAT(metrics->Text({}), Catch::Contains("espalier_state_disk_reserve_bytes 4.61168") &&
                                    Catch::Contains("espalier_state_disk_free_bytes "));
}

}  // namespace
}  // namespace espalier::testing
