#include "common/security/role.h"

#include <vector>

#include "absl/strings/str_join.h"

namespace espalier {
namespace {

constexpr Role kRoles[] = {Role::kRead, Role::kSubmit, Role::kWork};

}  // namespace

const char* Name(Role role) {
  switch (role) {
    case Role::kRead:
      return "read";
    case Role::kSubmit:
      return "submit";
    case Role::kWork:
      return "work";
  }
  return "";
}

absl::StatusOr<Role> ParseRole(std::string_view text) {
  for (const Role role : kRoles) {
    if (text == Name(role)) return role;
  }
  return absl::InvalidArgumentError("the role is none of read, submit, work");
}

Roles Roles::All() {
  Roles all;
  for (const Role role : kRoles) all.Grant(role);
  return all;
}

void Roles::Grant(Role role) {
  bits_ |= Bit(role);
  if (role == Role::kSubmit) bits_ |= Bit(Role::kRead);
}

std::string Roles::ToText() const {
  std::vector<std::string> names;
  for (const Role role : kRoles) {
    if (Has(role)) names.push_back(Name(role));
  }
  return absl::StrJoin(names, ", ");
}

}  // namespace espalier
