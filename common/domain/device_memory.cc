#include "common/domain/device_memory.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace espalier {
namespace {

// Bytes that a parameter takes: of the dense model (bf16 on CUDA, fp32 on a CPU), and of a candidate in training (weights,
// gradient and two 8-bit moments with their scales on CUDA; all of them in fp32, gradients twice, on a CPU).
struct ParameterBytes {
  int64_t dense, candidate;
};
constexpr ParameterBytes kOnCuda = {2, 7};
constexpr ParameterBytes kOnCpu = {4, 20};

const char* KindOf(DeviceKind device) { return device == DeviceKind::kCuda ? "device memory" : "memory"; }

}  // namespace

std::string MemoryText(int64_t bytes) {
  const double value = static_cast<double>(bytes);
  return bytes < 1'000'000'000 ? absl::StrFormat("%.1f MB", value / 1e6) : absl::StrFormat("%.1f GB", value / 1e9);
}

MemoryNeed LeastMemory(const JobSpec& spec, const JobSize& size) {
  if (spec.minimum_device_memory > 0) {
    return {.bytes = spec.minimum_device_memory, .is_estimate = false, .basis = "the job's minimum_device_memory"};
  }
  const ParameterBytes& each = spec.device == DeviceKind::kCuda ? kOnCuda : kOnCpu;
  const auto candidate = static_cast<int64_t>(static_cast<double>(size.dense_parameters) * size.share);
  MemoryNeed need;
  need.bytes = size.dense_parameters * each.dense + candidate * each.candidate;
  need.basis = absl::StrCat(each.dense, " bytes for each of the dense model's ", size.dense_parameters, " parameters, ",
                            each.candidate, " for each of the ", candidate, " that are trained");
  return need;
}

absl::Status CheckRecoveryFits(const JobSpec& spec, const JobSize& size, std::optional<int64_t> largest,
                               const std::string& whose) {
  if (spec.recovery.tokens == 0) return absl::OkStatus();
  const MemoryNeed need = LeastMemory(spec, size);
  if (!largest.has_value() || *largest >= need.bytes) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "recovery.tokens is ", spec.recovery.tokens, ", but recovery does not fit one device: it needs at least ",
      MemoryText(need.bytes), " of ", KindOf(spec.device), " (", need.basis, "), ", whose, " has ", MemoryText(*largest),
      "; use a larger ", spec.device == DeviceKind::kCuda ? "card" : "machine", ", a smaller target or no recovery tokens",
      need.is_estimate ? " (minimum_device_memory overrides the estimate)" : ", or correct minimum_device_memory"));
}

std::string WarnOfMemory(const JobSpec& spec, const JobSize& size, std::optional<int64_t> largest, const std::string& whose) {
  const MemoryNeed need = LeastMemory(spec, size);
  if (!largest.has_value() || *largest >= need.bytes) return "";
  return absl::StrCat("the job needs at least ", MemoryText(need.bytes), " of ", KindOf(spec.device), " (", need.basis, "), ",
                      whose, " has ", MemoryText(*largest), ": it would wait for a larger one");
}

}  // namespace espalier
