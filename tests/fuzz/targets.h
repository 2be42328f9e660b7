// What bytes from outside reach, each as a plain function: libFuzzer drives them (fuzzer_main.cc, `make fuzz`), and a
// plain test replays seeds and everything that was ever found (replay_test.cc). A target ends the process when a property
// does not hold; refusing the bytes is always right.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace espalier::fuzz {

struct Target {
  const char* name;
  void (*run)(std::string_view input);
  std::vector<std::string> (*seeds)();  // real inputs to begin with
};

const std::vector<Target>& Targets();

void FuzzSafetensors(std::string_view input);
std::vector<std::string> SafetensorsSeeds();
void FuzzModelConfig(std::string_view input);
std::vector<std::string> ModelConfigSeeds();
void FuzzTokenFile(std::string_view input);
std::vector<std::string> TokenFileSeeds();

void FuzzJobFile(std::string_view input);
std::vector<std::string> JobFileSeeds();
void FuzzMask(std::string_view input);
std::vector<std::string> MaskSeeds();
void FuzzRecord(std::string_view input);
std::vector<std::string> RecordSeeds();

void FuzzSynchronize(std::string_view input);
std::vector<std::string> SynchronizeSeeds();
void FuzzHttp(std::string_view input);
std::vector<std::string> HttpSeeds();

void FuzzSettings(std::string_view input);  // token tables, credentials and answers of object storage
std::vector<std::string> SettingsSeeds();

// Aborts with the sentence: the fuzzer keeps the input.
void Demand(bool holds, const char* property);
// A file of the checkout; empty when it cannot be read.
std::string FileOf(const std::string& path, size_t max_bytes);

}  // namespace espalier::fuzz
