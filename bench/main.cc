// espalier-bench: one table for each subcommand, on the machine it runs on.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "bench/bank_check.h"
#include "bench/compare.h"
#include "bench/options.h"

namespace {

using espalier::bench::Options;

void AddCommonFlags(CLI::App& app, Options& options) {
  app.add_option("--model", options.model, "Folder of a model; without it random weights of --shape");
  app.add_option("--shape", options.shape, "tiny, small, llama-2-7b-8-layers or llama-3.1-8b");
  app.add_option("--device", options.device, "cpu or cuda");
  app.add_option("--json", options.json, "File that also gets the figures");
  app.add_option("--sequence-length", options.sequence_length)->check(CLI::Range(2, 1 << 20));
  app.add_option("--repeats", options.repeats, "Timed repeats; the median, least and most are shown")
      ->check(CLI::Range(1, 100));
}

void AddTrainFlags(CLI::App& app, Options& options) {
  app.add_option("--tokens-per-step", options.tokens_per_step)->delimiter(',');
  app.add_option("--kept-share", options.kept_share, "Share of KV groups and neurons that the candidate keeps");
  app.add_option("--loss", options.loss, "cross-entropy or kl (to the dense model, its hidden states cached)");
  app.add_option("--masters", options.masters, "float32, or bfloat16: weights rounded stochastically, without an fp32 copy; several: rows of each")
      ->delimiter(',')
      ->check(CLI::IsMember({"float32", "bfloat16"}));
  app.add_option("--moments", options.moments, "float32, bfloat16, byte; several: rows of each")
      ->delimiter(',')
      ->check(CLI::IsMember({"float32", "bfloat16", "byte"}));
  app.add_option("--steps", options.steps, "Steps of a timed run")->check(CLI::Range(1, 1000000));
  app.add_flag("--eager", options.eager, "Also without CUDA graphs");
  app.add_option("--trace", options.trace, "File for a trace of the last timed run, which it slows down");
  app.add_flag("--recompute", options.recompute, "Compute activations again in the backward pass");
  app.add_option("--micro-batch-tokens", options.micro_batch_tokens, "Most tokens in one pass; 0: a whole step");
}

void AddEngineFlags(CLI::App& app, Options& options) {
  app.add_option("--tokens", options.tokens, "A .npy file of token ids; without it random ids");
  app.add_option("--calibration-tokens", options.calibration_tokens);
  app.add_option("--levels", options.levels, "Levels of each unit")->check(CLI::Range(2, 64));
  app.add_option("--slots", options.slots, "Tasks that run at once on the device")->check(CLI::Range(1, 64));
  app.add_option("--device-memory", options.device_memory, "GiB of the device that tensors may take, as on a smaller one; 0: all");
  app.add_option("--state-memory", options.state_memory, "GiB of host memory for survivors' states; 0: a quarter");
  app.add_option("--target-share", options.target_share, "Of the dense model's parameters");
  app.add_option("--state", options.state, "Folder for what is made; without it a temporary one");
}

void AddGenerationFlags(CLI::App& app, Options& options) {
  app.add_option("--mode", options.modes, "restart, continue")->delimiter(',');
  app.add_option("--continue-state", options.continue_state, "What CONTINUE keeps of a survivor: by-size, full or weights-bf16")
      ->check(CLI::IsMember({"by-size", "full", "weights-bf16"}));
  app.add_option("--generations", options.generations, "Measured generations, after one that is not")
      ->check(CLI::Range(1, 1000));
  app.add_option("--offspring", options.offspring)->check(CLI::Range(1, 1024));
  app.add_option("--trace", options.trace, "File for a trace of the measured generations, which it slows down");
  app.add_option("--token-share", options.token_share, "Of the published train tokens (10k/50k/100k/200k)");
  app.add_option("--tokens-per-step", options.tokens_per_step)->delimiter(',');
}

int PrintComparison(const std::string& first, const std::string& second) {
  const absl::StatusOr<std::string> table = espalier::bench::CompareResults(first, second);
  if (table.ok()) {
    std::fputs(table->c_str(), stdout);
    return 0;
  }
  std::fprintf(stderr, "espalier-bench: %s\n", table.status().ToString().c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("What Espalier's parts cost on this machine");
  app.require_subcommand(0, 1);
  std::vector<std::string> compared;
  app.add_option("--compare", compared, "Instead: two files that --json wrote, side by side")->expected(2);
  Options options;
  bool check_bank = false, check_rankings = false;
  std::map<std::string, std::function<absl::Status(const Options&)>> run = {
      {"check", [&](const Options& o) { return check_rankings ? espalier::bench::CheckRankings(o) : espalier::bench::BenchCheck(o); }},
      {"train", espalier::bench::BenchTrain},
      {"assemble", espalier::bench::BenchAssemble},
      {"score", espalier::bench::BenchScore},
      {"bank", [&](const Options& o) { return check_bank ? espalier::bench::CheckBank(o) : espalier::bench::BenchBank(o); }},
      {"generation", espalier::bench::BenchGeneration}};
  CLI::App* train = app.add_subcommand("train", "The training loop alone, beside the device's matrix peak");
  AddTrainFlags(*train, options);
  CLI::App* check = app.add_subcommand("check", "Fused kernels, graphs and shared cards against plain eager steps");
  CLI::App* assemble = app.add_subcommand("assemble", "Candidates from a level bank, and a trainer for each");
  CLI::App* score = app.add_subcommand("score", "The dense model's states, and candidates against them");
  CLI::App* bank = app.add_subcommand("bank", "A whole level bank through the engine, by phase");
  CLI::App* generation =
      app.add_subcommand("generation", "Generations of the DARWINLM schedule through the engine, by phase");
  AddGenerationFlags(*generation, options);
  assemble->add_option("--levels", options.levels, "Levels of each unit")->check(CLI::Range(2, 64));
  bank->add_flag("--check", check_bank, "Instead: random units against the CPU's results, and what their parts take");
  check->add_flag("--rankings", check_rankings, "Instead: one generation's fitness and survivors, stage by stage");
  check->add_option("--token-share", options.token_share, "Of the published train tokens (10k/50k/100k/200k), for --rankings");
  for (CLI::App* command : {bank, generation, check}) AddEngineFlags(*command, options);
  for (CLI::App* command : {check, train, assemble, score, bank, generation}) AddCommonFlags(*command, options);
  CLI11_PARSE(app, argc, argv);
  if (!compared.empty()) return PrintComparison(compared[0], compared[1]);
  if (app.get_subcommands().empty()) {
    std::fprintf(stderr, "%s", app.help().c_str());
    return 2;
  }
  const absl::Status status = run.at(app.get_subcommands().front()->get_name())(options);
  if (status.ok()) return 0;
  std::fprintf(stderr, "espalier-bench: %s\n", status.ToString().c_str());
  return 1;
}
