#include "client/process/supervisor.h"

#include <signal.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "common/base/clock.h"
#include "common/base/files.h"
#include "common/base/strings.h"

namespace espalier {
namespace {

constexpr std::chrono::milliseconds kPollEvery{20};

}  // namespace

std::string LastLineOf(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path, int64_t{1} << 30);
  if (!text.ok()) return "";
  const std::vector<std::string> lines = absl::StrSplit(*text, '\n');
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
    absl::string_view stripped = absl::StripAsciiWhitespace(*line);
    if (stripped.empty()) continue;
    for (const char* prefix : {"error: ", "espalier-worker: "}) absl::ConsumePrefix(&stripped, prefix);
    return std::string(stripped.substr(0, 500));
  }
  return "";
}

Supervisor::Supervisor(std::vector<SupervisedProgram> programs, SupervisorOptions options, DeathFunction on_death)
    : options_(std::move(options)), on_death_(std::move(on_death)), pending_(std::move(programs)) {
  thread_ = std::thread([this] { Run(); });
}

Supervisor::~Supervisor() { Stop(absl::Seconds(5)); }

void Supervisor::Stop(absl::Duration grace) {
  {
    std::lock_guard lock(mutex_);
    is_stopping_ = true;
    grace_ = grace;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Supervisor::Add(SupervisedProgram program) {
  {
    std::lock_guard lock(mutex_);
    pending_.push_back(std::move(program));
  }
  changed_.notify_all();
}

absl::Status Supervisor::status() const {
  std::lock_guard lock(mutex_);
  return status_;
}

void Supervisor::Run() {
  const SteadyClock clock;
  while (true) {
    AddPending();
    StartDue(clock.Now());
    ReapDead(clock.Now());
    std::unique_lock lock(mutex_);
    if (changed_.wait_for(lock, kPollEvery, [this] { return is_stopping_; })) break;
  }
  EndAll();
}

void Supervisor::AddPending() {
  std::lock_guard lock(mutex_);
  for (SupervisedProgram& program : pending_) {
    Entry entry;
    entry.program = std::move(program);
    entry.start_at = absl::InfinitePast();
    entries_.push_back(std::move(entry));
  }
  pending_.clear();
}

void Supervisor::StartDue(absl::Time now) {
  for (Entry& entry : entries_) {
    if (entry.child != nullptr || entry.is_given_up || now < entry.start_at) continue;
    const ChildCommand command = entry.program.command(entry.num_starts);
    entry.log_path = command.log_path;
    absl::StatusOr<std::unique_ptr<ChildProcess>> child = ChildProcess::Start(command);
    ++entry.num_starts;
    entry.started = now;
    if (!child.ok()) {
      GiveUp(entry, {}, ToString(child.status().message()));
      continue;
    }
    entry.child = *std::move(child);
  }
}

void Supervisor::ReapDead(absl::Time now) {
  for (Entry& entry : entries_) {
    if (entry.child == nullptr) continue;
    const std::optional<ExitStatus> ended = entry.child->Poll();
    if (!ended.has_value()) continue;
    entry.child.reset();
    on_death_(entry.program.name, entry.num_starts - 1, *ended);
    const bool is_permanent = ended->signal == 0 && entry.program.permanent.contains(ended->code);
    entry.quick_deaths = now - entry.started < options_.quick ? entry.quick_deaths + 1 : 0;
    if (is_permanent || entry.quick_deaths >= options_.max_quick_deaths) {
      GiveUp(entry, *ended, ToText(*ended));
      continue;
    }
    const int doublings = std::min(std::max(entry.quick_deaths - 1, 0), 10);
    entry.start_at = now + std::min(options_.longest_delay, options_.first_delay * (1 << doublings));
  }
}

void Supervisor::GiveUp(Entry& entry, const ExitStatus& ended, const std::string& how) {
  entry.is_given_up = true;
  const std::string last_line = LastLineOf(entry.log_path);
  const std::string& name = entry.program.name;
  const std::string message = last_line.empty() ? absl::StrCat("the ", name, " cannot be kept running: ", how)
                                                : absl::StrCat(last_line, " (", name, ", ", how, ")");
  const auto meaning = entry.program.permanent.find(ended.code);
  absl::StatusCode code = meaning == entry.program.permanent.end() ? absl::StatusCode::kInternal : meaning->second;
  if (absl::StrContains(last_line, "No space left on device")) code = absl::StatusCode::kResourceExhausted;
  const absl::Status status(code, message);
  std::lock_guard lock(mutex_);
  if (status_.ok()) status_ = status;
}

void Supervisor::EndAll() {
  absl::Duration grace;
  {
    std::lock_guard lock(mutex_);
    grace = grace_;
  }
  EndEntries(1, entries_.size(), grace);
  EndEntries(0, 1, grace);
}

void Supervisor::EndEntries(size_t begin, size_t end, absl::Duration grace) {
  const SteadyClock clock;
  const absl::Time deadline = clock.Now() + grace;
  end = std::min(end, entries_.size());
  for (size_t i = begin; i < end; ++i) {
    if (entries_[i].child != nullptr) entries_[i].child->Signal(SIGTERM);
  }
  for (size_t i = begin; i < end; ++i) {
    if (entries_[i].child == nullptr) continue;
    while (!entries_[i].child->Poll().has_value() && clock.Now() < deadline) std::this_thread::sleep_for(kPollEvery);
    entries_[i].child.reset();  // SIGKILL to its group when it is still there
  }
}

}  // namespace espalier
