// Pure: how long a leader may believe that it leads, by its own steady clock. Its end is always earlier than that by the
// database's clock, because it counts from before the question was sent and keeps a margin.
#pragma once

#include "absl/time/time.h"

namespace espalier {

struct TermOptions {
  absl::Duration term = absl::Seconds(6);     // without a renewal for so long, another one may lead
  absl::Duration margin = absl::Seconds(1);   // this much earlier the leader stops by itself
  absl::Duration renew_every() const { return term / 4; }
  absl::Duration ask_every() const { return term / 8; }  // standbys
};

class Term {
 public:
  // `asked_at`: before the election was sent.
  Term(TermOptions options, absl::Time asked_at) : options_(options), renewed_at_(asked_at) {}

  // A renewal that was sent at `asked_at` has succeeded.
  void OnRenewed(absl::Time asked_at) { renewed_at_ = asked_at > renewed_at_ ? asked_at : renewed_at_; }

  absl::Time ends_at() const { return renewed_at_ + options_.term - options_.margin; }
  bool IsOver(absl::Time now) const { return now >= ends_at(); }

 private:
  TermOptions options_;
  absl::Time renewed_at_;
};

}  // namespace espalier
