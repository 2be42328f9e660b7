// The CUDA source of a block of removals, compiled at run time (removal_kernel.h).
#pragma once

namespace espalier {

inline constexpr char kRemovalSource[] = R"cuda(
// Removes `steps` columns, one after another, in one launch (eliminate.cc says what a removal computes). Every thread
// block keeps `width` columns: their part of the rows u and v so far lies in its shared memory, their diagonals in
// registers. Blocks meet once a removal, after they have shown their diagonals and the lowest score among their columns;
// what is shown alternates between two places, so that nobody writes what a slower block still reads.
//
// Launch: cooperative; blockDim.x a multiple of 32 and at least `width`; shared memory as removal_kernel.cc counts it.

// The largest double is of no column: those that are gone have an infinite score.
#define NO_SCORE __longlong_as_double(0x7fefffffffffffffLL)

struct Shown {  // both [2, columns] or [2, gridDim.x]: by parity of the step
  double* inverse;
  double* gram;
  double* lowest;
};

// All blocks have arrived `times` times, and see what the others wrote before.
__device__ void Meet(unsigned* arrived, unsigned times) {
  __syncthreads();
  if (threadIdx.x == 0) {
    asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(arrived) : "memory");
    unsigned now = 0;
    do {
      asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(now) : "l"(arrived) : "memory");
    } while (now < times * gridDim.x);
  }
  __syncthreads();
}

__device__ double Score(double inverse, double gram) { return fmax(gram / inverse, 0.0); }

// The lowest column whose score is the smallest, ties included, and its diagonals; by the first warp.
__device__ void Choose(const Shown& shown, int n, int width, int parity, int* chosen, double* diagonals) {
  const int lane = threadIdx.x;
  const unsigned all = 0xffffffffu;
  const int blocks = gridDim.x;
  double lowest = NO_SCORE;
  for (int b = lane; b < blocks; b += 32) lowest = fmin(lowest, __ldcg(shown.lowest + parity * blocks + b));
  for (int mask = 16; mask > 0; mask /= 2) lowest = fmin(lowest, __shfl_xor_sync(all, lowest, mask));
  const double threshold = lowest * (1.0 + 1e-9);
  int first = blocks;
  for (int b = lane; b < blocks; b += 32) {
    if (__ldcg(shown.lowest + parity * blocks + b) <= threshold) first = min(first, b);
  }
  for (int mask = 16; mask > 0; mask /= 2) first = min(first, __shfl_xor_sync(all, first, mask));
  if (first == blocks) first = 0;
  const int end = min(n, (first + 1) * width);
  if (lane == 0) *chosen = first * width;
  __syncwarp();
  for (int begin = first * width; begin < end; begin += 64) {
    const int near = begin + lane, far = near + 32;  // both are asked for before either is looked at
    const double* const inverse = shown.inverse + (long long)parity * n;
    const double* const gram = shown.gram + (long long)parity * n;
    const double near_inverse = near < end ? __ldcg(inverse + near) : 1.0, near_gram = near < end ? __ldcg(gram + near) : 0.0;
    const double far_inverse = far < end ? __ldcg(inverse + far) : 1.0, far_gram = far < end ? __ldcg(gram + far) : 0.0;
    const unsigned tied_near = __ballot_sync(all, near < end && Score(near_inverse, near_gram) <= threshold);
    const unsigned tied_far = __ballot_sync(all, far < end && Score(far_inverse, far_gram) <= threshold);
    if (tied_near == 0 && tied_far == 0) continue;
    if (lane == __ffs(tied_near != 0 ? tied_near : tied_far) - 1) {
      *chosen = tied_near != 0 ? near : far;
      diagonals[0] = tied_near != 0 ? near_inverse : far_inverse;
      diagonals[1] = tied_near != 0 ? near_gram : far_gram;
    }
    return;
  }
}

extern "C" __global__ void __launch_bounds__(512, 1)
RemoveColumns(const double* __restrict__ base,  // [n, 2, n]: rows of M and C before the launch
              double* late,                     // [3, block, n]: u, v and again u of every step
              double* diagonals,                // [2, n] of M and C, in and out
              const long long* ids, long long* order,
              double* shown_diagonals,          // [2, 2, n]
              double* shown_lowest,             // [2, gridDim.x]
              unsigned* arrived,                // zero
              int n, int width, int block, int steps, int alive) {
  extern __shared__ double memory[];
  __shared__ int chosen;
  __shared__ double at_chosen[2];
  const int padded = (width + 31) / 32 * 32;
  const int slices = blockDim.x / padded;
  const int slice = threadIdx.x / padded;
  const int mine = threadIdx.x % padded;
  const int column = blockIdx.x * width + mine;
  const bool has_column = mine < width && column < n && slice < slices;
  const bool leads = slice == 0;
  double* const late_u = memory;                   // [block, width]
  double* const late_v = late_u + block * width;   // [block, width]
  double* const there_u = late_v + block * width;  // [block]: u of all steps at the chosen column
  double* const there_v = there_u + block;         // [block]
  double* const sums = there_v + block;            // [slices, 2, padded]
  double* const lows = sums + slices * 2 * padded; // [padded / 32]
  const Shown shown = {shown_diagonals, shown_diagonals + 2 * (long long)n, shown_lowest};
  const double infinity = __longlong_as_double(0x7ff0000000000000LL);

  double inverse_diagonal = 1.0, gram_diagonal = infinity;
  if (leads && has_column) {
    inverse_diagonal = diagonals[column];
    gram_diagonal = diagonals[n + column];
  }
  unsigned meetings = 0;
  for (int step = 0; step < steps; ++step) {
    const int parity = step & 1;
    if (leads) {
      double low = NO_SCORE;
      if (has_column) {
        shown.inverse[(long long)parity * n + column] = inverse_diagonal;
        shown.gram[(long long)parity * n + column] = gram_diagonal;
        low = fmin(low, Score(inverse_diagonal, gram_diagonal));
      }
      for (int mask = 16; mask > 0; mask /= 2) low = fmin(low, __shfl_xor_sync(0xffffffffu, low, mask));
      if (threadIdx.x % 32 == 0) lows[threadIdx.x / 32] = low;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      double low = lows[0];
      for (int warp = 1; warp < padded / 32; ++warp) low = fmin(low, lows[warp]);
      shown.lowest[parity * gridDim.x + blockIdx.x] = low;
    }
    Meet(arrived, ++meetings);
    if (threadIdx.x < 32) Choose(shown, n, width, parity, &chosen, at_chosen);
    __syncthreads();
    const long long position = chosen;
    if (blockIdx.x == 0 && threadIdx.x == 0) order[step] = ids[position];
    if (alive - step == 1) break;

    double inverse_row = 0.0, gram_row = 0.0;
    if (leads && has_column) {
      inverse_row = __ldcg(base + 2 * position * n + column);
      gram_row = __ldcg(base + (2 * position + 1) * n + column);
    }
    for (int i = threadIdx.x; i < 2 * step; i += blockDim.x) {
      const long long row = i < step ? i : block + i - step;
      const double value = __ldcg(late + row * n + position);
      (i < step ? there_u[i] : there_v[i - step]) = value;
    }
    __syncthreads();
    if (slice < slices) {
      double inverse_sum = 0.0, gram_sum = 0.0;
      if (has_column) {
        for (int j = slice; j < step; j += slices) {
          const double u = late_u[j * width + mine];
          inverse_sum += u * there_u[j];
          gram_sum += u * there_v[j] + late_v[j * width + mine] * there_u[j];
        }
      }
      sums[(slice * 2) * padded + mine] = inverse_sum;
      sums[(slice * 2 + 1) * padded + mine] = gram_sum;
    }
    __syncthreads();
    if (leads && has_column) {
      for (int other = 0; other < slices; ++other) {
        inverse_row -= sums[(other * 2) * padded + mine];
        gram_row -= sums[(other * 2 + 1) * padded + mine];
      }
      const double scale = 1.0 / sqrt(at_chosen[0]);
      double u = inverse_row * scale;
      double v = (gram_row - 0.5 * u * (at_chosen[1] * scale)) * scale;
      if (isinf(gram_diagonal)) u = v = 0.0;  // gone before
      late_u[step * width + mine] = u;
      late_v[step * width + mine] = v;
      late[(long long)step * n + column] = u;
      late[((long long)block + step) * n + column] = v;
      late[(2LL * block + step) * n + column] = u;
      inverse_diagonal -= u * u;
      gram_diagonal -= 2.0 * u * v;
      if (column == position) {
        inverse_diagonal = 1.0;
        gram_diagonal = infinity;
      }
    }
  }
  if (leads && has_column) {
    diagonals[column] = inverse_diagonal;
    diagonals[n + column] = gram_diagonal;
  }
}
)cuda";

}  // namespace espalier
