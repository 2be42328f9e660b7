#include "coordinator/pages/message_page.h"

#include "coordinator/pages/page.h"

namespace espalier {

std::string MessagePage(const std::string& heading, const std::string& message, absl::Time now) {
  Html body = Element("h1", {}, heading);
  body += Element("p", {{"class", "lead"}}, message);
  body += Element("p", {}, Element("a", {{"href", "/jobs"}}, "All jobs"));
  return PageOf({heading, PageSection::kJobs, 0, now}, body);
}

}  // namespace espalier
