// Names of the tensors of a layer that a bank can change, as in a Hugging Face folder after "model.layers.<i>.".
#pragma once

namespace espalier {

inline constexpr char kOWeight[] = "self_attn.o_proj.weight";
inline constexpr char kOBias[] = "self_attn.o_proj.bias";
inline constexpr char kDownWeight[] = "mlp.down_proj.weight";
inline constexpr char kDownBias[] = "mlp.down_proj.bias";

}  // namespace espalier
