// The disk under the coordinator's state: whether there is room to commit, and how much the database takes.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace espalier {

class StateDisk {
 public:
  struct Space {
    int64_t free_bytes = 0;  // for this user
    int64_t size_bytes = 0;
    int64_t store_bytes = 0;  // the database with its log; 0 when it is no file here
  };

  // `database`: the SQLite file, empty when the store lies elsewhere. Less than `reserve_bytes` free is too little.
  StateDisk(std::string folder, std::string database, int64_t reserve_bytes)
      : folder_(std::move(folder)), database_(std::move(database)), reserve_bytes_(reserve_bytes) {}

  // Asks the file system; zeros where it does not answer.
  Space Look() const;
  // kResourceExhausted with both numbers when there is less room than the reserve.
  absl::Status CheckRoom() const;
  int64_t reserve_bytes() const { return reserve_bytes_; }

 private:
  const std::string folder_;
  const std::string database_;
  const int64_t reserve_bytes_;
};

}  // namespace espalier
