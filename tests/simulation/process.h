// What coordinators' and workers' processes have in common: they run, stand still, or are dead.
#pragma once

#include <functional>
#include <utility>
#include <vector>

namespace espalier::simulation {

class Process {
 public:
  virtual ~Process() = default;
  bool is_alive() const { return is_alive_; }
  bool is_paused() const { return is_paused_; }
  bool is_running() const { return is_alive_ && !is_paused_; }

  // Now, or when the process goes on; never when it is dead.
  void Do(std::function<void()> action) {
    if (!is_alive_) return;
    if (is_paused_) {
      waiting_.push_back(std::move(action));
    } else {
      action();
    }
  }
  void Pause() {
    is_paused_ = true;
    ++num_pauses_;
  }
  int num_pauses() const { return num_pauses_; }
  void Continue() {
    is_paused_ = false;
    for (std::function<void()>& action : std::exchange(waiting_, {})) {
      Do(std::move(action));
    }
  }

 protected:
  void MarkDead() {
    is_alive_ = false;
    waiting_.clear();
  }

 private:
  bool is_alive_ = true;
  bool is_paused_ = false;
  int num_pauses_ = 0;
  std::vector<std::function<void()>> waiting_;
};

}  // namespace espalier::simulation
