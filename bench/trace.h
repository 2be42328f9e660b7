// A trace of what the host asked of the device and what the device did, for chrome://tracing or Perfetto.
#pragma once

#include <string>

namespace espalier::bench {

// Between construction and destruction everything is recorded and then written to `path`; nothing with an empty path.
class Trace {
 public:
  explicit Trace(const std::string& path);
  ~Trace();
  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;

 private:
  const std::string path_;
};

}  // namespace espalier::bench
