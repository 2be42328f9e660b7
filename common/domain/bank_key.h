// The name under which a level bank is reused: everything that its bytes depend on, and nothing of the job's target, seed
// or schedule.
#pragma once

#include <cstdint>
#include <string>

#include "common/domain/model_config.h"
#include "common/domain/task.h"
#include "common/domain/windows.h"

namespace espalier {

struct BankKeyParts {
  std::string model_digest;
  std::string tokens_digest;
  WindowKey calibration;
  int64_t calibration_windows = 0;
  int sequence_length = 0;
  Ladder ladder;
  std::string criterion;
  std::string compensation;
  double damping = 0;
  NumberFormat number_format = NumberFormat::kBFloat16;  // of the checkpoint, and so of the bank
};

// `calibration` and `calibration_windows` as in BankLayerTask; the rest comes from what the job's tasks share.
BankKeyParts BankKeyPartsOf(const JobContext& context, const WindowKey& calibration, int64_t calibration_windows,
                            NumberFormat number_format);

// One "name value" line a part, in a fixed order; doubles in the shortest form that reads back equal.
std::string BankKeyText(const BankKeyParts& parts);

// SHA-256 of the text, in hexadecimal.
std::string BankKey(const BankKeyParts& parts);

// SHA-256 over the ladder's granularity, units and removed counts: part of the key and of every bank file.
std::string LadderDigest(const Ladder& ladder);

}  // namespace espalier
