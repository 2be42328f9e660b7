#include "common/http/process_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"

namespace espalier {
namespace {

// The fields of /proc/self/stat from the third on: the second is a name that may hold anything.
std::vector<double> StatFields() {
  std::ifstream file("/proc/self/stat");
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return {};
  std::istringstream rest(text.substr(name_end + 1));
  std::string state;
  rest >> state;
  std::vector<double> fields;
  for (double field; rest >> field;) fields.push_back(field);
  return fields;
}

// Seconds since 1970 at which the machine started; 0 when unknown.
double BootTime() {
  std::ifstream file("/proc/stat");
  for (std::string word; file >> word;) {
    double seconds = 0;
    if (word == "btime" && file >> seconds) return seconds;
  }
  return 0;
}

void Append(std::string* text, const char* name, const char* type, const char* help, double value) {
  absl::StrAppend(text, "# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n", name, " ");
  std::ostringstream number;
  number.precision(17);
  number << value;
  absl::StrAppend(text, number.str(), "\n");
}

}  // namespace

std::string ProcessMetricsText() {
  // proc(5): utime is field 14, stime 15, num_threads 20, starttime 22, vsize 23, rss 24; the first here is field 4.
  constexpr size_t kFirst = 4;
  std::string text;
  const std::vector<double> fields = StatFields();
  const double ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  const double page = static_cast<double>(::sysconf(_SC_PAGESIZE));
  if (fields.size() > 24 - kFirst && ticks > 0) {
    const auto field = [&](size_t number) { return fields[number - kFirst]; };
    Append(&text, "process_cpu_seconds_total", "counter", "User and system CPU time.", (field(14) + field(15)) / ticks);
    Append(&text, "process_threads", "gauge", "Threads.", field(20));
    Append(&text, "process_virtual_memory_bytes", "gauge", "Virtual memory.", field(23));
    Append(&text, "process_resident_memory_bytes", "gauge", "Resident memory.", field(24) * page);
    const double boot = BootTime();
    if (boot > 0) {
      Append(&text, "process_start_time_seconds", "gauge", "When the process started, in seconds since 1970.",
             boot + field(22) / ticks);
    }
  }
  std::error_code error;
  const std::filesystem::directory_iterator open_files("/proc/self/fd", error);
  if (!error) {
    const auto count = std::distance(begin(open_files), end(open_files)) - 1;  // one reads the folder
    Append(&text, "process_open_fds", "gauge", "Open file descriptors.", static_cast<double>(count));
  }
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    Append(&text, "process_max_fds", "gauge", "File descriptors that may be open.", static_cast<double>(limit.rlim_cur));
  }
  return text;
}

}  // namespace espalier
