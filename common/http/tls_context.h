// The TLS side of the HTTP port: a context that follows its files.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/security/secret_file.h"

namespace espalier {

// Used on one thread.
class TlsContext {
 public:
  TlsContext(std::string certificate_path, std::string key_path, absl::Duration reload_every)
      : certificate_path_(std::move(certificate_path)), key_path_(std::move(key_path)), reload_every_(reload_every) {}

  // kInvalidArgument when the files cannot be used.
  absl::Status Load();
  // For a new connection, which keeps it. Files that have changed are loaded first; wrong ones leave the earlier context.
  std::shared_ptr<boost::asio::ssl::context> Current();

 private:
  const std::string certificate_path_;
  const std::string key_path_;
  const absl::Duration reload_every_;
  SteadyClock clock_;
  absl::Time looked_at_ = absl::InfinitePast();
  FileStamp certificate_stamp_;
  FileStamp key_stamp_;
  std::shared_ptr<boost::asio::ssl::context> context_;
};

}  // namespace espalier
