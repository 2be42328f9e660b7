// Which role each call needs: the one table.
#pragma once

#include <optional>
#include <string_view>

#include "common/security/role.h"

namespace espalier {

// The method's full name, e.g. "espalier.v1.SearchService.CreateJob"; nothing for one that the table does not know.
std::optional<Role> RoleFor(std::string_view full_method_name);

}  // namespace espalier
