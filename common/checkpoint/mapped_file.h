// A file mapped read-only. Its size is that of the open descriptor, so a file replaced by name meanwhile does no harm.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace espalier::checkpoint {

class MappedFile {
 public:
  // kNotFound when missing, kInvalidArgument for a folder or another thing that is no file.
  static absl::StatusOr<std::unique_ptr<MappedFile>> Open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  std::string_view bytes() const { return bytes_; }

 private:
  MappedFile(std::string path, std::string_view bytes) : path_(std::move(path)), bytes_(bytes) {}
  std::string path_;
  std::string_view bytes_;
};

// What a file of another kind is, judged by its first bytes: "a pickle (PyTorch) file", "a zip archive", ... Empty when
// nothing is recognised.
std::string ForeignKind(std::string_view bytes);

}  // namespace espalier::checkpoint
