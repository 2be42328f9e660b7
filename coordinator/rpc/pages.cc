#include "coordinator/rpc/pages.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace espalier {

std::string PageToken(size_t begin) { return absl::StrCat("from-", begin); }

absl::StatusOr<Page> PageOf(size_t num_items, int page_size, const std::string& token, int default_size, int max_size) {
  if (page_size < 0) return absl::InvalidArgumentError(absl::StrCat("page_size: ", page_size, " is negative"));
  const size_t size = page_size == 0 ? default_size : std::min(page_size, max_size);
  Page page;
  if (!token.empty()) {
    absl::string_view rest = token;
    uint64_t begin = 0;
    if (!absl::ConsumePrefix(&rest, "from-") || !absl::SimpleAtoi(rest, &begin)) {
      return absl::InvalidArgumentError("page_token: is not one that an earlier page gave");
    }
    page.begin = std::min<size_t>(begin, num_items);
  }
  page.end = std::min(page.begin + size, num_items);
  if (page.end < num_items) page.next_token = PageToken(page.end);
  return page;
}

}  // namespace espalier
