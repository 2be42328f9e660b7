// Workers that are nothing but their side of the protocol: they synchronise as worker/session does, answer with the fake
// evaluator after a drawn time, and repeat what was not acknowledged. One thread drives all of them over a few channels.
#pragma once

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <memory>
#include <queue>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/base/random.h"
#include "common/domain/job_inputs.h"
#include "common/domain/synchronize.h"
#include "espalier/v1/worker_service.grpc.pb.h"
#include "tests/unit/search/fake_evaluator.h"

namespace espalier::load {

struct FleetOptions {
  int num_workers = 1000;
  int num_channels = 8;
  double task_seconds = 10;  // mean; drawn from half to one and a half of it
  std::string address;
  std::string token;
};

// What was seen since the last Reset.
struct FleetCounts {
  std::vector<float> answered;  // seconds of calls that need not wait (a report, a heartbeat, a first call)
  std::vector<float> parked;    // seconds of calls of idle workers, which may wait for work
  int64_t failed_calls = 0;
  int64_t committed = 0;
  int64_t other_verdicts = 0;
  int64_t granted = 0;
  int64_t stopped = 0;  // tasks that a worker was told to drop
};

class SimulatedFleet {
 public:
  SimulatedFleet(const FleetOptions& options, JobInputs inputs);
  ~SimulatedFleet();

  // First calls are spread over `ramp`.
  void Start(absl::Duration ramp);
  // Drives everything for so long.
  void RunFor(absl::Duration duration);
  // Drives everything for a moment; false once nothing can happen any more.
  bool RunOnce(absl::Time until);

  const FleetCounts& counts() const { return counts_; }
  void Reset();
  // How many workers have had an answer since Reset.
  int num_answered_workers() const { return num_answered_workers_; }
  int num_busy() const;
  int num_held() const;  // tasks

 private:
  struct Call {
    grpc::ClientContext context;
    v1::SynchronizeResponse response;
    grpc::Status status;
    std::unique_ptr<grpc::ClientAsyncResponseReader<v1::SynchronizeResponse>> reader;
    int worker = 0;
    int64_t begin_ns = 0;
    bool may_wait = false;
  };
  struct Worker {
    std::string id;
    std::vector<LeaseGrant> held;
    std::vector<FinishedAttempt> finished;
    Call* call = nullptr;
    int64_t next_call = 0;  // at this time, unless there is news before
    bool has_unsent_news = false;  // finished something since its last call began
    bool is_connected = false;     // its last call was answered
    bool is_answered = false;      // since Reset
    int failures_in_a_row = 0;
  };
  // Something that is due: a worker's next call, or the end of its task.
  struct Due {
    int64_t at_ns = 0;
    int worker = 0;
    LeaseToken task;  // task_id empty: the next call
    bool operator<(const Due& other) const { return at_ns > other.at_ns; }
  };

  void Act(const Due& due);
  void Finish(Worker& worker, const LeaseToken& token);
  void StartCall(int index);
  void EndCall(Call* call);
  void TakeIn(int index, const SynchronizeResponse& response);
  void CallAt(int index, int64_t at_ns);

  const FleetOptions options_;
  const espalier::testing::FakeEvaluator evaluator_;
  WorkerDescription description_;
  std::vector<std::unique_ptr<v1::WorkerService::Stub>> stubs_;
  grpc::CompletionQueue queue_;
  std::vector<Worker> workers_;
  std::priority_queue<Due> due_;
  absl::Duration poll_time_ = absl::Seconds(20);
  int num_calls_ = 0;
  int64_t num_draws_ = 0;
  FleetCounts counts_;
  int num_answered_workers_ = 0;
};

}  // namespace espalier::load
