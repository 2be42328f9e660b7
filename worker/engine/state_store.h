// Retained training states: what CONTINUE goes on from. A state is held as the live candidate with its trainer on the
// device, as a TrainState on the device where that is much smaller, as one in host memory, or as a file, and moves down when
// room gets short; at the bottom it is dropped, because a state can always be replayed.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "worker/engine/engine.h"
#include "worker/train/trainer.h"

namespace espalier {

// An assembled candidate and the trainer that owns its weights. Destroyed in the right order.
struct TrainedCandidate {
  std::shared_ptr<const LanguageModel> dense;  // whose weights the trainer's graph may read
  std::unique_ptr<LanguageModel> model;
  std::unique_ptr<Trainer> trainer;  // null: not trained yet
  TrainSettings settings;            // of the trainer
};

// What a live candidate takes on the device, roughly: compute weights, gradients and buffers beside masters and moments.
int64_t LiveBytesOf(const Trainer& trainer);

struct StateStoreOptions {
  int64_t device_bytes = 0;  // live candidates and states on the device
  int64_t host_bytes = 0;
  int64_t disk_bytes = 0;
  std::function<bool()> device_is_tight;  // true: move live candidates down even within the budget; may be empty
  StateLocation live_location = StateLocation::kDevice;  // what to call a live candidate's place: kHost on CPU
};

// Thread-safe. The trainers inside belong to the store until they are taken out. List and KeepOnly never wait for a
// state that is being moved: they come from the thread that keeps the worker's leases alive.
class StateStore {
 public:
  explicit StateStore(StateStoreOptions options);
  ~StateStore();  // removes the files

  // What was held under a name: a live candidate, or a state to restore.
  struct Held {
    TrainedCandidate candidate;  // model is null when `state` is set
    std::optional<TrainState> state;
  };

  // Takes the candidate over under this name; an older state of the same name goes.
  void Retain(const StateKey& key, ContinueState format, TrainedCandidate candidate);
  // Takes the state out, so that its owner may train it on. Empty when it is not held (any more).
  std::optional<Held> Take(const StateKey& key);
  // A copy; the state stays. Empty when it is not held.
  std::optional<TrainState> Copy(const StateKey& key);

  std::vector<RetainedState> List() const;
  // Forgets all others at once; they are destroyed by the next task's thread (see Sweep), because a task may be
  // capturing a graph meanwhile.
  void KeepOnly(const std::vector<StateKey>& keep);
  // Destroys what KeepOnly forgot. For the thread of a task, between its steps; the other methods do it as well.
  void Sweep();
  // Whether the device's memory is short beside what is held here.
  bool IsTight() const { return options_.device_is_tight && options_.device_is_tight(); }
  // Moves every live candidate off the device.
  void SpillDevice();
  int64_t device_bytes() const;  // of what lies on the device
  bool MoveOneToHost();          // what was retained there longest ago; false when nothing is there

 private:
  struct Entry {
    StateKey key;
    ContinueState format = ContinueState::kFull;
    StateLocation location = StateLocation::kHost;
    int64_t bytes = 0;
    TrainedCandidate candidate;       // when live
    std::optional<TrainState> state;  // on the device or in host memory
    std::string path;                 // on disk
    bool live() const { return candidate.trainer != nullptr; }
    bool parked() const { return state.has_value() && location == StateLocation::kDevice; }
  };
  using Entries = std::list<Entry>;

  Entries::iterator Find(const StateKey& key);
  void Remove(Entries::iterator entry);
  void RemoveForgotten();
  void Publish();
  int64_t DeviceBytes() const;  // of live candidates and parked states
  int64_t BytesAt(StateLocation location) const;  // of states that are not live
  // Each moves one entry a step down; false when it could not be saved (it is gone then).
  static void Keep(Entry& entry, TrainState state, StateLocation location);
  bool CanPark(const Entry& entry) const;
  bool Park(Entry& entry);  // false: it stays live
  bool MoveToHost(Entry& entry);
  bool MoveToDisk(Entry& entry);
  void Rebalance(bool spill_all_live);
  void RebalanceHost();
  std::optional<TrainState> ReadState(const Entry& entry) const;

  const StateStoreOptions options_;
  mutable std::mutex mutex_;
  Entries entries_;     // oldest first
  std::string folder_;  // made when the first state goes to disk
  int64_t next_file_ = 0;

  mutable std::mutex list_mutex_;      // taken after mutex_, held for moments only
  std::vector<RetainedState> listed_;  // entries_ without the forgotten ones
  std::set<StateKey> forgotten_;
};

}  // namespace espalier
