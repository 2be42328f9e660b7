#include "coordinator/pages/fleet_page.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "common/picture/numbers.h"
#include "common/picture/task_words.h"
#include "coordinator/pages/page.h"
#include "coordinator/pages/parts.h"

namespace espalier {
namespace {

enum class WorkerState { kLost, kQuarantined, kDraining, kBusy, kIdle };  // who needs a look comes first

WorkerState StateOf(const WorkerView& worker) {
  if (worker.is_lost) return WorkerState::kLost;
  if (!worker.quarantine_reasons.empty()) return WorkerState::kQuarantined;
  if (worker.is_draining) return WorkerState::kDraining;
  return worker.activities.empty() ? WorkerState::kIdle : WorkerState::kBusy;
}

const char* NameOfState(WorkerState state) {
  switch (state) {
    case WorkerState::kLost: return "lost";
    case WorkerState::kQuarantined: return "quarantined";
    case WorkerState::kDraining: return "draining";
    case WorkerState::kBusy: return "busy";
    case WorkerState::kIdle: return "idle";
  }
  return "";
}

const char* ColourOf(WorkerState state) {
  switch (state) {
    case WorkerState::kLost: return "bad";
    case WorkerState::kQuarantined:
    case WorkerState::kDraining: return "warn";
    case WorkerState::kBusy: return "busy";
    case WorkerState::kIdle: return "";
  }
  return "";
}

double RateOf(const WorkerView& worker) {
  double rate = 0;
  for (const WorkerActivity& activity : worker.activities) rate += activity.progress.tokens_per_second;
  return rate;
}

Html FleetTiles(const std::vector<WorkerView>& workers) {
  std::map<WorkerState, int> by_state;
  double rate = 0, memory = 0;
  int64_t committed = 0, failed = 0;
  int slots = 0, taken = 0;
  for (const WorkerView& worker : workers) {
    ++by_state[StateOf(worker)];
    committed += worker.committed_tasks;
    failed += worker.failed_tasks;
    if (worker.is_lost) continue;
    rate += RateOf(worker);
    memory += static_cast<double>(worker.description.memory_bytes);
    slots += worker.description.slots;
    taken += static_cast<int>(worker.activities.size());
  }
  Html troubled;
  for (const WorkerState state : {WorkerState::kLost, WorkerState::kQuarantined, WorkerState::kDraining}) {
    if (by_state[state] == 0) continue;
    if (!troubled.empty()) troubled += ", ";
    troubled += absl::StrCat(by_state[state], " ", NameOfState(state));
  }
  if (troubled.empty()) troubled = "none lost, quarantined or draining";
  return Element("div", {{"class", "tiles"}},
                 TileOf(absl::StrCat(by_state[WorkerState::kBusy], " of ", workers.size()), "workers busy"),
                 TileOf(absl::StrCat(by_state[WorkerState::kIdle]), Element("span", {}, "idle; ", troubled)),
                 TileOf(absl::StrCat(taken, " of ", slots), "slots taken"),
                 TileOf(FormatCount(rate), "tokens per second now"), TileOf(memory > 0 ? FormatBytes(memory) : "-", "device memory"),
                 TileOf(CountOf(committed), absl::StrCat("tasks done; ", CountOf(failed), " failed")));
}

Html FleetGrid(const std::vector<const WorkerView*>& workers) {
  constexpr size_t kMostSquares = 5000;
  Html squares;
  for (size_t i = 0; i < workers.size() && i < kMostSquares; ++i) {
    const WorkerView& worker = *workers[i];
    const WorkerState state = StateOf(worker);
    const std::string title = absl::StrCat(worker.description.host_name, ", ", worker.description.device_name, ": ",
                                           NameOfState(state));
    squares += Element("a", {{"class", ColourOf(state)}, {"href", WorkerPath(worker.worker_id)}, {"title", title}});
  }
  const auto named = [](const char* colour, const char* name) {
    return Element("span", {{"class", "named"}}, KeyOf(colour, "square"), name);
  };
  Html html = Element("div", {{"class", "workers"}}, squares);
  html += LegendOf(Element("span", {}, named("--leaf", "busy"), named("--line", "idle"), named("--wood", "draining or quarantined"),
                           named("--red", "lost")));
  return SectionOf("At a glance", html);
}

struct DeviceRow {
  int count = 0, busy = 0;
  double rate = 0;
  int64_t memory = 0, peak = 0, committed = 0, failed = 0;
};

Html DevicesSection(const std::vector<WorkerView>& workers) {
  std::map<std::string, DeviceRow> by_device;
  for (const WorkerView& worker : workers) {
    DeviceRow& row = by_device[worker.description.device_name];
    ++row.count;
    row.busy += StateOf(worker) == WorkerState::kBusy ? 1 : 0;
    row.rate += worker.is_lost ? 0 : RateOf(worker);
    row.memory = std::max(row.memory, worker.description.memory_bytes);
    row.peak = std::max(row.peak, worker.peak_bytes);
    row.committed += worker.committed_tasks;
    row.failed += worker.failed_tasks;
  }
  constexpr size_t kMostDevices = 40;
  std::vector<Row> rows;
  for (const auto& [name, row] : by_device) {
    if (rows.size() == kMostDevices) break;
    rows.push_back({{NameOf(name), absl::StrCat(row.count), absl::StrCat(row.busy), FormatCount(row.rate),
                     row.memory > 0 ? FormatBytes(static_cast<double>(row.memory)) : "-",
                     row.peak > 0 ? FormatBytes(static_cast<double>(row.peak)) : "-", CountOf(row.committed),
                     CountOf(row.failed)}});
  }
  return SectionOf("Devices", TableOf({"device", "workers", "busy", "tokens/s", "memory each", "most used", "tasks done", "failed"}, rows));
}

Html DoingOf(const WorkerView& worker) {
  Html html;
  for (const WorkerActivity& activity : worker.activities) {
    Html line = LinkOf(JobPath(activity.token.job_id), activity.token.job_id);
    line += absl::StrCat(" ", TaskInWords(activity.token.task_id));
    if (!activity.progress.step.empty()) line += Element("span", {{"class", "sub"}}, activity.progress.step);
    if (activity.progress.total > 0) {
      line += MeterOf(static_cast<double>(activity.progress.done) / static_cast<double>(activity.progress.total));
    }
    html += Element("div", {}, line);
  }
  for (const std::string& reason : worker.quarantine_reasons) html += Element("span", {{"class", "sub"}}, reason);
  if (!worker.quarantine_reasons.empty()) {
    html += Element("span", {{"class", "sub"}},
                    "gets leases again in " + FormatSeconds(absl::ToDoubleSeconds(worker.quarantine_left)));
  }
  if (worker.is_lost) {
    html += Element("span", {{"class", "sub"}}, "silent for " + FormatSeconds(absl::ToDoubleSeconds(worker.silence)));
  }
  return html;
}

Row RowOfWorker(const WorkerView& worker) {
  const WorkerDescription& description = worker.description;
  const WorkerState state = StateOf(worker);
  Html name = LinkOf(WorkerPath(worker.worker_id), NameOf(description.host_name.empty() ? "?" : description.host_name));
  name += Element("span", {{"class", "sub"}}, NameOf(worker.worker_id.substr(0, 13)));
  const char* badge = state == WorkerState::kBusy ? "good" : ColourOf(state);
  Html memory = description.memory_bytes > 0 ? FormatBytes(static_cast<double>(description.memory_bytes)) : std::string("-");
  if (worker.peak_bytes > 0) {
    memory += Element("span", {{"class", "sub"}}, FormatBytes(static_cast<double>(worker.peak_bytes)), " at most used");
  }
  if (worker.retained_bytes > 0) {
    memory += Element("span", {{"class", "sub"}}, FormatBytes(static_cast<double>(worker.retained_bytes)), " of states");
  }
  Html device = NameOf(description.device_name);
  device += Element("span", {{"class", "sub"}}, "Espalier ", NameOf(description.software_version));
  Html done = CountOf(worker.committed_tasks);
  if (worker.failed_tasks > 0) done += Element("span", {{"class", "sub"}}, CountOf(worker.failed_tasks), " failed");
  const double rate = RateOf(worker);
  return {{name, device, BadgeOf(badge, NameOfState(state)), DoingOf(worker),
           rate > 0 ? FormatCount(rate) : std::string("-"), memory, done}};
}

}  // namespace

std::string FleetPage(const std::vector<WorkerView>& workers, const FleetQuery& query, absl::Time now) {
  std::vector<const WorkerView*> shown;
  for (const WorkerView& worker : workers) shown.push_back(&worker);
  std::stable_sort(shown.begin(), shown.end(), [](const WorkerView* a, const WorkerView* b) {
    return std::tie(a->description.host_name, a->worker_id) < std::tie(b->description.host_name, b->worker_id);
  });
  Html body = Element("h1", {}, "Fleet");
  body += Element("p", {{"class", "lead"}}, "Workers, one a device, and what each is doing.");
  body += FleetTiles(workers);
  if (workers.empty()) {
    body += SectionOf("No worker", Element("p", {}, "Start one: ",
                                           Element("code", {}, "espalier-worker --coordinator ADDRESS --artifacts FOLDER"),
                                           ". Jobs wait until a worker is there."));
    return PageOf({"Fleet", PageSection::kFleet, 5, now}, body);
  }
  if (workers.size() > 1) body += FleetGrid(shown);
  std::stable_sort(shown.begin(), shown.end(),
                   [](const WorkerView* a, const WorkerView* b) { return StateOf(*a) < StateOf(*b); });
  if (!query.worker.empty()) {
    std::erase_if(shown, [&](const WorkerView* worker) { return worker->worker_id != query.worker; });
  } else {
    body += DevicesSection(workers);
  }
  std::vector<Row> rows;
  const size_t first = std::min(shown.size(), static_cast<size_t>(query.page) * kWorkersOnPage);
  for (size_t i = first; i < shown.size() && i < first + kWorkersOnPage; ++i) rows.push_back(RowOfWorker(*shown[i]));
  Html table = TableOf({{"worker", "name"}, {"device", "text wide"}, {"state", "text"}, {"doing", "text wrap"}, {"tokens/s", "wide"},
                        {"memory", "wide"}, "tasks done"},
                       rows);
  if (rows.empty()) table = LegendOf("This worker is not known: it has left, or was silent for long.");
  table += PagerOf("/workers?page=", query.page, kWorkersOnPage, static_cast<int>(shown.size()));
  if (!query.worker.empty()) table += Element("p", {{"class", "legend"}}, LinkOf("/workers", "All workers"));
  body += SectionOf(query.worker.empty() ? "Workers" : "One worker", table);
  return PageOf({"Fleet", PageSection::kFleet, 5, now}, body);
}

}  // namespace espalier
