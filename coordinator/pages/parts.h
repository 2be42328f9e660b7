// What pages are put together from: tiles, tables, badges, links.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/domain/job.h"
#include "common/picture/markup.h"
#include "coordinator/core/views.h"

namespace espalier {

Html TileOf(const Html& value, const Html& label);
Html SectionOf(const char* heading, const Html& content);
Html LegendOf(const Html& content);
Html NoticeOf(const char* css_class, const char* heading, const Html& content);  // "bad", "warn"
Html Scrolling(const Html& content);
Html MeterOf(double share);  // 0 to 1
Html KeyOf(const char* colour, const char* shape);  // of a legend: a CSS variable; "" a line, or "square"

struct Column {
  Column(const char* title, const char* css = "") : name(title), css_class(css) {}  // NOLINT
  const char* name;
  const char* css_class;  // "text": set left; "wide": not on narrow screens; "narrow": wraps there; "name": wraps, two lines at most
};
struct Row {
  std::vector<Html> cells;
  const char* css_class = "";
};
Html TableOf(const std::vector<Column>& columns, const std::vector<Row>& rows);

// The state in words and colour.
Html BadgeOf(JobState state);
Html BadgeOf(const char* css_class, const std::string& text);

// Names that people or workers chose, kept from turning the text around them.
Html NameOf(const std::string& name);
std::string TitleOf(const JobView& job);  // its display name, else the model folder's name, else its id
// The last part of a path: who may read the pages need not learn where things lie on the coordinator's machine.
std::string FileNameOf(const std::string& path);
std::string ShortDigest(const std::string& digest);

std::string JobPath(const std::string& job_id);
std::string CandidatePath(const std::string& job_id, const std::string& candidate_id);
std::string WorkerPath(const std::string& worker_id);
Html LinkOf(const std::string& path, const Html& content);
Html CandidateLink(const std::string& job_id, const CandidateView& candidate);

// "0.1234 ± 0.0012"
std::string WithError(double value, double standard_error);
std::string CountOf(int64_t count);  // FormatCount
std::string AgoOf(absl::Duration age);

// Links to the pages before and after; empty when all fits on one. `path`: with its query but for the page, e.g.
// "/workers?state=busy&page=".
Html PagerOf(const std::string& path, int page, int page_size, int total);

}  // namespace espalier
