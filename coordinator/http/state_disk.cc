#include "coordinator/http/state_disk.h"

#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace espalier {
namespace {

int64_t DatabaseFileBytes(const std::string& path) {
  std::error_code error;
  const std::uintmax_t bytes = std::filesystem::file_size(path, error);
  return error ? 0 : static_cast<int64_t>(bytes);
}

}  // namespace

StateDisk::Space StateDisk::Look() const {
  Space space;
  std::error_code error;
  const std::filesystem::space_info info = std::filesystem::space(folder_, error);
  if (!error) {
    space.free_bytes = static_cast<int64_t>(info.available);
    space.size_bytes = static_cast<int64_t>(info.capacity);
  }
  if (!database_.empty()) space.store_bytes = DatabaseFileBytes(database_) + DatabaseFileBytes(database_ + "-wal");
  return space;
}

absl::Status StateDisk::CheckRoom() const {
  const Space space = Look();
  if (space.size_bytes == 0 || space.free_bytes >= reserve_bytes_) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("the disk under the state has ", space.free_bytes, " bytes left, less than ",
                                                   reserve_bytes_, " (--disk-reserve); make room, or no result can be committed"));
}

}  // namespace espalier
