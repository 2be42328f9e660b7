// An open file descriptor with one owner.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"

namespace espalier {

// Closes what it holds when it goes away. Made of what open(), socket() and the like return: below zero it is not open, and
// errno still says why.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept;

  bool is_open() const { return fd_ >= 0; }
  int get() const { return fd_; }
  // Closes at once, for those whom a failure matters to: what close() returns (0 when it was not open).
  int Close();

 private:
  int fd_ = -1;
};

// Writes all of the bytes, in as many calls as it takes; `path` is what an error calls the file. kResourceExhausted when the
// disk is full.
absl::Status WriteAll(const Descriptor& file, std::string_view bytes, const std::string& path);

}  // namespace espalier
