// Room on the device for the tasks that train there: each says how much it takes, and what caches hold beyond that goes.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

namespace espalier {

// Thread-safe.
class DeviceRoom {
 public:
  // `bytes`: for all that is held and promised.
  explicit DeviceRoom(int64_t bytes) : bytes_(bytes) {}

  // What lies on the device already.
  struct Holder {
    std::function<int64_t()> bytes;
    std::function<bool()> give;  // lets go of one thing, the least useful one; false when there is none. May be empty
    int64_t keep = 0;            // gives only while it holds more than that
  };

  // A promise; taken back when it is destroyed or assigned to.
  class Hold {
   public:
    Hold() = default;
    Hold(Hold&& other) noexcept : promised_(std::exchange(other.promised_, nullptr)), bytes_(other.bytes_) {}
    Hold& operator=(Hold&& other) noexcept {
      Release();
      promised_ = std::exchange(other.promised_, nullptr);
      bytes_ = other.bytes_;
      return *this;
    }
    ~Hold() { Release(); }
    void Release() {
      if (promised_ != nullptr) *promised_ -= bytes_;
      promised_ = nullptr;
    }

   private:
    friend class DeviceRoom;
    Hold(std::atomic<int64_t>* promised, int64_t bytes) : promised_(promised), bytes_(bytes) { *promised_ += bytes_; }
    std::atomic<int64_t>* promised_ = nullptr;
    int64_t bytes_ = 0;
  };

  // Promises `bytes` to the caller. While that is too much beside the other promises and what is held, the holders give,
  // the first one as long as it can. What nobody gives stays: the promise is made all the same.
  Hold Take(int64_t bytes, const std::vector<Holder>& holders);

  int64_t promised() const { return promised_; }

 private:
  const int64_t bytes_;
  std::mutex mutex_;  // held while holders give, so that two tasks do not both drop what one of them needs dropped
  std::atomic<int64_t> promised_ = 0;
};

}  // namespace espalier
