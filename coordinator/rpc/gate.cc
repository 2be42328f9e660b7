#include "coordinator/rpc/gate.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "coordinator/rpc/method_roles.h"

namespace espalier {

absl::StatusOr<Identity> Gate::CheckToken(const grpc::ServerContextBase& context, Role role) const {
  if (authority_ == nullptr) return Identity{"", Roles::All()};
  const auto& metadata = context.client_metadata();
  std::string_view given;
  // One header: with several it would be open which one another program believes.
  if (metadata.count("authorization") == 1) {
    const grpc::string_ref value = metadata.find("authorization")->second;
    given = {value.data(), value.size()};
  }
  return authority_->Check(given, role);
}

absl::Status Gate::Check(const grpc::ServerContextBase& context, const char* service, const char* method) const {
  const std::optional<Role> role = RoleFor(absl::StrCat(service, ".", method));
  if (!role.has_value()) return absl::PermissionDeniedError(absl::StrCat("nobody may call ", method));
  const absl::StatusOr<Identity> identity = CheckToken(context, *role);
  if (observer_ == nullptr) return identity.status();
  if (identity.ok()) {
    observer_->OnAllowed(method, *role, identity->name, context.peer());
  } else {
    observer_->OnRefused(method, identity.status(), context.peer());
  }
  return identity.status();
}

}  // namespace espalier
