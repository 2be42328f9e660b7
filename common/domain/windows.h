// Which tokens a task reads. A token file is flattened and cut into non-overlapping windows of one sequence length, the
// tail dropped. Five pools are cut from the windows by index with fixed shares, spread over the whole file and independent
// of the seed. Pure functions of numbers: the coordinator and the worker compute the same windows.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace espalier {

enum class Pool { kCalibrate, kTrain, kScore, kSelect, kReport };
const char* Name(Pool pool);

// Windows of the pool, ascending file indices. Of each 32 consecutive windows: 4 calibrate, 21 train, 3 score, 3 select,
// 1 report, interleaved by a fixed table. Every pool is non-empty from 32 windows on.
std::vector<int64_t> PoolWindows(Pool pool, int64_t num_windows);

// How many windows the pool has, and how many windows a file needs so that the pool has `count`.
int64_t PoolSize(Pool pool, int64_t num_windows);
int64_t WindowsForPool(Pool pool, int64_t count);

// A reproducible sequence of windows of one pool: the keyed permutation of (seed, pool, phase, draw).
struct WindowKey {
  Pool pool = Pool::kTrain;
  uint64_t seed = 0;
  int phase = 0;
  int draw = 0;
  bool operator==(const WindowKey&) const = default;
};
std::string ToText(const WindowKey& key);  // for digests, e.g. "train/7/0/3"

// The first `count` windows (file indices) of the key's permutation. kInvalidArgument, with how many tokens are needed,
// when the pool has fewer and `repeat` is false; with `repeat` the pool is permuted anew for each epoch.
absl::StatusOr<std::vector<int64_t>> SelectWindows(const WindowKey& key, int64_t num_windows, int64_t count, bool repeat);

// A piece of a window that one training row holds. Predictions: length - 1, none for a piece of one token (which a budget
// that ends one token into a window leaves; it may be alone in its step).
struct Piece {
  int64_t window = 0;  // file index
  int begin = 0;
  int length = 0;
  bool operator==(const Piece&) const = default;
};

// One optimiser step: its pieces hold at most tokens_per_step tokens.
using Step = std::vector<Piece>;

// The training stream is the key's windows laid end to end; positions count tokens. Steps of the positions [begin, end):
// pieces are cut at window ends and at stage ends, no step crosses a stage end (so a run straight through takes the same
// steps as one that stopped there). A piece that does not fit beside the others starts a new step; only one longer than a
// whole step is cut. Every token of [begin, end) is in exactly one piece.
struct StreamRange {
  WindowKey key;
  int64_t begin = 0;
  int64_t end = 0;
  std::vector<int64_t> stage_ends;  // ascending positions, may lie outside [begin, end)
  bool repeat = false;              // recovery may run epochs
  bool operator==(const StreamRange&) const = default;
};
absl::StatusOr<std::vector<Step>> StepsOf(const StreamRange& range, int64_t num_windows, int sequence_length, int tokens_per_step);

// Score budgets round up to whole windows.
int64_t WindowsForTokens(int64_t tokens, int sequence_length);

// The sequence length of a job: asked for, else the row length of a two-dimensional token file, else min(1024, max_positions).
int ResolveSequenceLength(int asked, int row_length_of_file, int max_positions);

}  // namespace espalier
