#include "common/domain/windows.h"

#include <algorithm>
#include <array>
#include <map>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"

namespace espalier {
namespace {

constexpr int kPeriod = 32;

// The pool of window i is kPoolTable[i % 32]. Each pool is spread over the period, so that neighbours in the file
// (which share their subject) fall into different pools and every pool sees the whole file.
constexpr Pool C = Pool::kCalibrate, T = Pool::kTrain, S = Pool::kScore, E = Pool::kSelect, R = Pool::kReport;
constexpr std::array<Pool, kPeriod> kPoolTable = {T, C, T, S, T, T, E, T, T, C, T, T, T, S, T, R,
                                                  T, C, T, T, E, T, T, S, T, C, T, T, E, T, T, T};

std::vector<int64_t> OffsetsOf(Pool pool) {
  std::vector<int64_t> offsets;
  for (int i = 0; i < kPeriod; ++i) {
    if (kPoolTable[i] == pool) offsets.push_back(i);
  }
  return offsets;
}

}  // namespace

const char* Name(Pool pool) {
  switch (pool) {
    case Pool::kCalibrate: return "calibrate";
    case Pool::kTrain: return "train";
    case Pool::kScore: return "score";
    case Pool::kSelect: return "select";
    case Pool::kReport: return "report";
  }
  return "unknown";
}

std::vector<int64_t> PoolWindows(Pool pool, int64_t num_windows) {
  const std::vector<int64_t> offsets = OffsetsOf(pool);
  std::vector<int64_t> windows;
  for (int64_t begin = 0; begin < num_windows; begin += kPeriod) {
    for (int64_t offset : offsets) {
      if (begin + offset < num_windows) windows.push_back(begin + offset);
    }
  }
  return windows;
}

int64_t PoolSize(Pool pool, int64_t num_windows) {
  const std::vector<int64_t> offsets = OffsetsOf(pool);
  const int64_t rest = num_windows % kPeriod;
  return num_windows / kPeriod * static_cast<int64_t>(offsets.size()) +
         std::count_if(offsets.begin(), offsets.end(), [&](int64_t offset) { return offset < rest; });
}

int64_t WindowsForPool(Pool pool, int64_t count) {
  if (count <= 0) return 0;
  const std::vector<int64_t> offsets = OffsetsOf(pool);
  const int64_t size = static_cast<int64_t>(offsets.size());
  return (count - 1) / size * kPeriod + offsets[(count - 1) % size] + 1;
}

std::string ToText(const WindowKey& key) {
  return absl::StrCat(Name(key.pool), "/", key.seed, "/", key.phase, "/", key.draw);
}

absl::StatusOr<std::vector<int64_t>> SelectWindows(const WindowKey& key, int64_t num_windows, int64_t count,
                                                   bool repeat) {
  if (count < 0)
    return absl::InvalidArgumentError(absl::StrCat("asked for ", count, " windows of the ", Name(key.pool), " pool"));
  const std::vector<int64_t> pool = PoolWindows(key.pool, num_windows);
  const int64_t size = static_cast<int64_t>(pool.size());
  if (size < count && (!repeat || size == 0)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the ", Name(key.pool), " pool has ", size, " windows, ", count, " are needed: the token file has ",
        num_windows, " windows and needs ", WindowsForPool(key.pool, repeat ? 1 : count)));
  }
  std::vector<int64_t> selected;
  selected.reserve(count);
  for (int64_t epoch = 0; static_cast<int64_t>(selected.size()) < count; ++epoch) {
    const std::vector<int64_t> order =
        KeyedPermutation(key.seed, absl::StrCat("windows/", Name(key.pool)), {key.phase, key.draw, epoch}, size);
    for (int64_t i = 0; i < size && static_cast<int64_t>(selected.size()) < count; ++i)
      selected.push_back(pool[order[i]]);
  }
  return selected;
}

absl::StatusOr<std::vector<Step>> StepsOf(const StreamRange& range, int64_t num_windows, int sequence_length,
                                          int tokens_per_step) {
  if (range.begin < 0 || range.end < range.begin || sequence_length < 1 || tokens_per_step < 1) {
    return absl::InvalidArgumentError(absl::StrCat("the stream range [", range.begin, ", ", range.end,
                                                   ") with windows of ", sequence_length, " and ", tokens_per_step,
                                                   " tokens a step cannot be walked"));
  }
  std::vector<Step> steps;
  if (range.begin == range.end) return steps;
  ESPALIER_ASSIGN_OR_RETURN(
      const std::vector<int64_t> windows,
      SelectWindows(range.key, num_windows, WindowsForTokens(range.end, sequence_length), range.repeat));
  std::vector<int64_t> ends = range.stage_ends;
  ends.push_back(range.end);
  std::sort(ends.begin(), ends.end());
  int64_t position = range.begin;
  for (int64_t end : ends) {
    end = std::min(end, range.end);
    int room = 0;  // a new step after every stage end
    while (position < end) {
      const int64_t window_end = (position / sequence_length + 1) * sequence_length;
      int64_t length = std::min(end, window_end) - position;
      // A piece that does not fit beside the others starts a step of its own rather than losing its context.
      if (length > room) {
        steps.emplace_back();
        room = tokens_per_step;
        length = std::min<int64_t>(length, tokens_per_step);
      }
      steps.back().push_back({windows[position / sequence_length], static_cast<int>(position % sequence_length),
                              static_cast<int>(length)});
      room -= static_cast<int>(length);
      position += length;
    }
  }
  return steps;
}

int64_t WindowsForTokens(int64_t tokens, int sequence_length) {
  return tokens <= 0 ? 0 : (tokens - 1) / sequence_length + 1;
}

int ResolveSequenceLength(int asked, int row_length_of_file, int max_positions) {
  if (asked > 0) return asked;
  if (row_length_of_file > 0) return row_length_of_file;
  return max_positions > 0 ? std::min(1024, max_positions) : 1024;
}

}  // namespace espalier
