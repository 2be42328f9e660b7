#include "coordinator/limit_flags.h"

#include <sys/resource.h>

#include <algorithm>
#include <climits>

namespace espalier {

void AddLimitFlags(CLI::App& app, Limits& limits) {
  app.add_option("--max-jobs", limits.max_active_jobs, "Jobs that have not ended, of all callers")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--max-jobs-per-caller", limits.max_active_jobs_per_caller, "Jobs that have not ended, of one caller")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--max-windows-per-caller", limits.max_windows_per_caller,
                 "Windows of their token files that the jobs of one caller read that have not ended")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 50))
      ->capture_default_str();
  app.add_option("--max-workers", limits.max_workers, "Workers at once")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--max-upload-bytes", limits.max_upload_bytes, "Of one uploaded artifact")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 50))
      ->capture_default_str();
}

int RaiseFileLimit() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return 0;
  const rlim_t before = files.rlim_cur;
  files.rlim_cur = files.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &files) != 0) files.rlim_cur = before;
  return static_cast<int>(std::min<rlim_t>(files.rlim_cur, INT_MAX));
}

}  // namespace espalier
