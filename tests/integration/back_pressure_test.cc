// What is bounded so that no caller can exhaust the coordinator: queues of calls, messages, metadata, streams, downloads.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <future>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "coordinator/rpc/executor.h"
#include "tests/integration/remote.h"
#include "tests/integration/service.h"

namespace espalier::testing {
namespace {

constexpr grpc::StatusCode kTooMuch = grpc::StatusCode::RESOURCE_EXHAUSTED;

ServerOptions Bounded(const Limits& limits) {
  ServerOptions options;
  options.limits = limits;
  return options;
}

v1::CreateJobRequest NamedJob(const std::string& id, const std::string& display_name = "") {
  v1::CreateJobRequest request;
  *request.mutable_spec() = ShortSpec();
  request.mutable_spec()->set_display_name(display_name);
  request.set_job_id(id);
  return request;
}

grpc::Status Create(const Client& client, const std::string& id, const std::string& display_name = "") {
  v1::Job job;
  return client.Create(NamedJob(id, display_name), &job);
}

grpc::Status Get(const Client& client, const std::string& id) {
  v1::Job job;
  return client.Get("jobs/" + id, &job);
}

std::set<std::string> Jobs(const Client& client) {
  std::set<std::string> names;
  v1::ListJobsRequest request;
  do {
    v1::ListJobsResponse page;
    const grpc::Status status = client.search->ListJobs(client.Context(20).get(), request, &page);
    INFO(status.error_message());
    REQUIRE(status.ok());
    for (const v1::Job& job : page.jobs()) names.insert(job.name());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return names;
}

Client OwnClient(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);  // takes 64 KiB before it is read
  return Client(address, "", grpc::InsecureChannelCredentials(), arguments);
}

// A clock that makes whoever asks for the time wait while it is closed: the coordinator's threads stand still.
class GateClock final : public Clock {
 public:
  absl::Time Now() const override {
    std::unique_lock lock(mutex_);
    ++num_waiting_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return is_open_; });
    --num_waiting_;
    return absl::Now();
  }
  // Returns when the thread that ticks has come to it; no call may be under way.
  void Close() {
    std::unique_lock lock(mutex_);
    is_open_ = false;
    changed_.wait(lock, [this] { return num_waiting_ > 0; });
  }
  void Open() {
    const std::lock_guard lock(mutex_);
    is_open_ = true;
    changed_.notify_all();
  }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  bool is_open_ = true;
  mutable int num_waiting_ = 0;
};

TEST_CASE("Executor: beyond its limit work of callers is refused, what was taken is done", "[integration]") {
  std::promise<void> begun, go_on;
  std::atomic<int> num_done = 0;
  {
    Executor executor(1, nullptr, absl::ZeroDuration());
    executor.SetLimit(1);
    REQUIRE(executor.TryPost([&] {
      begun.set_value();
      go_on.get_future().wait();
      ++num_done;
    }));
    begun.get_future().wait();                        // it runs, nothing waits
    CHECK(executor.TryPost([&] { ++num_done; }));       // the one that may wait
    CHECK_FALSE(executor.TryPost([&] { num_done += 100; }));
    executor.Post([&] { ++num_done; });                 // the coordinator's own is never refused
    CHECK_FALSE(executor.TryPost([&] { num_done += 100; }));
    CHECK(num_done == 0);
    go_on.set_value();
    while (num_done < 3) std::this_thread::yield();
    std::promise<void> again;
    while (!executor.TryPost([&] { again.set_value(); })) std::this_thread::yield();
    again.get_future().wait();  // and there is room again
  }
  CHECK(num_done == 3);
}

TEST_CASE("Executor: under a storm from many threads each piece of work is done once or refused", "[integration]") {
  constexpr int kThreads = 16, kEach = 2000, kLimit = 8;
  std::atomic<int> num_taken = 0, num_refused = 0, num_done = 0;
  {
    Executor executor(2, nullptr, absl::ZeroDuration());
    executor.SetLimit(kLimit);
    std::promise<void> go;
    const std::shared_future<void> gone = go.get_future().share();
    // Both of its threads stand still until the storm is over, so that the queue must overflow.
    for (int i = 0; i < 2; ++i) executor.Post([gone] { gone.wait(); });
    std::vector<std::thread> storm;
    for (int i = 0; i < kThreads; ++i) {
      storm.emplace_back([&] {
        for (int k = 0; k < kEach; ++k) ++(executor.TryPost([&] { ++num_done; }) ? num_taken : num_refused);
      });
    }
    for (std::thread& thread : storm) thread.join();
    CHECK(num_taken <= kLimit);
    go.set_value();
  }
  CHECK(num_taken > 0);
  CHECK(num_taken + num_refused == kThreads * kEach);
  CHECK(num_done == num_taken);
}

TEST_CASE("Limits: while the core stands still only so many calls wait, the next are told, and it goes on", "[integration]") {
  Limits limits;
  limits.max_queued_calls = 3;
  GateClock clock;
  const Service service("", std::nullopt, Bounded(limits), &clock);
  const Client client(service.address(), "");
  REQUIRE(Create(client, "a").ok());
  clock.Close();
  constexpr int kCallers = 24;
  std::atomic<int> num_ok = 0, num_refused = 0, num_other = 0;
  std::string told;
  std::mutex told_mutex;
  std::vector<std::thread> storm;
  for (int i = 0; i < kCallers; ++i) {
    storm.emplace_back([&] {
      v1::GetJobRequest request;
      request.set_name("jobs/a");
      v1::Job job;
      const grpc::Status status = client.search->GetJob(client.Context(60).get(), request, &job);
      ++(status.ok() ? num_ok : status.error_code() == kTooMuch ? num_refused : num_other);
      const std::lock_guard lock(told_mutex);
      if (!status.ok()) told = status.error_message();
    });
  }
  // All but the three that wait are answered at once, without the core.
  for (int i = 0; i < 3000 && num_refused < kCallers - 3; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  CHECK(num_refused == kCallers - 3);
  CHECK(num_ok == 0);
  clock.Open();
  for (std::thread& thread : storm) thread.join();
  CHECK(num_ok == 3);
  CHECK(num_other == 0);
  CHECK_THAT(told, Catch::Contains("too many calls wait") && Catch::Contains("try again"));
  CHECK(Get(client, "a").ok());
}

TEST_CASE("Limits: of a storm of submissions those that were taken are there, and the others are not", "[integration]") {
  Limits limits;
  limits.max_queued_reads = 2;
  GateClock clock;
  const Service service("", std::nullopt, Bounded(limits), &clock);
  const Client client(service.address(), "");
  clock.Close();  // also those that read files stand still: two run, two wait
  constexpr int kCallers = 24;
  std::atomic<int> num_refused = 0;
  std::vector<grpc::Status> statuses(kCallers);
  std::vector<std::thread> storm;
  for (int i = 0; i < kCallers; ++i) {
    storm.emplace_back([&, i] {
      statuses[i] = Create(client, absl::StrCat("s", i));
      if (statuses[i].error_code() == kTooMuch) ++num_refused;
    });
  }
  for (int i = 0; i < 3000 && num_refused < kCallers - 4; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  clock.Open();
  for (std::thread& thread : storm) thread.join();
  CHECK(num_refused >= kCallers - 4);
  std::set<std::string> taken;
  for (int i = 0; i < kCallers; ++i) {
    INFO(i << ": " << statuses[i].error_message());
    CHECK((statuses[i].ok() || statuses[i].error_code() == kTooMuch));
    if (statuses[i].ok()) taken.insert(absl::StrCat("jobs/s", i));
  }
  CHECK(taken.size() >= 2);
  CHECK(Jobs(client) == taken);
  for (int i = 0; i < kCallers; ++i) {
    if (statuses[i].ok()) continue;
    CHECK(Create(client, absl::StrCat("s", i)).ok());  // later it is taken
    break;
  }
}

TEST_CASE("Limits: a message beyond the limit is refused with both sizes, and the connection goes on", "[integration]") {
  Limits limits;
  limits.max_message_bytes = 64 << 10;
  const Service service("", std::nullopt, Bounded(limits));
  const Client client(service.address(), "");
  const grpc::Status large = Create(client, "a", std::string(65 << 10, 'x'));
  CHECK(large.error_code() == kTooMuch);
  CHECK_THAT(large.error_message(), Catch::Contains("larger than max") && Catch::Contains("65536"));
  CHECK(Create(client, "b", std::string(40 << 10, 'x')).ok());
  CHECK(Jobs(client) == std::set<std::string>{"jobs/b"});
  // A worker's as well.
  v1::SynchronizeRequest report;
  report.set_worker_id(std::string(65 << 10, 'w'));
  v1::SynchronizeResponse answer;
  const grpc::Status reported = client.worker->Synchronize(client.Context(20).get(), report, &answer);
  CHECK(reported.error_code() == kTooMuch);
  CHECK(Get(client, "b").ok());
}

TEST_CASE("Limits: a list of large jobs comes in pages that fit into messages", "[integration]") {
  const Service service("", std::nullopt);
  const Client client(service.address(), "");
  std::set<std::string> made;
  for (int i = 0; i < 5; ++i) {
    REQUIRE(Create(client, absl::StrCat("large-", i), std::string(1 << 20, 'x')).ok());
    made.insert(absl::StrCat("jobs/large-", i));
  }
  CHECK(Jobs(client) == made);  // 5 MiB, a message has 4
}

TEST_CASE("Limits: metadata beyond the limit is refused, and nobody else notices", "[integration]") {
  const Service service("", std::nullopt);  // the shipped limit
  const Client client = OwnClient(service.address());
  const Client other = OwnClient(service.address());
  REQUIRE(Create(other, "a").ok());
  const auto call = [&](size_t bytes) {
    const auto context = client.Context(20);
    context->AddMetadata("x-large", std::string(bytes, 'm'));
    v1::ListJobsResponse jobs;
    return client.search->ListJobs(context.get(), {}, &jobs);
  };
  CHECK(call(4 << 10).ok());
  const grpc::Status large = call(64 << 10);
  CHECK(large.error_code() == kTooMuch);
  CHECK_THAT(large.error_message(), Catch::Contains("metadata"));
  CHECK(Get(other, "a").ok());
  // gRPC may have ended the connection that it came on; the next one is as good as the first.
  grpc::Status again = call(4 << 10);
  for (int i = 0; i < 100 && again.error_code() == grpc::StatusCode::UNAVAILABLE; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    again = call(4 << 10);
  }
  INFO(again.error_message());
  CHECK(again.ok());
}

TEST_CASE("Limits: calls beyond the streams of a connection wait for one to end, other connections do not", "[integration]") {
  Limits limits;
  limits.max_streams = 2;
  const Service service("", std::nullopt, Bounded(limits));
  const Client greedy = OwnClient(service.address());
  const Client other = OwnClient(service.address());
  REQUIRE(Create(other, "a").ok());
  v1::WatchJobRequest request;
  request.set_name("jobs/a");
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<v1::WatchJobResponse>>> watches;
  for (int i = 0; i < 2; ++i) {
    contexts.push_back(greedy.Context(120));
    watches.push_back(greedy.search->WatchJob(contexts.back().get(), request));
    v1::WatchJobResponse seen;
    REQUIRE(watches.back()->Read(&seen));
  }
  v1::ListJobsResponse jobs;
  CHECK(greedy.search->ListJobs(greedy.Context(1).get(), {}, &jobs).error_code() == grpc::StatusCode::DEADLINE_EXCEEDED);
  CHECK(Get(other, "a").ok());
  contexts[0]->TryCancel();
  (void)watches[0]->Finish();
  CHECK(greedy.search->ListJobs(greedy.Context(60).get(), {}, &jobs).ok());
  contexts[1]->TryCancel();
  (void)watches[1]->Finish();
}

TEST_CASE("Limits: downloads beyond the limits are refused, and one that ends makes room", "[integration]") {
  Limits limits;
  limits.max_downloads = 3;
  limits.max_downloads_per_caller = 1;
  Service service("", std::nullopt, Bounded(limits));
  const auto digest = service.artifacts().Put(std::string(4 << 20, 'a'));
  REQUIRE_OK(digest);
  const Client client = OwnClient(service.address());
  v1::ReadArtifactRequest request;
  request.set_digest(*digest);
  const auto download = [&](const Client& caller) {
    const auto context = caller.Context(60);
    const auto stream = caller.search->ReadArtifact(context.get(), request);
    v1::ReadArtifactResponse piece;
    int64_t bytes = 0;
    while (stream->Read(&piece)) bytes += static_cast<int64_t>(piece.data().size());
    const grpc::Status status = stream->Finish();
    if (status.ok()) CHECK(bytes == 4 << 20);
    return status;
  };
  const auto context = client.Context(120);
  const auto idle = client.search->ReadArtifact(context.get(), request);
  v1::ReadArtifactResponse piece;
  REQUIRE(idle->Read(&piece));  // under way, and its reader stops here
  const grpc::Status second = download(OwnClient(service.address()));  // the same host: the same caller
  CHECK(second.error_code() == kTooMuch);
  CHECK_THAT(second.error_message(), Catch::Contains("you have 1 downloads"));
  context->TryCancel();
  (void)idle->Finish();
  grpc::Status after(kTooMuch, "");
  for (int i = 0; i < 200; ++i) {  // until the other side has heard of it
    after = download(client);
    if (after.ok()) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  CHECK(after.ok());
}

}  // namespace
}  // namespace espalier::testing
