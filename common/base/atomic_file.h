// A file that is written in pieces and appears under its name whole or not at all.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/descriptor.h"

namespace espalier {

class AtomicFile {
 public:
  // Creates the temporary file `temporary`.tmp-<process>-<counter>, which must be on the file system of the final path.
  static absl::StatusOr<std::unique_ptr<AtomicFile>> Create(const std::string& temporary);
  ~AtomicFile();  // removes the temporary file unless it was committed
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  // kResourceExhausted when the disk is full.
  absl::Status Append(std::string_view bytes);
  const std::string& temporary() const { return temporary_; }
  // Syncs, renames to `path` and syncs its folder. Nothing can be appended afterwards.
  absl::Status Commit(const std::string& path);

 private:
  AtomicFile(Descriptor file, std::string temporary) : file_(std::move(file)), temporary_(std::move(temporary)) {}
  Descriptor file_;
  std::string temporary_;
};

// The pieces laid end to end, through a temporary file beside the path.
absl::Status WritePiecesAtomically(const std::string& path, const std::vector<std::string_view>& pieces);

}  // namespace espalier
