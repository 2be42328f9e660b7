// The folders in which the files that a job names must lie.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace espalier {

class PathRoots {
 public:
  // No root: every path is allowed.
  PathRoots() = default;
  // kInvalidArgument when a root is relative, no folder, or "/" (which would allow everything; name no root for that).
  static absl::StatusOr<PathRoots> Open(const std::vector<std::string>& folders);

  bool is_unrestricted() const { return roots_.empty(); }

  // OK when the path, all its symbolic links followed, lies beneath a root, and so does, for a folder, everything that a
  // link in it leads to. `field` names where the path was given. kInvalidArgument without "absolute" or with ".." in it;
  // kPermissionDenied outside of the roots: the same sentence whether something is there or not, and never where a link
  // leads; kNotFound beneath a root. Checks what is there now: who may write in a root can change it afterwards, and
  // digests are there to notice.
  absl::Status Check(const std::string& field, const std::string& path) const;

 private:
  bool Contains(const std::string& canonical) const;
  bool IsNamedInside(const std::string& path) const;
  absl::Status CheckEntries(const std::string& field, const std::string& path, const std::string& canonical) const;

  std::vector<std::string> given_;  // as the flags say, without a slash at the end
  std::vector<std::string> roots_;  // links followed
};

}  // namespace espalier
