// How much of everything the coordinator takes on, so that no caller can exhaust it. What goes beyond is refused with
// kResourceExhausted and with what to do; nothing that was accepted is dropped. docs/limits.md lists them.
#pragma once

#include <cstdint>

#include "absl/time/time.h"

namespace espalier {

struct Limits {
  // Messages and connections.
  int max_message_bytes = 4 << 20;
  int max_metadata_bytes = 8 << 10;
  int max_streams = 256;  // calls at once on one connection

  // Jobs that have not ended (queued, running, paused). A caller is a token, or a host where there are none; whose a job
  // is, is known until the coordinator restarts.
  int max_active_jobs = 1000;
  int max_active_jobs_per_caller = 50;
  // Windows of their token files that these jobs of one caller read, from beginning to end. Generous: at 1,024 tokens a
  // window 10^11 tokens; it stops a slip of zeros from taking the workers for years.
  int64_t max_windows_per_caller = 100'000'000;

  // Workers that are known; each has one call waiting at most.
  int max_workers = 20'000;
  // In one Synchronize.
  int max_held = 1024;
  int max_finished = 1024;
  int max_states = 4096;

  // Calls of clients that wait for their turn, by executor: those that need the core, and those that read files.
  int max_queued_calls = 1024;
  int max_queued_reads = 256;

  // WatchJob streams. A reader that takes no message for `watch_patience` is dropped.
  int max_watches = 1024;
  int max_watches_per_caller = 64;
  absl::Duration watch_patience = absl::Seconds(30);

  // Artifacts under way.
  int64_t max_upload_bytes = int64_t{4} << 30;
  int max_uploads = 16;
  int max_uploads_per_caller = 4;
  int max_downloads = 128;
  int max_downloads_per_caller = 32;
};

}  // namespace espalier
