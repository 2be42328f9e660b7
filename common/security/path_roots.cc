#include "common/security/path_roots.h"

#include <limits.h>
#include <stdlib.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

std::optional<std::string> Canonical(const std::string& path) {
  char buffer[PATH_MAX];
  if (::realpath(path.c_str(), buffer) == nullptr) return std::nullopt;
  return std::string(buffer);
}

bool IsBeneath(const std::string& path, const std::string& root) {
  return path.size() >= root.size() && path.compare(0, root.size(), root) == 0 &&
         (path.size() == root.size() || path[root.size()] == '/');
}

absl::Status Outside(const std::string& field, const std::string& path) {
  return absl::PermissionDeniedError(
      absl::StrCat(field, ": '", path, "' is not in one of the folders that jobs may name; the operator allows a folder with ",
                   "--allow-root"));
}

absl::Status CheckForm(const std::string& field, const std::string& path) {
  if (path.empty() || path.size() >= PATH_MAX || path.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat(field, ": is no path"));
  }
  if (path.front() != '/') return absl::InvalidArgumentError(absl::StrCat(field, ": '", path, "' is not absolute"));
  for (const absl::string_view part : absl::StrSplit(path, '/')) {
    if (part == "..") return absl::InvalidArgumentError(absl::StrCat(field, ": '", path, "' goes through '..'"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PathRoots> PathRoots::Open(const std::vector<std::string>& folders) {
  PathRoots roots;
  for (const std::string& folder : folders) {
    const auto fail = [&](const std::string& why) {
      return absl::InvalidArgumentError(absl::StrCat("--allow-root: '", folder, "' ", why));
    };
    if (folder.empty() || folder.front() != '/') return fail("is not an absolute path");
    const std::optional<std::string> canonical = Canonical(folder);
    if (!canonical.has_value()) return fail(absl::StrCat("cannot be used: ", std::strerror(errno)));
    std::error_code ignored;
    if (!fs::is_directory(*canonical, ignored)) return fail("is no folder");
    if (*canonical == "/") return fail("would allow every file of this machine");
    std::string given = fs::path(folder).lexically_normal().string();
    while (given.size() > 1 && given.back() == '/') given.pop_back();
    roots.given_.push_back(given);
    roots.roots_.push_back(*canonical);
  }
  return roots;
}

bool PathRoots::Contains(const std::string& canonical) const {
  for (const std::string& root : roots_) {
    if (IsBeneath(canonical, root)) return true;
  }
  return false;
}

bool PathRoots::IsNamedInside(const std::string& path) const {
  const std::string normal = fs::path(path).lexically_normal().string();
  for (const std::string& root : given_) {
    if (IsBeneath(normal, root)) return true;
  }
  return Contains(normal);
}

absl::Status PathRoots::CheckEntries(const std::string& field, const std::string& path,
                                     const std::string& canonical) const {
  std::error_code error;
  if (!fs::is_directory(canonical, error)) return absl::OkStatus();
  fs::directory_iterator entry(canonical, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    std::error_code ignored;
    if (!entry->is_symlink(ignored)) continue;
    const std::optional<std::string> target = Canonical(entry->path().string());
    if (target.has_value() && Contains(*target)) continue;
    return Outside(field, absl::StrCat(path, "/", entry->path().filename().string()));
  }
  if (!error) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat(field, ": '", path, "' cannot be listed: ", error.message()));
}

absl::Status PathRoots::Check(const std::string& field, const std::string& path) const {
  if (is_unrestricted()) return absl::OkStatus();
  if (absl::Status status = CheckForm(field, path); !status.ok()) return status;
  // By name first: nothing is looked up for a path that cannot be allowed, so that answers tell nothing about it.
  if (!IsNamedInside(path)) return Outside(field, path);
  const std::optional<std::string> canonical = Canonical(path);
  if (!canonical.has_value()) {
    return absl::NotFoundError(absl::StrCat(field, ": '", path, "' cannot be opened: ", std::strerror(errno)));
  }
  if (!Contains(*canonical)) return Outside(field, path);
  return CheckEntries(field, path, *canonical);
}

}  // namespace espalier
