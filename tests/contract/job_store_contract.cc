#include "tests/contract/job_store_contract.h"

#include "absl/strings/str_cat.h"
#include "tests/support/catch.h"

namespace espalier::testing {
namespace {

JobRecord Job(const std::string& id) {
  JobRecord job;
  job.job_id = id;
  job.request_id = "request of " + id;
  job.submitted = std::string("bytes \0 with a zero, \xff and 'quotes'", 35);
  job.spec = std::string("\x01\x02\0", 3);
  job.inputs = "inputs";
  job.create_time = absl::FromUnixNanos(1'700'000'000'123'456'789);
  return job;
}

AttemptRecord Attempt(const JobStore& store, const std::string& job, const std::string& task, int attempt) {
  AttemptRecord record;
  record.token = {store.epoch(), job, task, attempt};
  record.worker_id = "worker-1";
  record.input_digest = "digest of " + task;
  return record;
}

EventRecord Outcome(const std::string& job, const std::string& task, int attempt) {
  EventRecord event;
  event.job_id = job;
  event.task_id = task;
  event.attempt = attempt;
  event.input_digest = "digest of " + task;
  event.payload = std::string("outcome \0 of ", 13) + task;
  event.elapsed_seconds = 12.5;
  return event;
}

absl::StatusCode CodeOf(const absl::StatusOr<int64_t>& result) { return result.status().code(); }

void CheckJobs(const StoreFactory& open) {
  auto store = open();
  REQUIRE_OK(store->InsertJob(Job("b")));
  REQUIRE_OK(store->InsertJob(Job("a")));
  JobRecord anonymous = Job("c");
  anonymous.request_id.clear();
  REQUIRE_OK(store->InsertJob(anonymous));
  anonymous.job_id = "d";  // a second job without a request id
  REQUIRE_OK(store->InsertJob(anonymous));

  CHECK(store->InsertJob(Job("a")).code() == absl::StatusCode::kAlreadyExists);
  JobRecord same_request = Job("e");
  same_request.request_id = Job("a").request_id;
  CHECK(store->InsertJob(same_request).code() == absl::StatusCode::kAlreadyExists);

  JobUpdate update;
  update.state = JobState::kFailed;
  update.failure = "the reason";
  update.elapsed_seconds = 3.25;
  update.numerics_class = "class";
  update.result_artifact = "artifact";
  REQUIRE_OK(store->UpdateJob("a", update));
  CHECK(store->UpdateJob("z", update).code() == absl::StatusCode::kNotFound);

  store = nullptr;
  store = open();
  const auto jobs = store->LoadJobs();
  REQUIRE_OK(jobs);
  REQUIRE(jobs->size() == 4);
  CHECK((*jobs)[0] == Job("b"));
  JobRecord expected = Job("a");
  expected.state = JobState::kFailed;
  expected.failure = "the reason";
  expected.elapsed_seconds = 3.25;
  expected.numerics_class = "class";
  expected.result_artifact = "artifact";
  CHECK((*jobs)[1] == expected);
  CHECK((*jobs)[2].request_id.empty());
}

void CheckAttempts(const StoreFactory& open) {
  auto store = open();
  REQUIRE_OK(store->InsertJob(Job("a")));
  const AttemptRecord first = Attempt(*store, "a", "task/1", 1);
  const AttemptRecord second = Attempt(*store, "a", "task/1", 2);
  const AttemptRecord other = Attempt(*store, "a", "task/2", 1);
  REQUIRE_OK(store->InsertAttempts({first, other}));
  // All or none.
  CHECK(store->InsertAttempts({second, first}).code() == absl::StatusCode::kAlreadyExists);
  REQUIRE_OK(store->EndAttempt(first.token, AttemptEnd::kExpired, "silent"));
  REQUIRE_OK(store->EndAttempt(first.token, AttemptEnd::kFailed, "again"));
  LeaseToken unknown = first.token;
  unknown.epoch += 1;
  CHECK(store->EndAttempt(unknown, AttemptEnd::kFailed, "").code() == absl::StatusCode::kNotFound);

  store = nullptr;
  store = open();
  const auto attempts = store->LoadAttempts("a");
  REQUIRE_OK(attempts);
  REQUIRE(attempts->size() == 2);
  AttemptRecord ended = first;
  ended.end = AttemptEnd::kExpired;
  ended.reason = "silent";
  CHECK((*attempts)[0] == ended);
  CHECK((*attempts)[1] == other);
}

void CheckEvents(const StoreFactory& open) {
  auto store = open();
  REQUIRE_OK(store->InsertJob(Job("a")));
  REQUIRE_OK(store->InsertAttempts({Attempt(*store, "a", "task/1", 1), Attempt(*store, "a", "task/2", 1)}));

  CHECK(CodeOf(store->Commit(Outcome("z", "task/1", 1), std::nullopt)) == absl::StatusCode::kNotFound);
  CHECK(CodeOf(store->Commit(Outcome("a", "task/1", 2), std::nullopt)) == absl::StatusCode::kFailedPrecondition);
  EventRecord changed = Outcome("a", "task/1", 1);
  changed.input_digest = "another";
  CHECK(CodeOf(store->Commit(changed, std::nullopt)) == absl::StatusCode::kFailedPrecondition);

  const auto first = store->Commit(Outcome("a", "task/1", 1), std::nullopt);
  REQUIRE_OK(first);
  CHECK(CodeOf(store->Commit(Outcome("a", "task/1", 1), std::nullopt)) == absl::StatusCode::kAlreadyExists);
  EventRecord stop;
  stop.job_id = "a";
  stop.kind = EventKind::kWallTimeStop;
  REQUIRE_OK(store->Commit(stop, std::nullopt));
  EventRecord lost;
  lost.job_id = "a";
  lost.kind = EventKind::kArtifactLost;
  lost.artifact = "digest";
  REQUIRE_OK(store->Commit(lost, std::nullopt));
  REQUIRE_OK(store->Commit(lost, std::nullopt));  // lost again
  EventRecord failed;
  failed.job_id = "a";
  failed.kind = EventKind::kTaskFailed;
  failed.task_id = "task/2";
  failed.reason = "given up";
  const auto last = store->Commit(failed, std::nullopt);
  REQUIRE_OK(last);
  CHECK(*last > *first);
  CHECK(CodeOf(store->Commit(Outcome("a", "task/2", 1), std::nullopt)) == absl::StatusCode::kAlreadyExists);

  store = nullptr;
  store = open();
  const auto events = store->LoadEvents("a", 0);
  REQUIRE_OK(events);
  REQUIRE(events->size() == 5);
  EventRecord expected = Outcome("a", "task/1", 1);
  expected.sequence = *first;
  CHECK((*events)[0] == expected);
  CHECK((*events)[1].kind == EventKind::kWallTimeStop);
  CHECK((*events)[2].artifact == "digest");
  CHECK((*events)[4].reason == "given up");
  const auto later = store->LoadEvents("a", *first);
  REQUIRE_OK(later);
  CHECK(later->size() == 4);
  const auto attempts = store->LoadAttempts("a");
  REQUIRE_OK(attempts);
  CHECK((*attempts)[0].end == AttemptEnd::kCommitted);
  const auto jobs = store->LoadJobs();
  REQUIRE_OK(jobs);
  CHECK((*jobs)[0].elapsed_seconds == 0);  // of the last event
}

void CheckCommitsTogether(const StoreFactory& open) {
  auto store = open();
  for (const char* job : {"a", "b"}) {
    REQUIRE_OK(store->InsertJob(Job(job)));
    REQUIRE_OK(store->InsertAttempts({Attempt(*store, job, "task/1", 1), Attempt(*store, job, "task/2", 1)}));
  }
  const std::optional<BankLayerRecord> none;
  const auto code = [&](const std::vector<EventCommit>& commits) { return store->CommitAll(commits).status().code(); };
  const EventCommit good{Outcome("a", "task/1", 1), none};
  CHECK(code({good, {Outcome("a", "task/2", 7), none}}) == absl::StatusCode::kFailedPrecondition);
  CHECK(code({good, {Outcome("z", "task/1", 1), none}}) == absl::StatusCode::kNotFound);
  CHECK(code({good, good}) == absl::StatusCode::kAlreadyExists);
  CHECK(store->LoadEvents("a", 0)->empty());
  CHECK(store->LoadAttempts("a")->front().end == AttemptEnd::kOpen);

  const auto sequences =
      store->CommitAll({{Outcome("a", "task/2", 1), none}, {Outcome("b", "task/1", 1), none}, good});
  REQUIRE_OK(sequences);
  REQUIRE(sequences->size() == 3);
  CHECK((*sequences)[0] < (*sequences)[1]);
  CHECK((*sequences)[1] < (*sequences)[2]);

  store = nullptr;
  store = open();
  const auto events = store->LoadEvents("a", 0);
  REQUIRE_OK(events);
  REQUIRE(events->size() == 2);
  EventRecord expected = Outcome("a", "task/1", 1);
  expected.sequence = (*sequences)[2];
  CHECK((*events)[1] == expected);
  CHECK((*events)[0].task_id == "task/2");
  const auto attempts = store->LoadAttempts("a");
  REQUIRE_OK(attempts);
  for (const AttemptRecord& attempt : *attempts) CHECK(attempt.end == AttemptEnd::kCommitted);
}

void CheckBank(const StoreFactory& open) {
  auto store = open();
  REQUIRE_OK(store->InsertJob(Job("a")));
  const auto commit = [&](const std::string& task, const std::string& artifact) {
    REQUIRE_OK(store->InsertAttempts({Attempt(*store, "a", task, 1)}));
    BankLayerRecord bank;
    bank.key = "key";
    bank.layer = 3;
    bank.artifact = artifact;
    bank.outcome = std::string("\0outcome", 8);
    REQUIRE_OK(store->Commit(Outcome("a", task, 1), bank));
  };
  const auto find = [&] {
    const auto found = store->FindBankLayer("key", 3);
    REQUIRE_OK(found);
    return *found;
  };
  CHECK_FALSE(find().has_value());
  commit("task/1", "first");
  commit("task/2", "second");  // the first commit wins
  REQUIRE(find().has_value());
  CHECK(find()->artifact == "first");
  CHECK(find()->revision == 1);
  CHECK(find()->outcome == std::string("\0outcome", 8));
  REQUIRE_OK(store->LoseBankLayers("first"));
  CHECK_FALSE(find().has_value());
  commit("task/3", "third");
  store = nullptr;
  store = open();
  REQUIRE(find().has_value());
  CHECK(find()->artifact == "third");
  CHECK(find()->revision == 2);
  REQUIRE_OK(store->DeleteJob("a"));
  CHECK(find().has_value());  // other jobs may use it
}

void CheckDelete(const StoreFactory& open) {
  auto store = open();
  for (const char* job : {"a", "b"}) {
    REQUIRE_OK(store->InsertJob(Job(job)));
    REQUIRE_OK(store->InsertAttempts({Attempt(*store, job, "task/1", 1)}));
    REQUIRE_OK(store->Commit(Outcome(job, "task/1", 1), std::nullopt));
  }
  REQUIRE_OK(store->DeleteJob("a"));
  REQUIRE_OK(store->DeleteJob("a"));
  CHECK(store->LoadEvents("a", 0)->empty());
  CHECK(store->LoadAttempts("a")->empty());
  CHECK(store->LoadEvents("b", 0)->size() == 1);
  store = nullptr;
  store = open();
  const std::map<std::string, std::string> used = {{"request of a", "a"}};
  CHECK(store->LoadDeletedRequests().value() == used);
  REQUIRE_OK(store->InsertJob(Job("a")));  // whether a used request may come again is not the store's to say
  CHECK(store->LoadJobs()->size() == 2);
  REQUIRE_OK(store->DeleteJob("a"));
  CHECK(store->LoadDeletedRequests().value() == used);
}

// Messages of workers and files' names may hold anything.
void CheckTexts(const StoreFactory& open) {
  auto store = open();
  REQUIRE_OK(store->InsertJob(Job("a")));
  const std::string odd = std::string("zero \0, bad \xff\xc0\xaf, 'quote', \"", 28) + "\xc3\xa9\n\\";
  JobUpdate update;
  update.failure = odd;
  REQUIRE_OK(store->UpdateJob("a", update));
  AttemptRecord attempt = Attempt(*store, "a", "task/1", 1);
  REQUIRE_OK(store->InsertAttempts({attempt}));
  REQUIRE_OK(store->EndAttempt(attempt.token, AttemptEnd::kFailed, odd));
  EventRecord failed;
  failed.job_id = "a";
  failed.kind = EventKind::kTaskFailed;
  failed.task_id = "task/1";
  failed.reason = odd;
  REQUIRE_OK(store->Commit(failed, std::nullopt));
  REQUIRE_OK(store->Health());
  store = nullptr;
  store = open();
  const auto jobs = store->LoadJobs();
  REQUIRE_OK(jobs);
  CHECK_THAT((*jobs)[0].failure, Catch::Contains("'quote'") && Catch::EndsWith("\xc3\xa9\n\\"));
  REQUIRE_OK(store->LoadAttempts("a"));
  REQUIRE_OK(store->LoadEvents("a", 0));
}

void CheckEpochs(const StoreFactory& open) {
  auto store = open();
  const int64_t first = store->epoch();
  CHECK(first >= 1);
  const auto identity = store->Identity();
  REQUIRE_OK(identity);
  CHECK_FALSE(identity->empty());
  store = nullptr;
  store = open();
  CHECK(store->epoch() == first + 1);
  CHECK(store->Identity().value() == *identity);
}

}  // namespace

void RunJobStoreContract(const StoreFactory& open) {
  SECTION("jobs come back as they were") { CheckJobs(open); }
  SECTION("attempts are granted once and end once") { CheckAttempts(open); }
  SECTION("a task is committed once, in order, by an attempt that was granted") { CheckEvents(open); }
  SECTION("events that are committed together are all there or none") { CheckCommitsTogether(open); }
  SECTION("the first layer of a bank wins until it is lost") { CheckBank(open); }
  SECTION("a deleted job leaves nothing but its bank") { CheckDelete(open); }
  SECTION("texts with any bytes do no harm") { CheckTexts(open); }
  SECTION("every start has a newer epoch and the same identity") { CheckEpochs(open); }
}

JobRecord LargeJob(const std::string& id) {
  JobRecord job;
  job.job_id = id;
  job.spec = std::string(2000, 's');
  return job;
}

}  // namespace espalier::testing
