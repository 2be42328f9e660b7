// What every process tells of itself at /metrics, by the names that Prometheus' client libraries use for it.
#pragma once

#include <string>

namespace espalier {

// Text exposition of process_cpu_seconds_total, process_resident_memory_bytes, process_virtual_memory_bytes,
// process_open_fds, process_max_fds, process_threads and process_start_time_seconds. What /proc does not tell is left out.
std::string ProcessMetricsText();

}  // namespace espalier
