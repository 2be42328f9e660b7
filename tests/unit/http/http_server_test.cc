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
  snapshot.running.push_back({"search-1", {}, 5, 2});
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
  // Series of a search go when it has ended.
  CHECK_THAT(metrics->Text({}), !Catch::Contains("search-1"));
}

}  // namespace
}  // namespace espalier::testing
