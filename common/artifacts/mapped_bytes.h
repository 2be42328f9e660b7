// A file's bytes in the address space, for reading once from its beginning to its end.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "common/base/descriptor.h"
#include "common/base/files.h"

namespace espalier {

// The file must not be cut while it is mapped: ours are written once (uploads, exports).
class MappedBytes {
 public:
  static absl::StatusOr<MappedBytes> Open(const std::string& path) {
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.is_open()) return ErrnoStatus("cannot open", path);
    struct stat info {};
    if (::fstat(file.get(), &info) != 0) return ErrnoStatus("cannot read", path);
    void* data = nullptr;
    if (info.st_size > 0) {
      data = ::mmap(nullptr, static_cast<size_t>(info.st_size), PROT_READ, MAP_PRIVATE, file.get(), 0);
      if (data == MAP_FAILED) return ErrnoStatus("cannot read", path);
    }
    return MappedBytes(data, static_cast<size_t>(info.st_size));
  }
  ~MappedBytes() {
    if (data_ != nullptr) ::munmap(data_, size_);
  }
  MappedBytes(MappedBytes&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(other.size_) {}
  MappedBytes& operator=(MappedBytes&&) = delete;

  std::string_view view() const { return {static_cast<const char*>(data_), size_}; }

 private:
  MappedBytes(void* data, size_t size) : data_(data), size_(size) {}
  void* data_;
  size_t size_;
};

}  // namespace espalier
