// The machine: cores and memory, room on disks, addresses that can be listened on.
#pragma once

#include <cstdint>
#include <string>

#include "client/doctor/check.h"

namespace espalier {

Check CheckMachine();
// The file system that the folder (or its nearest existing parent) lies on, and whether it can be written.
Check CheckDisk(const std::string& folder);
// HOST:PORT or unix:PATH, as the coordinator's --listen and --http take them: binds it for a moment.
Check CheckAddress(const std::string& address);

// What the figures mean.
Check JudgeMachine(int cores, int64_t memory_bytes, int64_t available_bytes);
Check JudgeDisk(const std::string& folder, int64_t free_bytes, int64_t total_bytes);

}  // namespace espalier
