// What callers of the coordinator send: Synchronize in odd orders, HTTP requests, and files and answers that it reads.
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <functional>
#include <memory>

#include "absl/strings/str_cat.h"
#include "common/artifacts/s3_client.h"
#include "common/security/token_table.h"
#include "common/wire/synchronize_conversion.h"
#include "coordinator/core/coordinator.h"
#include "coordinator/http/request_target.h"
#include "coordinator/http/routes.h"
#include "coordinator/store/memory_job_store.h"
#include "espalier/v1/worker_service.pb.h"
#include "tests/fuzz/targets.h"
#include "tests/simulation/job_catalog.h"
#include "tests/support/driven_clock.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/pages/well_formed.h"

namespace espalier::fuzz {
namespace {

// Empty: what is refused or repeated does not hang on artifacts.
ArtifactStore* NoArtifacts() {
  static const testing::TempDir folder;
  static const auto store = OpenFolderArtifactStore(folder / "artifacts");
  Demand(store.ok(), "a folder can be made");
  return store->get();
}

// A coordinator over memory with one job.
struct Service {
  Service() : store(std::make_shared<MemoryJobStore::Content>()) {
    Coordinator::Parts parts;
    parts.store = &store;
    parts.artifacts = NoArtifacts();
    parts.programs = JobProgram::Create;
    auto opened = Coordinator::Open(std::move(parts), now);
    Demand(opened.ok(), "a coordinator opens over an empty store");
    core = *std::move(opened);
    const simulation::CatalogJob& catalog = simulation::CatalogJobOf(0);
    NewJob job;
    job.job_id = "job";
    job.submitted = "as sent";
    job.resolved = catalog.spec;
    job.inputs = catalog.inputs;
    Demand(core->CreateJob(now, job).ok(), "a job is made");
  }

  absl::Time now = absl::UnixEpoch() + absl::Hours(1);
  MemoryJobStore store;
  std::unique_ptr<Coordinator> core;
};

// A worker that does its tasks, for so many calls; `on_request` sees each.
void Work(Service& service, int num_calls, const std::function<void(const SynchronizeRequest&)>& on_request) {
  SynchronizeRequest request;
  request.worker_id = "w";
  request.description.host_name = "host";
  request.description.device_name = "a CPU";
  request.description.numerics_class = "cpu/fp32/1/avx2";
  request.description.slots = 2;
  for (int i = 0; i < num_calls; ++i) {
    on_request(request);
    service.now += absl::Seconds(1);
    const auto answer = service.core->Synchronize(service.now, request);
    if (!answer.ok()) return;
    request.finished.clear();
    request.held.clear();
    for (const LeaseGrant& grant : answer->response.grants) {
      if (i % 3 == 2) {
        request.held.push_back({grant.token, {}});
      } else {
        request.finished.push_back({grant.token, simulation::CatalogJobOf(0).evaluator->Run(grant.task)});
      }
    }
  }
}

std::string Framed(const v1::SynchronizeRequest& request, int seconds) {
  const std::string bytes = request.SerializeAsString();
  return absl::StrCat(std::string(1, static_cast<char>(seconds)), std::string(1, static_cast<char>(bytes.size() / 256)),
                      std::string(1, static_cast<char>(bytes.size() % 256)), bytes);
}

}  // namespace

// The input is a series of messages: seconds that pass before it, two bytes of length, the bytes.
void FuzzSynchronize(std::string_view input) {
  Service service;
  for (int messages = 0; input.size() >= 3 && messages < 40; ++messages) {
    const auto byte = [&](size_t i) { return static_cast<size_t>(static_cast<unsigned char>(input[i])); };
    service.now += absl::Seconds(static_cast<int64_t>(byte(0)));
    const size_t length = std::min(byte(1) * 256 + byte(2), input.size() - 3);
    v1::SynchronizeRequest proto;
    const bool is_message = proto.ParseFromArray(input.data() + 3, static_cast<int>(length));
    input.remove_prefix(3 + length);
    if (!is_message) continue;
    const auto request = wire::FromProto(proto);
    if (!request.ok()) continue;
    const auto answer = service.core->Synchronize(service.now, *request);
    if (answer.ok()) {
      Demand(answer->response.verdicts.size() <= request->finished.size(), "no verdict without a report");
      (void)wire::ToProto(answer->response).SerializeAsString();
    }
    service.core->Tick(service.now);
    Demand(service.core->Fatal().ok(), "no message ends a coordinator");
  }
  Demand(service.core->GetJob(service.now, "job").ok(), "the job is still there");
}

std::vector<std::string> SynchronizeSeeds() {
  Service service;
  std::string session;
  std::vector<std::string> seeds;
  Work(service, 12, [&](const SynchronizeRequest& request) {
    session += Framed(wire::ToProto(request), 1);
    seeds.push_back(session);
  });
  return seeds;
}

void FuzzHttp(std::string_view input) {
  namespace http = boost::beast::http;
  static const std::unique_ptr<Service> service = [] {
    auto made = std::make_unique<Service>();
    Work(*made, 400, [](const SynchronizeRequest&) {});  // some generations
    return made;
  }();
  static const testing::DrivenClock clock;
  static const std::unique_ptr<Metrics> metrics = Metrics::Make("fuzz");
  static const HttpRouter router = MakeRouter(service->core.get(), metrics.get(), &clock, nullptr);
  http::request_parser<http::string_body> parser;
  parser.header_limit(16 << 10);
  parser.body_limit(1 << 20);
  boost::beast::error_code error;
  parser.put(boost::asio::buffer(input.data(), input.size()), error);
  std::string target(input.substr(0, 200));  // what does not parse is tried as a path
  if (!error && parser.is_header_done()) {
    target = std::string(parser.get().target().data(), parser.get().target().size());
    const auto header = parser.get()[http::field::authorization];
    (void)BearerOf(std::string(header.data(), header.size()));
  }
  const HttpResponse response = router.Answer(target);
  Demand(response.status >= 200 && response.status < 600, "an answer has a status");
  Demand(response.status != 500, "no path is an internal error");
  if (response.content_type.find("text/html") == 0) {
    Demand(testing::WellFormed(response.body).Problem().empty(), "a page is well-formed, whatever it was asked for");
  }
}

std::vector<std::string> HttpSeeds() {
  std::vector<std::string> seeds;
  for (const char* path : {"/", "/?page=1", "/metrics", "/healthz", "/readyz", "/jobs/job", "/jobs/job?generation=2",
                           "/jobs/job/candidates/first-parent", "/workers?page=0&worker=w", "/compare?a=job&b=job%2Ffirst-parent",
                           "/jobs/%00%3Cb%3E"}) {
    seeds.push_back(absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: x\r\nAuthorization: Basic eDpzZWNyZXQ=\r\n\r\n"));
  }
  return seeds;
}

void FuzzSettings(std::string_view input) {
  (void)TokenTable::Parse(input, "tokens");
  (void)ParseS3Credentials(std::string(input), "default");
  const auto location = ParseS3Location(std::string(input), "http://127.0.0.1:9000");
  if (location.ok()) Demand(absl::StrCat("/", location->prefix).find("/../") == std::string::npos, "no way out of the prefix");
  for (size_t at = 0; (at = input.find("<Contents>", at)) != std::string_view::npos; ++at) {
    const std::string entry = XmlText(input, "Contents", at);
    Demand(XmlText(entry, "Key").size() <= input.size(), "a key is part of the answer");
  }
}

std::vector<std::string> SettingsSeeds() {
  return {"# a comment\nsubmit  0123456789abcdef0123456789abcdef  anna\nwork sha256:" + std::string(64, 'a') + " nodes\n",
          "[default]\naws_access_key_id = AKIA\naws_secret_access_key = secret\n[other]\naws_session_token=t\n", "s3://bucket/prefix/a",
          "<ListBucketResult><IsTruncated>true</IsTruncated><Contents><Key>p/sha256/ab/x</Key><LastModified>2026-11-22T16:20:19.000Z"
          "</LastModified><Size>5</Size></Contents><NextContinuationToken>t</NextContinuationToken></ListBucketResult>"};
}

}  // namespace espalier::fuzz
