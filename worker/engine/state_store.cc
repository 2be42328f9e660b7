#include "worker/engine/state_store.h"

#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <set>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/base/files.h"

namespace espalier {
namespace {

// A state stays on the device when it is so many times smaller than the live candidate: then many of them fit.
constexpr int64_t kParkingGain = 4;

void RemoveFile(const std::string& path) {
  std::error_code ignored;
  std::filesystem::remove(path, ignored);
}

}  // namespace

int64_t LiveBytesOf(const Trainer& trainer) { return trainer.state_bytes(ContinueState::kFull) * 3 / 2; }

StateStore::StateStore(StateStoreOptions options) : options_(std::move(options)) {}

StateStore::~StateStore() {
  if (folder_.empty()) return;
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

StateStore::Entries::iterator StateStore::Find(const StateKey& key) {
  return std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) { return entry.key == key; });
}

void StateStore::Remove(Entries::iterator entry) {
  if (!entry->path.empty()) RemoveFile(entry->path);
  entries_.erase(entry);
}

void StateStore::Retain(const StateKey& key, ContinueState format, TrainedCandidate candidate) {
  std::lock_guard lock(mutex_);
  RemoveForgotten();
  if (const auto old = Find(key); old != entries_.end()) Remove(old);
  Entry entry;
  entry.key = key;
  entry.format = format;
  entry.location = options_.live_location;
  entry.bytes = LiveBytesOf(*candidate.trainer);
  entry.candidate = std::move(candidate);
  entries_.push_back(std::move(entry));
  Rebalance(false);
  Publish();
}

std::optional<StateStore::Held> StateStore::Take(const StateKey& key) {
  std::lock_guard lock(mutex_);
  RemoveForgotten();
  const auto entry = Find(key);
  if (entry == entries_.end()) return std::nullopt;
  Held held;
  if (entry->live()) {
    held.candidate = std::move(entry->candidate);
  } else {
    held.state = ReadState(*entry);
  }
  const bool readable = held.state.has_value() || held.candidate.trainer != nullptr;
  Remove(entry);
  Publish();
  if (!readable) return std::nullopt;
  return held;
}

std::optional<TrainState> StateStore::Copy(const StateKey& key) {
  std::lock_guard lock(mutex_);
  RemoveForgotten();
  const auto entry = Find(key);
  if (entry == entries_.end()) return std::nullopt;
  if (!entry->live()) return ReadState(*entry);
  auto state = entry->candidate.trainer->Save(entry->format);
  if (!state.ok()) return std::nullopt;
  return *std::move(state);
}

std::optional<TrainState> StateStore::ReadState(const Entry& entry) const {
  if (entry.state.has_value()) return entry.state;
  const auto bytes = ReadFile(entry.path, std::numeric_limits<int64_t>::max());
  if (!bytes.ok()) return std::nullopt;
  auto state = TrainStateFromBytes(*bytes, entry.path);
  if (!state.ok()) return std::nullopt;
  return *std::move(state);
}

void StateStore::RemoveForgotten() {
  std::set<StateKey> forgotten;
  {
    std::lock_guard lock(list_mutex_);
    forgotten.swap(forgotten_);
  }
  for (const StateKey& key : forgotten) {
    if (const auto entry = Find(key); entry != entries_.end()) Remove(entry);
  }
}

void StateStore::Publish() {
  std::lock_guard lock(list_mutex_);
  listed_.clear();
  for (const Entry& entry : entries_) {
    if (!forgotten_.contains(entry.key)) listed_.push_back({entry.key, entry.bytes, entry.location});
  }
}

std::vector<RetainedState> StateStore::List() const {
  std::lock_guard lock(list_mutex_);
  return listed_;
}

void StateStore::KeepOnly(const std::vector<StateKey>& keep) {
  const std::set<StateKey> kept(keep.begin(), keep.end());
  std::lock_guard lock(list_mutex_);
  std::erase_if(listed_, [&](const RetainedState& state) {
    if (kept.contains(state.key)) return false;
    forgotten_.insert(state.key);
    return true;
  });
}

void StateStore::Sweep() {
  std::lock_guard lock(mutex_);
  RemoveForgotten();
  Publish();
}

void StateStore::SpillDevice() {
  std::lock_guard lock(mutex_);
  RemoveForgotten();
  Rebalance(true);
  Publish();
}

int64_t StateStore::device_bytes() const {
  std::lock_guard lock(mutex_);
  return DeviceBytes();
}

bool StateStore::MoveOneToHost() {
  std::lock_guard lock(mutex_);
  const auto entry = std::find_if(entries_.begin(), entries_.end(), [](const Entry& each) {
    return each.location == StateLocation::kDevice && (each.live() || each.parked());
  });
  if (entry == entries_.end()) return false;
  if (!MoveToHost(*entry)) Remove(entry);
  RebalanceHost();
  Publish();
  return true;
}

int64_t StateStore::DeviceBytes() const {
  int64_t bytes = 0;
  for (const Entry& entry : entries_) bytes += entry.live() || entry.parked() ? entry.bytes : 0;
  return bytes;
}

int64_t StateStore::BytesAt(StateLocation location) const {
  int64_t bytes = 0;
  for (const Entry& entry : entries_) bytes += !entry.live() && entry.location == location ? entry.bytes : 0;
  return bytes;
}

// Replaces the live candidate by its state.
void StateStore::Keep(Entry& entry, TrainState state, StateLocation location) {
  entry.candidate.trainer.reset();  // before the model that it refers to
  entry.candidate.model.reset();
  state.mask_digest = entry.key.mask_digest;
  state.stream = entry.key.stream;
  state.position = entry.key.position;
  entry.bytes = state.bytes();
  entry.state = std::move(state);
  entry.location = location;
}

bool StateStore::CanPark(const Entry& entry) const {
  const int64_t bytes = entry.candidate.trainer->state_bytes(entry.format);
  return entry.location == StateLocation::kDevice && bytes <= entry.bytes / kParkingGain && bytes <= options_.device_bytes;
}

bool StateStore::Park(Entry& entry) {
  auto state = entry.candidate.trainer->SaveOnDevice(entry.format);
  if (!state.ok()) return false;
  Keep(entry, *std::move(state), StateLocation::kDevice);
  return true;
}

bool StateStore::MoveToHost(Entry& entry) {
  if (entry.parked()) {
    BringToHost(*entry.state);
    entry.location = StateLocation::kHost;
    return true;
  }
  auto state = entry.candidate.trainer->Save(entry.format);
  if (!state.ok()) return false;
  Keep(entry, *std::move(state), StateLocation::kHost);
  return true;
}

bool StateStore::MoveToDisk(Entry& entry) {
  if (entry.bytes > options_.disk_bytes) return false;
  if (folder_.empty()) {
    std::error_code error;
    std::string pattern = (std::filesystem::temp_directory_path(error) / "espalier-states-XXXXXX").string();
    if (error || ::mkdtemp(pattern.data()) == nullptr) return false;
    folder_ = pattern;
  }
  const std::string path = absl::StrCat(folder_, "/", next_file_++);
  if (!WriteFileAtomically(path, ToBytes(*entry.state)).ok()) return false;
  entry.path = path;
  entry.state.reset();
  entry.location = StateLocation::kDisk;
  return true;
}

// Room is made by what was retained longest ago: it is the likeliest to be out of the race, or to wait longest.
void StateStore::Rebalance(bool spill_all_live) {
  const auto is_tight = [&] {
    return spill_all_live || DeviceBytes() > options_.device_bytes ||
           (options_.device_is_tight && options_.device_is_tight());
  };
  const auto oldest = [&](auto&& matches) { return std::find_if(entries_.begin(), entries_.end(), matches); };
  while (is_tight()) {
    auto entry = oldest([](const Entry& each) { return each.live(); });
    if (entry != entries_.end() && !spill_all_live && CanPark(*entry)) {
      const int64_t parked = BytesAt(StateLocation::kDevice) + entry->candidate.trainer->state_bytes(entry->format);
      if (parked <= options_.device_bytes) {
        if (Park(*entry)) continue;
      } else {
        entry = entries_.end();  // room among the parked ones first
      }
    }
    if (entry == entries_.end()) entry = oldest([](const Entry& each) { return each.parked(); });
    if (entry == entries_.end()) break;
    if (!MoveToHost(*entry)) Remove(entry);
  }
  RebalanceHost();
}

void StateStore::RebalanceHost() {
  const auto oldest = [&](auto&& matches) { return std::find_if(entries_.begin(), entries_.end(), matches); };
  while (BytesAt(StateLocation::kHost) > options_.host_bytes) {
    const auto held = oldest([](const Entry& entry) { return entry.state.has_value() && !entry.parked(); });
    if (!MoveToDisk(*held)) Remove(held);
  }
  while (BytesAt(StateLocation::kDisk) > options_.disk_bytes) {
    Remove(oldest([](const Entry& entry) { return !entry.path.empty(); }));
  }
}

}  // namespace espalier
