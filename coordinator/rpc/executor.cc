#include "coordinator/rpc/executor.h"

#include <chrono>
#include <utility>

namespace espalier {

Executor::Executor(int num_threads, std::function<void()> tick, absl::Duration tick_every)
    : tick_(std::move(tick)), tick_every_(tick_every) {
  for (int i = 0; i < num_threads; ++i) {
    threads_.emplace_back([this, ticks = i == 0 && tick_ != nullptr] { Run(ticks); });
  }
}

Executor::~Executor() {
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Executor::Post(std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(work));
  }
  wake_.notify_one();
}

bool Executor::TryPost(std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    if (queue_.size() >= max_queued_) return false;
    queue_.push_back(std::move(work));
  }
  wake_.notify_one();
  return true;
}

void Executor::SetLimit(int max_queued) {
  const std::lock_guard lock(mutex_);
  max_queued_ = static_cast<size_t>(max_queued);
}

void Executor::Run(bool ticks) {
  const auto every = absl::ToChronoMicroseconds(tick_every_);
  auto next_tick = std::chrono::steady_clock::now() + every;
  std::unique_lock lock(mutex_);
  while (true) {
    const auto is_ready = [this] { return is_ending_ || !queue_.empty(); };
    if (ticks) {
      wake_.wait_until(lock, next_tick, is_ready);
    } else {
      wake_.wait(lock, is_ready);
    }
    if (ticks && std::chrono::steady_clock::now() >= next_tick) {
      next_tick = std::chrono::steady_clock::now() + every;
      lock.unlock();
      tick_();
      lock.lock();
    }
    if (!queue_.empty()) {
      const std::function<void()> work = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      work();
      lock.lock();
    } else if (is_ending_) {
      return;
    }
  }
}

}  // namespace espalier
