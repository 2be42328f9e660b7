// Both services in one process, over a Unix socket and over TCP.
#include <google/protobuf/empty.pb.h>
#include <google/protobuf/unknown_field_set.h>
#include <sys/stat.h>

#include <filesystem>

#include "coordinator/rpc/error_details.h"
#include "tests/integration/remote.h"
#include "tests/integration/service.h"

namespace espalier::testing {
namespace {

v1::Job MustCreate(const Client& client, const v1::CreateJobRequest& request) {
  v1::Job job;
  const grpc::Status status = client.Create(request, &job);
  INFO(status.error_message());
  REQUIRE(status.ok());
  return job;
}

std::string ReadWhole(const Client& client, const std::string& digest, int64_t offset) {
  v1::ReadArtifactRequest request;
  request.set_digest(digest);
  request.set_offset(offset);
  const auto context = client.Context(10);
  const auto stream = client.search->ReadArtifact(context.get(), request);
  std::string content;
  v1::ReadArtifactResponse piece;
  while (stream->Read(&piece)) content += piece.data();
  REQUIRE(stream->Finish().ok());
  return content;
}

TEST_CASE("Service: a job goes from submission to its result over a Unix socket", "[integration]") {
  Service service("", std::nullopt);
  struct stat info;
  REQUIRE(::stat(service.options().address.path.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);

  const Client client(service.address(), "");
  v1::CreateJobRequest request;
  *request.mutable_spec() = ShortSpec();
  request.set_validate_only(true);
  const v1::Job preview = MustCreate(client, request);
  CHECK(preview.name().empty());
  CHECK(preview.preview().train_tokens() > 0);
  CHECK(preview.spec().phases_size() > 0);

  request.set_validate_only(false);
  request.set_job_id("my-job");
  request.set_request_id("r1");
  const v1::Job job = MustCreate(client, request);
  CHECK(job.name() == "jobs/my-job");
  CHECK(MustCreate(client, request).name() == job.name());

  // Watched from the beginning: the last message is the end.
  v1::WatchJobRequest watch;
  watch.set_name(job.name());
  const auto context = client.Context(100);
  const auto stream = client.search->WatchJob(context.get(), watch);
  v1::WatchJobResponse seen;
  REQUIRE(stream->Read(&seen));
  CHECK(seen.job().state() == v1::Job::QUEUED);
  {
    const JobInputs inputs = InputsOf(job);
    const RemoteWorker first(service.address(), "w1", inputs);
    const RemoteWorker second(service.address(), "w2", inputs);
    int64_t version = seen.version();
    while (stream->Read(&seen)) {
      CHECK(seen.version() > version);
      version = seen.version();
    }
    CHECK(first.num_run() + second.num_run() > 20);
  }
  REQUIRE(stream->Finish().ok());
  REQUIRE(seen.job().state() == v1::Job::SUCCEEDED);
  CHECK(seen.job().result().parameters() <= seen.job().result().target_parameters());
  CHECK(seen.job().generations_size() == 2);
  CHECK_THAT(ReadWhole(client, seen.job().result().result_artifact(), 0), Catch::Contains("\"provenance\""));

  v1::ListCandidatesRequest list;
  list.set_parent(job.name());
  list.set_page_size(5);
  std::vector<std::string> names;
  do {
    v1::ListCandidatesResponse page;
    REQUIRE(client.search->ListCandidates(client.Context(10).get(), list, &page).ok());
    for (const v1::Candidate& candidate : page.candidates()) names.push_back(candidate.name());
    list.set_page_token(page.next_page_token());
  } while (!list.page_token().empty());
  CHECK(names.size() > 10);
  v1::GetCandidateRequest get;
  get.set_name(names.back());
  v1::Candidate candidate;
  REQUIRE(client.search->GetCandidate(client.Context(10).get(), get, &candidate).ok());
  CHECK(candidate.name() == names.back());
  v1::ListWorkersResponse workers;
  REQUIRE(client.search->ListWorkers(client.Context(10).get(), {}, &workers).ok());
  CHECK(workers.workers_size() == 2);
}

// The only field `number` of a message that is read without its definition.
std::string OnlyField(const std::string& message, int number) {
  google::protobuf::Empty any;
  REQUIRE(any.ParseFromString(message));
  std::vector<std::string> found;
  const google::protobuf::UnknownFieldSet& fields = any.GetReflection()->GetUnknownFields(any);
  for (int i = 0; i < fields.field_count(); ++i) {
    const google::protobuf::UnknownField& field = fields.field(i);
    if (field.number() != number) continue;
    found.push_back(field.type() == google::protobuf::UnknownField::TYPE_VARINT ? std::to_string(field.varint())
                                                                                : field.length_delimited());
  }
  REQUIRE(found.size() == 1);
  return found[0];
}

TEST_CASE("Service: a refusal that names a field carries google.rpc's BadRequest", "[integration]") {
  Service service("", std::nullopt);
  const Client client(service.address(), "");
  v1::CreateJobRequest request;
  *request.mutable_spec() = ShortSpec();
  request.mutable_spec()->set_model_folder("/nowhere");
  v1::Job job;
  const grpc::Status status = client.Create(request, &job);
  REQUIRE(status.error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  const std::string details = status.error_details();
  CHECK(OnlyField(details, 1) == "3");
  CHECK(OnlyField(details, 2) == status.error_message());
  CHECK(OnlyField(OnlyField(details, 3), 1) == "type.googleapis.com/google.rpc.BadRequest");
  const std::string violation = OnlyField(OnlyField(OnlyField(details, 3), 2), 1);
  CHECK(OnlyField(violation, 1) == "spec.model_folder");
  CHECK("spec.model_folder: " + OnlyField(violation, 2) == status.error_message());

  CHECK(client.Get("jobs/none", &job).error_details().empty());
}

TEST_CASE("Service: a field is read from a message only where one stands before the colon", "[integration]") {
  CHECK(FieldOf("spec.phases[2].stages: too many") == "spec.phases[2].stages");
  CHECK(FieldOf("job_id: 'a b' is no name") == "job_id");
  for (const char* message : {"", ":", "job_id", "job_id:x", "target 1% (5): too low", ".a: b", "a.: b", "a..b: c", "a[1: b",
                              "a]: b", "[a]: b", "Message: b", "/etc/x: b", "9a: b"}) {
    CAPTURE(message);
    CHECK(FieldOf(message).empty());
  }
}

TEST_CASE("Service: wrong requests are refused with the field's name", "[integration]") {
  Service service("", std::nullopt);
  const Client client(service.address(), "");
  const auto refusal = [&](const v1::CreateJobRequest& request) {
    v1::Job job;
    const grpc::Status status = client.Create(request, &job);
    CHECK(status.error_code() == grpc::StatusCode::INVALID_ARGUMENT);
    return status.error_message();
  };
  v1::CreateJobRequest request;
  CHECK_THAT(refusal(request), Catch::StartsWith("spec:"));
  *request.mutable_spec() = ShortSpec();
  request.set_job_id("no spaces");
  CHECK_THAT(refusal(request), Catch::StartsWith("job_id:"));
  request.clear_job_id();
  request.mutable_spec()->set_model_folder("/nowhere");
  CHECK_THAT(refusal(request), Catch::Contains("model_folder") && Catch::Contains("/nowhere"));
  request.mutable_spec()->set_model_folder("relative");
  CHECK_THAT(refusal(request), Catch::Contains("absolute"));
  *request.mutable_spec() = ShortSpec();
  request.mutable_spec()->mutable_target()->set_count(1);
  CHECK_THAT(refusal(request), Catch::Contains("target"));

  v1::Job job;
  CHECK(client.Get("jobs/none", &job).error_code() == grpc::StatusCode::NOT_FOUND);
  CHECK(client.Get("nonsense", &job).error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  v1::ListJobsRequest list;
  list.set_page_size(-1);
  v1::ListJobsResponse jobs;
  CHECK(client.search->ListJobs(client.Context(10).get(), list, &jobs).error_code() ==
        grpc::StatusCode::INVALID_ARGUMENT);
  v1::SynchronizeRequest sync;
  v1::SynchronizeResponse answer;
  CHECK(client.worker->Synchronize(client.Context(10).get(), sync, &answer).error_code() ==
        grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_CASE("Service: over TCP a token is needed, and a taken port is refused", "[integration]") {
  Service service("127.0.0.1:0", "a-token-of-some-length");
  v1::ListJobsResponse jobs;
  for (const char* token : {"", "another-token-of-length"}) {
    const Client stranger(service.address(), token);
    CHECK(stranger.search->ListJobs(stranger.Context(10).get(), {}, &jobs).error_code() ==
          grpc::StatusCode::UNAUTHENTICATED);
    v1::SynchronizeResponse answer;
    CHECK(stranger.worker->Synchronize(stranger.Context(10).get(), {}, &answer).error_code() ==
          grpc::StatusCode::UNAUTHENTICATED);
  }
  const Client client(service.address(), "a-token-of-some-length");
  CHECK(client.search->ListJobs(client.Context(10).get(), {}, &jobs).ok());
  const absl::Status second = service.StartSecond();
  CHECK(second.code() == absl::StatusCode::kFailedPrecondition);
  CHECK_THAT(std::string(second.message()), Catch::Contains("in use"));
}

TEST_CASE("Service: stopping answers the calls that wait", "[integration]") {
  Service service("", std::nullopt);
  const Client client(service.address(), "");
  SynchronizeRequest request;
  request.worker_id = "w1";
  request.description.numerics_class = "fake";
  request.max_wait = absl::Seconds(60);
  grpc::Status status(grpc::StatusCode::UNKNOWN, "");
  std::thread waiting([&] {
    v1::SynchronizeResponse response;
    status = client.worker->Synchronize(client.Context(30).get(), wire::ToProto(request), &response);
  });
  // Until the worker is known, its call has not arrived.
  v1::ListWorkersResponse workers;
  while (workers.workers_size() == 0) {
    REQUIRE(client.search->ListWorkers(client.Context(10).get(), {}, &workers).ok());
  }
  service.Stop();
  waiting.join();
  CHECK(status.ok());
}

TEST_CASE("Service: artifacts go up and down in pieces, within the limit", "[integration]") {
  Service service("", std::nullopt);
  const Client client(service.address(), "");
  const auto upload = [&](size_t bytes, const std::string& digest, v1::UploadArtifactResponse* response) {
    const auto context = client.Context(20);
    const auto stream = client.search->UploadArtifact(context.get(), response);
    for (size_t sent = 0; sent < bytes; sent += 1 << 20) {
      v1::UploadArtifactRequest piece;
      piece.set_data(std::string(std::min<size_t>(1 << 20, bytes - sent), 'x'));
      if (sent == 0) piece.set_digest(digest);
      if (!stream->Write(piece)) break;
    }
    stream->WritesDone();
    return stream->Finish();
  };
  v1::UploadArtifactResponse response;
  REQUIRE(upload(2'500'000, "", &response).ok());
  CHECK(response.bytes() == 2'500'000);
  CHECK(response.digest() == Sha256Hex(std::string(2'500'000, 'x')));
  CHECK(std::filesystem::exists(response.path()));
  CHECK(ReadWhole(client, response.digest(), 0) == std::string(2'500'000, 'x'));
  CHECK(ReadWhole(client, response.digest(), 2'499'990).size() == 10);
  CHECK(upload(100, std::string(64, 'a'), &response).error_code() == grpc::StatusCode::DATA_LOSS);
  CHECK(upload(4 << 20, "", &response).error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  CHECK(std::filesystem::is_empty(service.options().upload_folder));
}

TEST_CASE("Address: what reaches beyond this machine must be wanted in so many words", "[integration]") {
  const auto check = [](const char* text, const Protection& protection) {
    return CheckExposure("--listen", *ParseListenAddress(text), protection);
  };
  for (const char* text : {"unix:/x", "127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "localhost:1"}) {
    CAPTURE(text);
    CHECK(check(text, {.has_roots = false}).ok());
  }
  for (const char* text : {"0.0.0.0:1", "[::]:1", "192.168.1.1:1", "host.example.org:1", "127.example.org:1"}) {
    CAPTURE(text);
    const absl::Status refused = check(text, {.has_roots = false});
    CHECK(refused.code() == absl::StatusCode::kPermissionDenied);
    CHECK_THAT(std::string(refused.message()), Catch::StartsWith("--listen") && Catch::Contains("--tls-cert") &&
                                                   Catch::Contains("--tokens") && Catch::Contains("--allow-root") &&
                                                   Catch::Contains("--insecure"));
    CHECK_FALSE(check(text, {.has_tls = true}).ok());
    CHECK_FALSE(check(text, {.has_tokens = true}).ok());
    CHECK_FALSE(check(text, {.has_tls = true, .has_tokens = true, .has_roots = false}).ok());
    CHECK(check(text, {.has_tls = true, .has_tokens = true}).ok());
    CHECK(check(text, {.has_roots = false, .is_insecure_allowed = true}).ok());
  }
  for (const char* text : {"", "unix:", "host", ":1", "host:x", "host:70000"}) {
    CAPTURE(text);
    CHECK_FALSE(ParseListenAddress(text).ok());
  }
}

}  // namespace
}  // namespace espalier::testing
