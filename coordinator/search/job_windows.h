// How much of its token files a job reads, all tasks together.
#pragma once

#include <cstdint>
#include <string>

#include "coordinator/search/job_program.h"

namespace espalier {

struct JobWindows {
  double total = 0;           // windows of the job's sequence length; no sum of a user's numbers overflows it
  std::string largest_field;  // of the specification: which one asks for most of them
  int64_t largest_value = 0;  // what it says
};

// Of a job that was resolved. One that reads a window twice counts it twice.
JobWindows WindowsOfJob(const JobPreview& preview);

}  // namespace espalier
