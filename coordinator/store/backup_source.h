// A store that can write a copy of itself while it is in use.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace espalier {

class BackupSource {
 public:
  virtual ~BackupSource() = default;

  // Writes all that is durable to `path`, a new file that only its owner can read. kAlreadyExists: the file exists.
  // kResourceExhausted: the disk is full. From any thread; the store's other calls wait meanwhile.
  virtual absl::Status Backup(const std::string& path) = 0;
};

}  // namespace espalier
