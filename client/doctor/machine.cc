#include "client/doctor/machine.h"

#include <netdb.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/render/format.h"
#include "common/base/descriptor.h"
#include "common/base/files.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kGib = int64_t{1} << 30;
constexpr int64_t kLeastMemory = 2 * kGib;      // what a worker with LibTorch takes on the smallest models
constexpr int64_t kLittleDisk = 10 * kGib;      // a level bank of a small model and its results
constexpr int64_t kTooLittleDisk = kGib;

int64_t FromMeminfo(const char* name) {
  const absl::StatusOr<std::string> text = ReadFile("/proc/meminfo", 1 << 20);
  if (!text.ok()) return 0;
  for (const absl::string_view line : absl::StrSplit(*text, '\n')) {
    if (!absl::StartsWith(line, name)) continue;
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    int64_t kib = 0;
    if (words.size() > 1 && absl::SimpleAtoi(words[1], &kib)) return kib * 1024;
  }
  return 0;
}

Descriptor StreamSocket(int family) { return Descriptor(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)); }

Check WrongAddress(const std::string& address, const std::string& why, const std::string& remedy) {
  return {"address", Verdict::kWrong, absl::StrCat(address, ": ", why), remedy};
}

Check CheckUnixAddress(const std::string& address, const std::string& path) {
  sockaddr_un socket_address = {};
  if (path.empty() || path.size() >= sizeof(socket_address.sun_path)) {
    return WrongAddress(address, absl::StrCat("a socket's path has at most ", sizeof(socket_address.sun_path) - 1, " characters"),
                        "name a shorter one");
  }
  const fs::path parent = fs::path(path).has_parent_path() ? fs::path(path).parent_path() : fs::path(".");
  if (::access(parent.c_str(), W_OK | X_OK) != 0)
    return WrongAddress(address, absl::StrCat("cannot make a file in ", parent.string(), ": ", std::strerror(errno)),
                        "name a folder that you may write to");
  socket_address.sun_family = AF_UNIX;
  path.copy(socket_address.sun_path, path.size());
  const Descriptor socket = StreamSocket(AF_UNIX);
  const bool answers =
      ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&socket_address), sizeof(socket_address)) == 0;
  if (answers)
    return {"address", Verdict::kWarning, absl::StrCat(address, ": something listens there already"),
            "that is right if it is your coordinator; a second one needs another path"};
  return {"address", Verdict::kOk, absl::StrCat(address, ": free")};
}

Check CheckTcpAddress(const std::string& address) {
  const size_t colon = address.rfind(':');
  int port = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(address.substr(colon + 1), &port) || port < 0 || port > 65535)
    return WrongAddress(address, "is not HOST:PORT or unix:PATH", "write it as 0.0.0.0:7070 or unix:/run/espalier.sock");
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.empty() ? nullptr : host.c_str(), absl::StrCat(port).c_str(), &hints, &found);
  if (error != 0)
    return WrongAddress(address, absl::StrCat("no such host: ", ::gai_strerror(error)), "check the name, or name an address");
  const Descriptor socket = StreamSocket(found->ai_family);
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  const bool is_free = ::bind(socket.get(), found->ai_addr, found->ai_addrlen) == 0 && ::listen(socket.get(), 1) == 0;
  const int why = errno;
  ::freeaddrinfo(found);
  if (is_free && absl::EndsWith(address, ":0")) return {"address", Verdict::kOk, absl::StrCat(address, ": a port can be had")};
  if (is_free) return {"address", Verdict::kOk, absl::StrCat(address, ": free")};
  if (why == EADDRINUSE)
    return WrongAddress(address, "something listens there already",
                        absl::StrCat("`ss -ltnp 'sport = :", port, "'` says what; end it or choose another port"));
  return WrongAddress(address, std::strerror(why),
                      why == EACCES ? "ports below 1024 need a privilege: choose a higher one"
                                    : "name an address of this machine");
}

}  // namespace

Check JudgeMachine(int cores, int64_t memory_bytes, int64_t available_bytes) {
  Check check{"machine", Verdict::kOk,
              absl::StrCat(cores, cores == 1 ? " core, " : " cores, ", FormatBytes(static_cast<double>(memory_bytes)),
                           " of memory, ", FormatBytes(static_cast<double>(available_bytes)), " of it available")};
  if (available_bytes < kLeastMemory) {
    check.verdict = Verdict::kWarning;
    check.remedy = "a worker needs about 2 GiB for the smallest models: end other programs, or run fewer workers";
  }
  return check;
}

Check JudgeDisk(const std::string& folder, int64_t free_bytes, int64_t total_bytes) {
  Check check{"disk", Verdict::kOk, absl::StrCat(folder, ": ", FormatBytes(static_cast<double>(free_bytes)), " free of ",
                                                 FormatBytes(static_cast<double>(total_bytes)))};
  if (free_bytes >= kLittleDisk) return check;
  check.verdict = free_bytes < kTooLittleDisk ? Verdict::kWrong : Verdict::kWarning;
  check.remedy = "make room, or name another folder: `espalier submit --validate-only` says how large a job's level bank is";
  return check;
}

Check CheckMachine() {
  return JudgeMachine(static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN)), FromMeminfo("MemTotal:"),
                      FromMeminfo("MemAvailable:"));
}

Check CheckDisk(const std::string& folder) {
  std::error_code error;
  fs::path path = fs::absolute(folder, error).lexically_normal();
  while (!fs::exists(path, error) && path != path.parent_path()) path = path.parent_path();
  struct statvfs info = {};
  if (::statvfs(path.c_str(), &info) != 0)
    return {"disk", Verdict::kWrong, absl::StrCat(folder, ": ", std::strerror(errno)), "name a folder of a mounted disk"};
  if (::access(path.c_str(), W_OK) != 0)
    return {"disk", Verdict::kWrong, absl::StrCat(folder, ": cannot write to ", path.string(), ": ", std::strerror(errno)),
            "name a folder that you may write to"};
  return JudgeDisk(folder, static_cast<int64_t>(info.f_bavail) * static_cast<int64_t>(info.f_frsize),
                   static_cast<int64_t>(info.f_blocks) * static_cast<int64_t>(info.f_frsize));
}

Check CheckAddress(const std::string& address) {
  return absl::StartsWith(address, "unix:") ? CheckUnixAddress(address, address.substr(5)) : CheckTcpAddress(address);
}

}  // namespace espalier
