#include "common/checkpoint/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "common/base/descriptor.h"
#include "common/base/files.h"

namespace espalier::checkpoint {

absl::StatusOr<std::unique_ptr<MappedFile>> MappedFile::Open(const std::string& path) {
  // Without blocking: opening a pipe would wait for somebody who writes.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.is_open()) return ErrnoStatus("cannot open", path);
  struct stat info;
  if (::fstat(file.get(), &info) != 0) return ErrnoStatus("cannot stat", path);
  if (!S_ISREG(info.st_mode)) return absl::InvalidArgumentError(absl::StrCat("'", path, "' is not a regular file"));
  const size_t size = static_cast<size_t>(info.st_size);
  const char* data = nullptr;
  if (size > 0) {
    void* mapped = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
    if (mapped == MAP_FAILED) return ErrnoStatus("cannot map", path);
    data = static_cast<const char*>(mapped);
  }
  return std::unique_ptr<MappedFile>(new MappedFile(path, std::string_view(data, size)));
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<char*>(bytes_.data()), bytes_.size());
}

std::string ForeignKind(std::string_view bytes) {
  using namespace std::string_view_literals;
  if (bytes.starts_with("PK\x03\x04"sv)) return "a zip archive (such as a PyTorch .bin or a numpy .npz)";
  // Protocol 2 to 5 of pickle: opcode 0x80, the protocol, and not the zeros of a small little-endian number.
  if (bytes.size() > 2 && bytes[0] == '\x80' && bytes[1] >= 2 && bytes[1] <= 5 && bytes[2] != 0)
    return "a pickle (PyTorch) file";
  if (bytes.starts_with("\xfd"
                        "7zXZ"sv)) {
    return "an xz archive; decompress it first";
  }
  if (bytes.starts_with("\x1f\x8b"sv)) return "a gzip archive; decompress it first";
  if (bytes.starts_with("GGUF"sv)) return "a GGUF file";
  if (bytes.starts_with("version https://git-lfs"sv))
    return "a Git LFS pointer, not the file itself; fetch it with git lfs pull";
  if (bytes.starts_with("\x93NUMPY"sv)) return "a numpy .npy file";
  return "";
}

}  // namespace espalier::checkpoint
