#include "coordinator/lead/leadership.h"

#include <atomic>
#include <utility>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/driven_clock.h"

namespace espalier {
namespace {

using testing::DrivenClock;

const absl::Time kStart = DrivenClock().Now();

// Answers as told; what it was asked stays readable after the leadership has gone.
struct Script {
  std::vector<absl::StatusOr<LeaderView>> answers;  // to TryLead, in order
  std::atomic<bool> renews = false;                 // what Renew says: Aborted otherwise
  std::atomic<int> num_resigned = 0;
  size_t num_tried = 0;
};

class ScriptedRow final : public LeaderRow {
 public:
  explicit ScriptedRow(Script* script) : script_(script) {}
  absl::StatusOr<LeaderView> TryLead(absl::Duration /*term*/) override { return script_->answers.at(script_->num_tried++); }
  absl::Status Renew(int64_t /*epoch*/, absl::Duration /*term*/) override {
    return script_->renews ? absl::OkStatus() : absl::AbortedError("another leads");
  }
  absl::Status Resign(int64_t /*epoch*/) override {
    ++script_->num_resigned;
    return absl::OkStatus();
  }

 private:
  Script* script_;
};

// A term whose renewals do not come in the time of a test.
TermOptions LongTerm() { return {.term = absl::Hours(4), .margin = absl::Hours(1)}; }

TEST_CASE("Term: ends before the database's, counted from before the question, and only later renewals move it") {
  Term term({.term = absl::Seconds(6), .margin = absl::Seconds(1)}, kStart);
  CHECK_FALSE(term.IsOver(kStart + absl::Milliseconds(4999)));
  CHECK(term.IsOver(kStart + absl::Seconds(5)));
  term.OnRenewed(kStart + absl::Seconds(2));
  CHECK_FALSE(term.IsOver(kStart + absl::Milliseconds(6999)));
  term.OnRenewed(kStart + absl::Seconds(1));  // an answer that was overtaken
  CHECK(term.ends_at() == kStart + absl::Seconds(7));
}

TEST_CASE("Leadership: a standby waits, hears each change once, outlives a database that is away, and then leads") {
  DrivenClock clock;
  Script script;
  script.answers = {LeaderView{std::nullopt, "a"},           LeaderView{std::nullopt, "a"},
                    absl::UnavailableError("the database restarts"), LeaderView{std::nullopt, ""},
                    LeaderView{int64_t{7}, ""}};
  int num_waits = 0;
  std::vector<std::string> heard;
  const auto leadership = Leadership::StandBy(
      std::make_unique<ScriptedRow>(&script), LongTerm(), &clock, [&](absl::Duration) { return ++num_waits > 0; },
      [&](const std::string& address, const absl::Status& database) {
        heard.push_back(database.ok() ? "leader: " + address : "no database");
      });
  REQUIRE_OK(leadership);
  CHECK(num_waits == 4);
  CHECK(heard == std::vector<std::string>{"leader: a", "no database", "leader: "});
  CHECK((*leadership)->epoch() == 7);
  CHECK((*leadership)->Check().ok());
}

TEST_CASE("Leadership: a standby that is told to stop stops, one with another version's database says so") {
  DrivenClock clock;
  Script script;
  script.answers = {LeaderView{std::nullopt, "a"}, absl::FailedPreconditionError("schema version 99")};
  const auto nothing = [](const std::string&, const absl::Status&) {};
  auto row = std::make_unique<ScriptedRow>(&script);
  const auto stopped = Leadership::StandBy(std::move(row), LongTerm(), &clock, [](absl::Duration) { return false; }, nothing);
  REQUIRE_OK(stopped);
  CHECK(*stopped == nullptr);
  row = std::make_unique<ScriptedRow>(&script);
  const auto refused = Leadership::StandBy(std::move(row), LongTerm(), &clock, [](absl::Duration) { return true; }, nothing);
  CHECK(refused.status().code() == absl::StatusCode::kFailedPrecondition);
}

TEST_CASE("Leadership: it resigns when it ends, but not after its term is over") {
  DrivenClock clock;
  Script script;
  script.answers = {LeaderView{int64_t{7}, ""}, LeaderView{int64_t{8}, ""}};
  const auto lead = [&] {
    auto leadership = Leadership::StandBy(std::make_unique<ScriptedRow>(&script), LongTerm(), &clock,
                                          [](absl::Duration) { return true; }, [](const std::string&, const absl::Status&) {});
    REQUIRE_OK(leadership);
    return *std::move(leadership);
  };
  { const auto ended = lead(); }
  CHECK(script.num_resigned == 1);
  {
    const auto stopped = lead();
    clock.Pass(absl::Hours(3));  // as after SIGSTOP: no thread of it ran
    CHECK(stopped->Check().code() == absl::StatusCode::kAborted);
  }
  CHECK(script.num_resigned == 1);
}

TEST_CASE("Leadership: a renewal that another one's epoch refuses ends it") {
  DrivenClock clock;
  Script script;
  script.answers = {LeaderView{int64_t{7}, ""}};
  const TermOptions short_term = {.term = absl::Milliseconds(40), .margin = absl::Milliseconds(1)};
  const auto leadership =
      Leadership::StandBy(std::make_unique<ScriptedRow>(&script), short_term, &clock, [](absl::Duration) { return true; },
                          [](const std::string&, const absl::Status&) {});
  REQUIRE_OK(leadership);
  while ((*leadership)->Check().ok()) std::this_thread::yield();  // its thread renews every 10 ms; the clock stands still
  CHECK_THAT(std::string((*leadership)->Check().message()), Catch::Contains("another leads"));
}

}  // namespace
}  // namespace espalier
