#include "bench/coordinator_load/load_report.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"

namespace espalier::load {
namespace {

using Json = nlohmann::ordered_json;

std::string Row(const std::string& what, const std::string& value) { return absl::StrFormat("%-46s %s\n", what, value); }

std::string Milliseconds(const Latencies& latencies) {
  return absl::StrFormat("%.1f / %.1f / %.1f / %.1f ms", latencies.p50 * 1e3, latencies.p95 * 1e3, latencies.p99 * 1e3,
                         latencies.most * 1e3);
}

double MicrosecondsPerCall(const ProcessUsage& usage, const LoadResult& result) {
  const int64_t calls = result.answered.count + result.parked.count;
  return calls == 0 ? 0 : usage.cpu_seconds * 1e6 / static_cast<double>(calls);
}

std::string Memory(const ProcessUsage& usage) {
  return absl::StrFormat("%.0f MB (peak %.0f)", static_cast<double>(usage.resident_bytes) / 1e6,
                         static_cast<double>(usage.peak_bytes) / 1e6);
}

Json ToJson(const Latencies& latencies) {
  return {{"count", latencies.count}, {"p50_seconds", latencies.p50}, {"p95_seconds", latencies.p95},
          {"p99_seconds", latencies.p99}, {"max_seconds", latencies.most}};
}

Json ToJson(const ProcessUsage& usage) {
  return {{"cpu_seconds", usage.cpu_seconds}, {"resident_bytes", usage.resident_bytes}, {"peak_bytes", usage.peak_bytes}};
}

}  // namespace

std::string TableOf(const LoadResult& result) {
  const double calls = static_cast<double>(result.answered.count + result.parked.count) / result.seconds;
  std::string table;
  table += Row("workers (busy), jobs", absl::StrFormat("%d (%d), %d", result.options.num_workers, result.busy_workers,
                                                       result.options.num_jobs));
  table += Row("cores, load average of the machine", absl::StrFormat("%d, %.1f", result.cores, result.load_average));
  table += Row("measured", absl::StrFormat("%.1f s", result.seconds));
  table += Row("Synchronize calls", absl::StrFormat("%.0f/s, %d failed", calls, result.failed_calls));
  table += Row("answered at once: p50 / p95 / p99 / max", Milliseconds(result.answered));
  table += Row("  of them", absl::StrFormat("%.0f/s", static_cast<double>(result.answered.count) / result.seconds));
  table += Row("parked: p50 / p95 / p99 / max", Milliseconds(result.parked));
  table += Row("commits, leases", absl::StrFormat("%.0f/s, %.0f/s", result.commits_per_second, result.grants_per_second));
  const auto usage = [&](const ProcessUsage& of) {
    return absl::StrFormat("%.0f %% of a core, %.0f us a call, %s", of.cpu_seconds / result.seconds * 100,
                           MicrosecondsPerCall(of, result), Memory(of));
  };
  table += Row("coordinator: CPU, memory", usage(result.coordinator));
  table += Row("this program: CPU, memory", usage(result.fleet));
  if (!result.options.with_restart) return table;
  table += Row("after SIGKILL: the coordinator answers", absl::StrFormat("%.2f s", result.ready_seconds));
  table += Row("  every worker has synchronised", absl::StrFormat("%.2f s", result.resynchronised_seconds));
  table += Row("  first commit", absl::StrFormat("%.2f s", result.first_commit_seconds));
  table += Row("  tasks under way before, dropped after",
               absl::StrFormat("%d, %d", result.tasks_at_kill, result.tasks_stopped));
  return table;
}

std::string JsonOf(const LoadResult& result) {
  Json json = {{"workers", result.options.num_workers},
               {"busy_workers", result.busy_workers},
               {"jobs", result.options.num_jobs},
               {"task_seconds", result.options.task_seconds},
               {"cores", result.cores},
               {"load_average", result.load_average},
               {"seconds", result.seconds},
               {"answered", ToJson(result.answered)},
               {"parked", ToJson(result.parked)},
               {"failed_calls", result.failed_calls},
               {"commits_per_second", result.commits_per_second},
               {"grants_per_second", result.grants_per_second},
               {"coordinator_us_per_call", MicrosecondsPerCall(result.coordinator, result)},
               {"fleet_us_per_call", MicrosecondsPerCall(result.fleet, result)},
               {"coordinator", ToJson(result.coordinator)},
               {"fleet", ToJson(result.fleet)}};
  if (result.options.with_restart) {
    json["restart"] = {{"ready_seconds", result.ready_seconds},
                       {"resynchronised_seconds", result.resynchronised_seconds},
                       {"first_commit_seconds", result.first_commit_seconds},
                       {"tasks_at_kill", result.tasks_at_kill},
                       {"tasks_stopped", result.tasks_stopped}};
  }
  return json.dump(2) + "\n";
}

}  // namespace espalier::load
