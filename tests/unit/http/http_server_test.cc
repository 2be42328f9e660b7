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
  metrics->OnLeaseOver(absl::Seconds(7), false);
  metrics->OnLeaseOver(absl::Seconds(9), true);
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
