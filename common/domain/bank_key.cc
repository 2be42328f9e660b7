#include "common/domain/bank_key.h"

#include <charconv>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/sha256.h"

namespace espalier {
namespace {

std::string ShortestText(double value) {
  char buffer[32];
  const std::to_chars_result result = std::to_chars(buffer, buffer + sizeof buffer, value);
  return std::string(buffer, result.ptr);
}

}  // namespace

BankKeyParts BankKeyPartsOf(const JobContext& context, const WindowKey& calibration, int64_t calibration_windows,
                            NumberFormat number_format) {
  BankKeyParts parts;
  parts.model_digest = context.model_digest;
  parts.tokens_digest = context.tokens_digest;
  parts.calibration = calibration;
  parts.calibration_windows = calibration_windows;
  parts.sequence_length = context.sequence_length;
  parts.ladder = context.ladder;
  parts.criterion = context.criterion;
  parts.compensation = context.compensation;
  parts.damping = context.damping;
  parts.number_format = number_format;
  return parts;
}

std::string BankKeyText(const BankKeyParts& parts) {
  return absl::StrCat("bank 1\nmodel ", parts.model_digest, "\ntokens ", parts.tokens_digest, "\ncalibration ",
                      ToText(parts.calibration), "\nwindows ", parts.calibration_windows, "\nsequence_length ",
                      parts.sequence_length, "\nladder ", LadderDigest(parts.ladder), "\ncriterion ", parts.criterion,
                      "\ncompensation ", parts.compensation, "\ndamping ", ShortestText(parts.damping), "\nnumber_format ",
                      Name(parts.number_format), "\n");
}

std::string BankKey(const BankKeyParts& parts) { return Sha256Hex(BankKeyText(parts)); }

std::string LadderDigest(const Ladder& ladder) {
  std::string text = absl::StrCat("ladder 1\ngranularity ", ladder.head_granularity == HeadGranularity::kHead ? "head" : "kv_group",
                                  "\nkv ", ladder.keep_kv_whole ? "whole" : "by_use", "\n");
  for (const UnitLadder& unit : ladder.units) {
    absl::StrAppend(&text, Name(unit.unit), " ", unit.size, " ", absl::StrJoin(unit.removed, ","), "\n");
  }
  return Sha256Hex(text);
}

}  // namespace espalier
