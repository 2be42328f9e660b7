#include "coordinator/pages/parts.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/picture/numbers.h"

namespace espalier {

Html TileOf(const Html& value, const Html& label) {
  return Element("div", {{"class", "tile"}}, Element("b", {}, value), Element("span", {}, label));
}

Html SectionOf(const char* heading, const Html& content) {
  return Element("section", {}, Element("h2", {}, heading), content);
}

Html LegendOf(const Html& content) { return Element("p", {{"class", "legend"}}, content); }

Html NoticeOf(const char* css_class, const char* heading, const Html& content) {
  return Element("div", {{"class", absl::StrCat("box ", css_class)}}, Element("b", {}, heading), content);
}

Html Scrolling(const Html& content) { return Element("div", {{"class", "scroll"}}, content); }

Html MeterOf(double share) {
  const double percent = std::clamp(share, 0.0, 1.0) * 100;
  return Element("span", {{"class", "meter"}}, Element("i", {{"style", absl::StrFormat("width:%.1f%%", percent)}}));
}

Html KeyOf(const char* colour, const char* shape) {
  return Element("span", {{"class", absl::StrCat("key ", shape)}, {"style", absl::StrCat("background:var(", colour, ")")}});
}

Html TableOf(const std::vector<Column>& columns, const std::vector<Row>& rows) {
  const auto attributes = [&](size_t i) {
    const std::string css = i < columns.size() ? columns[i].css_class : "";
    return css.empty() ? Attributes{} : Attributes{{"class", css}};
  };
  Html head;
  for (size_t i = 0; i < columns.size(); ++i) head += Element("th", attributes(i), columns[i].name);
  Html content = Element("tr", {}, head);
  for (const Row& row : rows) {
    Html cells;
    for (size_t i = 0; i < row.cells.size(); ++i) cells += Element("td", attributes(i), row.cells[i]);
    content += Element("tr", *row.css_class == '\0' ? Attributes{} : Attributes{{"class", row.css_class}}, cells);
  }
  return Scrolling(Element("table", {}, content));
}

Html BadgeOf(const char* css_class, const std::string& text) {
  return Element("span", {{"class", absl::StrCat("badge ", css_class)}}, text);
}

Html BadgeOf(JobState state) {
  const std::string name = absl::AsciiStrToLower(Name(state));
  switch (state) {
    case JobState::kRunning: return BadgeOf("busy", name);
    case JobState::kSucceeded: return BadgeOf("good", name);
    case JobState::kFailed: return BadgeOf("bad", name);
    case JobState::kPaused: return BadgeOf("warn", name);
    case JobState::kQueued:
    case JobState::kCancelled: break;
  }
  return BadgeOf("", name);
}

Html NameOf(const std::string& name) { return Element("bdi", {}, name); }

std::string TitleOf(const JobView& job) {
  if (!job.spec.display_name.empty()) return job.spec.display_name;
  const std::string name = FileNameOf(job.spec.model_folder);
  return name.empty() ? job.job_id : name;
}

std::string FileNameOf(const std::string& path) {
  const std::string_view trimmed(path.data(), path.find_last_not_of('/') + 1);
  return std::string(trimmed.substr(trimmed.rfind('/') + 1));
}

std::string ShortDigest(const std::string& digest) { return digest.substr(0, 12); }

std::string JobPath(const std::string& job_id) { return absl::StrCat("/jobs/", EncodeForUrl(job_id)); }

std::string CandidatePath(const std::string& job_id, const std::string& candidate_id) {
  std::string id = candidate_id;
  std::replace(id.begin(), id.end(), '/', '-');
  return absl::StrCat(JobPath(job_id), "/candidates/", EncodeForUrl(id));
}

std::string WorkerPath(const std::string& worker_id) { return absl::StrCat("/workers?worker=", EncodeForUrl(worker_id)); }

Html LinkOf(const std::string& path, const Html& content) { return Element("a", {{"href", path}}, content); }

Html CandidateLink(const std::string& job_id, const CandidateView& candidate) {
  return LinkOf(CandidatePath(job_id, candidate.id), candidate.id);
}

std::string WithError(double value, double standard_error) {
  if (standard_error <= 0) return absl::StrFormat("%.4f", value);
  return absl::StrFormat("%.4f \xC2\xB1\xC2\xA0%.4f", value, standard_error);
}

std::string CountOf(int64_t count) { return FormatCount(static_cast<double>(count)); }

std::string AgoOf(absl::Duration age) {
  const double seconds = absl::ToDoubleSeconds(age);
  if (seconds < 5) return "just now";
  if (seconds < 48 * 3600) return FormatSeconds(seconds) + " ago";
  return absl::StrFormat("%.0f days ago", seconds / 86400);
}

Html PagerOf(const std::string& path, int page, int page_size, int total) {
  if (total <= page_size) return {};
  const int first = page * page_size;
  Html content;
  if (page > 0) content += LinkOf(absl::StrCat(path, page - 1), "\xE2\x86\x90 before");
  content += Element("span", {}, absl::StrCat(first + 1, " to ", std::min(total, first + page_size), " of ", total));
  if (first + page_size < total) content += LinkOf(absl::StrCat(path, page + 1), "after \xE2\x86\x92");
  return Element("div", {{"class", "pager"}}, content);
}

}  // namespace espalier
