#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "client/explain/explanation.h"
#include "client/explain/given_up.h"
#include "client/render/text_width.h"
#include "client/result/read_report.h"
#include "tests/support/catch.h"

namespace espalier {
namespace {

ReportUnit UnitOf(bool is_attention, int layer, int size, int removed) {
  ReportUnit unit{.name = (is_attention ? "attention[" : "ffn[") + std::to_string(layer) + "]",
                  .is_attention = is_attention,
                  .layer = layer,
                  .size = size,
                  .level = removed,
                  .num_levels = 0,
                  .removed = removed,
                  .kept_heads = {}};
  for (int head = 0; is_attention && head < size - removed; ++head) unit.kept_heads.push_back(head);
  return unit;
}

// Two layers: attention[1] and half of ffn[0] went.
RunReport PrunedReport() {
  RunReport report;
  report.dense_parameters = 4000000;
  report.parameters = 2400000;
  report.target_parameters = 2400000;
  report.units = {UnitOf(true, 0, 4, 0), UnitOf(false, 0, 512, 256), UnitOf(true, 1, 4, 4), UnitOf(false, 1, 512, 32)};
  report.fitness = 0.5;
  report.fitness_standard_error = 0.01;
  report.one_shot_fitness = 0.8;
  report.one_shot_perplexity = 60;
  report.dense_perplexity = 32;
  report.perplexity = 40;
  report.recovery_tokens = 24576;
  report.stopped_because = "generations";
  report.chosen_because = "c1 won the play-off of 2";
  report.yardsticks = {{"uniform", report.units, 2390000, 1.0, 90, 44.0}, {"additive", report.units, 2400000, 0.84, 62, {}}};
  report.yardsticks[1].units[1] = UnitOf(false, 0, 512, 288);
  report.yardsticks[1].units[3] = UnitOf(false, 1, 512, 0);
  for (int i = 0; i < 4; ++i) {
    ReportGeneration generation;
    generation.generation = i;
    generation.parent_digest = std::to_string(i / 2);
    generation.fitness = 0.6 - 0.03 * i;
    generation.standard_error = 0.01;
    generation.rank_agreement = 0.5;
    report.history.push_back(generation);
  }
  report.provenance["seed"] = 7;
  report.cost.expected = {.trained_tokens = 90000, .scored_tokens = 5000, .num_evaluations = 11,
                          .device_seconds = 405, .seconds = {}, .device_bytes = 1 << 20};
  report.cost.basis = "the rate of 3 evaluations";
  report.cost.taken.device_seconds = 393;
  return report;
}

std::string SentencesOf(const ExplanationPart& part) { return absl::StrJoin(part.sentences, "\n"); }
bool Says(const std::string& text, const std::string& part) { return absl::StrContains(text, part); }

TEST_CASE("Explain: the result beside dense and uniform, in figures of the job") {
  const std::string text = SentencesOf(ExplainResult(PrunedReport()));
  for (const char* part : {"2.40M of 4.00M parameters are left (60.0%)", "Its perplexity is 40.00, 1.25 times the dense model's 32.00.",
                           "0.8000 against 1.0000 of the uniform mask: 20.0% less", "40.0000 against 44.0000"})
    REQUIRE(Says(text, part));
}

TEST_CASE("Explain: layers by what they gave, with parameters when they are known") {
  const std::string counted = SentencesOf(ExplainWhatGave(PrunedReport(), {0, 500000, 1000000, 100000}));
  REQUIRE(Says(counted, "Of the 1.60M parameters that went, attention gave 62.5% and the FFNs 37.5%."));
  REQUIRE(Says(counted, "By layer: layer 1 (68.8%: 4 of 4 heads, 32 of 512 neurons); layer 0 (31.2%: 256 of 512 neurons)."));
  REQUIRE(Says(counted, "Removed altogether: attention[1]."));
  const std::string shares = SentencesOf(ExplainWhatGave(PrunedReport(), {}));
  REQUIRE(Says(shares, "By layer: layer 1"));
  REQUIRE_FALSE(Says(shares, "parameters"));
}

TEST_CASE("Explain: what stayed intact and what stands out from its kind") {
  const std::string text = SentencesOf(ExplainWhatWasKept(PrunedReport()));
  REQUIRE(Says(text, "Intact: attention[0]."));
  REQUIRE(Says(text, "Above the mean of the FFN units (71.9% kept): ffn[1] keeps 93.8% (480 of 512 neurons)."));
}

TEST_CASE("Explain: the search's moves against the additive mask; an equal mask is said to be one") {
  const std::string text = SentencesOf(ExplainWhatTheSearchChanged(PrunedReport()));
  REQUIRE(Says(text, "it gave back ffn[0] (32 neurons) and took from ffn[1] (32 neurons)"));
  REQUIRE(Says(text, "0.8000 instead of 0.8400"));
  RunReport same = PrunedReport();
  same.yardsticks[1].units = same.units;
  REQUIRE(Says(SentencesOf(ExplainWhatTheSearchChanged(same)), "Nothing: the result is the additive mask"));
  same.yardsticks.clear();
  REQUIRE(ExplainWhatTheSearchChanged(same).sentences.empty());
}

TEST_CASE("Explain: how sure, by errors and by how well cheap stages ranked") {
  const std::string text = SentencesOf(ExplainHowSure(PrunedReport()));
  REQUIRE(Says(text, "0.5000 nats a token with a standard error of 0.0100 (2.0%)"));
  REQUIRE(Says(text, "c1 won the play-off of 2"));
  REQUIRE(Says(text, "0.50 on the mean of 4 generations"));
  RunReport weak = PrunedReport();
  for (ReportGeneration& generation : weak.history) generation.rank_agreement = 0.1;
  REQUIRE(Says(SentencesOf(ExplainHowSure(weak)), "a weak guide"));
  for (ReportGeneration& generation : weak.history) generation.rank_agreement = 0;
  REQUIRE(Says(SentencesOf(ExplainHowSure(weak)), "was not measured"));
}

TEST_CASE("Explain: more budget helps a search that still improved, not one within its noise") {
  RunReport report = PrunedReport();
  REQUIRE(Says(SentencesOf(ExplainWhatMoreMightBring(report)), "the parent changed 1 time and its fitness fell by 0.0900"));
  REQUIRE(Says(SentencesOf(ExplainWhatMoreMightBring(report)), "still improving"));
  for (ReportGeneration& generation : report.history) generation.fitness = 0.6 - 0.001 * generation.generation;
  REQUIRE(Says(SentencesOf(ExplainWhatMoreMightBring(report)), "within the noise"));
  for (ReportGeneration& generation : report.history) generation.parent_digest = "same", generation.fitness = 0.6;
  REQUIRE(Says(SentencesOf(ExplainWhatMoreMightBring(report)), "Nothing better was found"));
  report.history.back().phase = 1;  // another phase trains otherwise: no trend over its edge
  REQUIRE(Says(SentencesOf(ExplainWhatMoreMightBring(report)), "shows no trend"));
  report.history.clear();
  REQUIRE(Says(SentencesOf(ExplainWhatMoreMightBring(report)), "No generation was run"));
  REQUIRE(Says(SentencesOf(ExplainWhatMoreMightBring(report)), "from 60.00 to 40.00; 8.00 above the dense model remain"));
}

TEST_CASE("Explain: paragraphs fit the width") {
  const std::string text = ExplanationText(Explain(PrunedReport(), {}), 50, nullptr);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    REQUIRE(DisplayWidth(text.substr(begin, end - begin)) <= 50);
    begin = end + 1;
  }
  REQUIRE(Says(text, "What gave most\n  "));
  REQUIRE(ExplanationJson("OUT", Explain(PrunedReport(), {}))["parts"].size() == 6);
}

TEST_CASE("ReadReport: result.json comes back as it was written") {
  const RunReport report = PrunedReport();
  const absl::StatusOr<RunReport> read = ReportFromJson(ToJson(report));
  REQUIRE(read.ok());
  REQUIRE(ToJson(*read) == ToJson(report));
  REQUIRE(read->cost == report.cost);
  REQUIRE(read->units[2].size == 4);
}

TEST_CASE("ReadReport: a file of another kind is refused with what is missing") {
  REQUIRE(Says(std::string(ReportFromJson({{"loss", 1}}).status().message()), "dense_parameters"));
  REQUIRE_FALSE(ReportFromJson(nlohmann::ordered_json::array()).ok());
  nlohmann::ordered_json json = ToJson(PrunedReport());
  json["cost"]["taken"]["device_seconds"] = "long";
  REQUIRE_FALSE(ReportFromJson(json).ok());
  json.erase("cost");  // as earlier versions wrote it
  REQUIRE(ReportFromJson(json).ok());
  json["mask"]["ffn[x]"] = {{"removed", 1}, {"kept_neurons", 1}};
  REQUIRE(Says(std::string(ReportFromJson(json).status().message()), "ffn[x]"));
}

TEST_CASE("ParametersGivenUp: exact by unit, nothing when the sum does not fit the report") {
  ModelConfig dense;
  dense.vocabulary_size = 100;
  dense.hidden_size = 16;
  dense.num_layers = 2;
  dense.num_heads = 4;
  dense.num_kv_heads = 2;
  dense.head_size = 4;
  dense.ffn_width = 512;
  dense.layers = {DenseLayer(dense), DenseLayer(dense)};
  RunReport report = PrunedReport();
  const ModelConfig pruned = PrunedAsReported(dense, report, false);
  report.dense_parameters = CountParameters(dense);
  report.parameters = CountParameters(pruned);
  const GivenUp given = ParametersGivenUp(pruned, report);
  REQUIRE(given.size() == 4);
  REQUIRE(given[0] == 0);
  REQUIRE(given[1] == 256 * 16 * 3);
  REQUIRE(given[2] == AttentionParameters(dense, DenseLayer(dense)));
  report.parameters += 1;
  REQUIRE(ParametersGivenUp(pruned, report).empty());
}

}  // namespace
}  // namespace espalier
