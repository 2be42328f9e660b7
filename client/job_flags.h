// The flags of `run` and `submit` that make a job specification. Flags beat the job file, the job file beats the
// preset.
#pragma once

#include <CLI/CLI.hpp>

#include <string>

#include "absl/status/statusor.h"
#include "espalier/v1/job.pb.h"

namespace espalier {

struct JobFlags {
  std::string job_file;
  std::string model;
  std::string tokens;
  std::string evaluate;
  std::string target;
  std::string preset;
  std::string first_parent;
  std::string head_granularity;
  std::string mode;
  std::string device;
  std::string runtime;
  std::string display_name;
  std::string seed;
  std::string generations;
  std::string sequence_length;
  std::string tokens_per_step;
  std::string token_budget;
  std::string evaluate_tokens;
  std::string recovery_tokens;
  std::string wall_time;
  std::string priority;
  std::string weight;
  std::string max_workers;
  std::string minimum_device_memory;
  bool recover_yardsticks = false;
};

void AddJobFlags(CLI::App& command, JobFlags& flags);

// The job file with the flags put over it. Paths become absolute; a first parent's mask file is read. kInvalidArgument
// names the flag or the job file's line.
absl::StatusOr<v1::JobSpec> ToSpec(const JobFlags& flags);

// "5M", "100k", "2.5M", "4096"; kInvalidArgument names the flag.
absl::StatusOr<int64_t> ParseCount(const std::string& flag, const std::string& text);

// "40GB", "24GiB", "512MiB", "1000000"; kInvalidArgument names the flag.
absl::StatusOr<int64_t> ParseBytes(const std::string& flag, const std::string& text);

// A mask as result.json writes it: an object by unit with "removed", or a whole result.json. kInvalidArgument names
// file and unit.
absl::StatusOr<v1::GivenMask> ReadMaskFile(const std::string& path);

// Windows of one sequence length for a number of tokens, rounded up; reads the headers of the token file and of the
// model to find the length when `sequence_length` is 0.
absl::StatusOr<int64_t> WindowsFor(int64_t tokens, int sequence_length, const std::string& tokens_path,
                                   const std::string& model);

}  // namespace espalier
