// What happened, line by line, and its hash: one seed gives one history.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace espalier::simulation {

class History {
 public:
  explicit History(bool prints) : prints_(prints) {}

  template <typename... Parts>
  void Add(absl::Time at, const Parts&... parts) {
    const std::string line = absl::StrCat(absl::ToUnixMicros(at), " ", parts...);
    for (const char c : line) hash_ = (hash_ ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
    if (prints_)
      std::printf("%12.3f  %s\n", absl::ToDoubleSeconds(at - absl::UnixEpoch()), line.c_str() + line.find(' ') + 1);
  }
  uint64_t hash() const { return hash_; }

 private:
  bool prints_;
  uint64_t hash_ = 14695981039346656037ULL;
};

}  // namespace espalier::simulation
