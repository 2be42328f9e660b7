// What every part of a simulation shares: the seed's choices, virtual time, the history, and the first broken
// invariant.
#pragma once

#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/random.h"
#include "tests/simulation/defects.h"
#include "tests/simulation/event_loop.h"
#include "tests/simulation/history.h"
#include "tests/simulation/profile.h"

namespace espalier::simulation {

struct Violation {
  std::string invariant;  // "I4"
  std::string what;
};

struct Context {
  Context(Profile drawn, Defect planted, bool prints)
      : profile(std::move(drawn)), defect(planted), random(profile.seed, "simulation", {}), history(prints) {}

  const Profile profile;
  const Defect defect;
  EventLoop loop;
  KeyedRandom random;
  History history;
  bool has_faults = true;  // until everything heals
  std::optional<Violation> violation;
  std::map<Fault, int> happened;  // how often each fault had its effect

  template <typename... Parts>
  void Note(const Parts&... parts) {
    history.Add(loop.now(), parts...);
  }
  template <typename... Parts>
  void Violate(const char* invariant, const Parts&... parts) {
    if (violation.has_value()) return;
    violation = Violation{invariant, absl::StrCat(parts...)};
    Note("VIOLATION ", invariant, ": ", violation->what);
  }
  void Happened(Fault fault) { ++happened[fault]; }
  // A fault of this share happens now.
  bool Strikes(Fault fault, double share) {
    const bool is_struck = has_faults && share > 0 && random.Unit() < share;
    if (is_struck) Happened(fault);
    return is_struck;
  }
  bool OneIn(int count) { return random.Below(static_cast<uint64_t>(count)) == 0; }
  absl::Duration Between(absl::Duration low, absl::Duration high) { return low + (high - low) * random.Unit(); }
  absl::Duration Exponential(absl::Duration mean) { return mean * -std::log(1 - random.Unit()); }
};

}  // namespace espalier::simulation
