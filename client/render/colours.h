// The few colours of the program, chosen to be readable on light and dark.
#pragma once

#include <string>

namespace espalier {

inline constexpr char kBold[] = "\x1b[1m";
inline constexpr char kDim[] = "\x1b[2m";
inline constexpr char kRed[] = "\x1b[31m";
inline constexpr char kGreen[] = "\x1b[32m";
inline constexpr char kYellow[] = "\x1b[33m";
inline constexpr char kCyan[] = "\x1b[36m";

inline std::string Paint(const std::string& text, const char* colour) { return colour + text + "\x1b[0m"; }

// The colour of a job's or worker's state, or of a check's verdict; nullptr for any other text.
inline const char* ColourOfState(const std::string& text) {
  if (text == "succeeded" || text == "ok") return kGreen;
  if (text == "failed" || text == "lost" || text == "quarantined" || text == "wrong") return kRed;
  if (text == "running" || text == "busy") return kCyan;
  if (text == "paused" || text == "draining" || text == "cancelled" || text == "warning") return kYellow;
  if (text == "queued" || text == "idle" || text == "skipped") return kDim;
  return nullptr;
}

}  // namespace espalier
