// What a holder of a token may do. Roles are granted one by one; each call needs one.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace espalier {

enum class Role { kRead, kSubmit, kWork };

const char* Name(Role role);  // "read", "submit", "work"

// kInvalidArgument quotes nothing: the text may be a token in the wrong column.
absl::StatusOr<Role> ParseRole(std::string_view text);

class Roles {
 public:
  static Roles All();
  // A submitter may also read.
  void Grant(Role role);
  bool Has(Role role) const { return (bits_ & Bit(role)) != 0; }
  std::string ToText() const;  // "read, submit"
  bool operator==(const Roles&) const = default;

 private:
  static unsigned Bit(Role role) { return 1u << static_cast<int>(role); }
  unsigned bits_ = 0;
};

}  // namespace espalier
