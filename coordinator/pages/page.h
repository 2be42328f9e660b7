// The frame around every page: head, navigation, foot. Pages are functions of snapshots and of the time; they need no
// script, no other file and no network.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "common/picture/markup.h"

namespace espalier {

enum class PageSection { kJobs, kFleet, kCompare };

struct PageFrame {
  std::string title;
  PageSection section = PageSection::kJobs;
  int refresh_seconds = 0;  // 0: it does not change any more
  absl::Time now;           // wall clock, shown to people only
};

std::string PageOf(const PageFrame& frame, const Html& body);

}  // namespace espalier
