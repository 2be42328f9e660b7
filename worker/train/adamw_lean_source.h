// The kernels of AdamW without fp32 masters: the bf16 weights are read, advanced in fp32 and rounded stochastically in place. They
// follow kAdamWSource, the one for moments of one byte kAdamWByteSource too. Per parameter they move 2 bytes of gradient, 4 of weight
// and 8, 4 or 2 + 8, 4 or 2 of moments: 14 with moments in bf16. `master` and `weights` are the same memory.
#pragma once

namespace espalier {

inline constexpr char kAdamWLeanSource[] = R"cuda(
extern "C" __global__ void adamw_lean_float(const __grid_constant__ Leaves leaves, bf16* master, float* first, float* second,
                                            bf16* weights, const float* learning_rate, const float* step, const float* all_steps,
                                            const float* clip, Settings s) {
  Step(leaves, master, first, second, weights, learning_rate, step, all_steps, clip, s);
}
extern "C" __global__ void adamw_lean_bf16(const __grid_constant__ Leaves leaves, bf16* master, bf16* first, bf16* second,
                                           bf16* weights, const float* learning_rate, const float* step, const float* all_steps,
                                           const float* clip, Settings s) {
  Step(leaves, master, first, second, weights, learning_rate, step, all_steps, clip, s);
}
)cuda";

inline constexpr char kAdamWLeanByteSource[] = R"cuda(
extern "C" __global__ void __launch_bounds__(kThreads)
    adamw_lean_byte(const __grid_constant__ Leaves leaves, unsigned first_tile, bf16* master, unsigned char* first, float* first_scales,
                    unsigned char* second, float* second_scales, const float* table, bf16* weights, const float* learning_rate,
                    const float* step, const float* all_steps, const float* clip, Settings s) {
  StepBytes(leaves, first_tile, master, first, first_scales, second, second_scales, table, weights, learning_rate, step, all_steps,
            clip, s);
}
)cuda";

}  // namespace espalier
