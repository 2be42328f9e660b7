// Pages of lists: an opaque token is the number of what came before.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace espalier {

struct Page {
  size_t begin = 0;
  size_t end = 0;
  std::string next_token;  // empty on the last page
};

// kInvalidArgument for a negative size or a token that this program did not make; a size beyond `max_size` is cut to it.
absl::StatusOr<Page> PageOf(size_t num_items, int page_size, const std::string& token, int default_size, int max_size);

// The token of a page that begins with item `begin`.
std::string PageToken(size_t begin);

}  // namespace espalier
