#include "common/picture/fitness_chart.h"
#include "common/picture/line_chart.h"
#include "common/picture/mask_chart.h"
#include "common/picture/rank_chart.h"
#include "common/picture/task_words.h"
#include "tests/support/catch.h"

namespace espalier {
namespace {

TEST_CASE("Markup: text is escaped wherever it stands", "[picture]") {
  const Html html = Element("a", {{"href", "/x?a=\"&b='"}}, "1 < 2", Element("b", {}, std::string("\x02&")));
  CHECK(html.markup() == "<a href=\"/x?a=&quot;&amp;b=&#39;\">1 &lt; 2<b>\xEF\xBF\xBD&amp;</b></a>");
  CHECK(VoidElement("br", {}).markup() == "<br/>");
  CHECK(EncodeForUrl("a/b c&d~") == "a%2Fb%20c%26d~");
}

TEST_CASE("Task: every kind is said in words, an id of another form as it is", "[picture]") {
  CHECK(TaskInWords("evaluate/p0/g4/s2/16df39d13223f919") == "generation 5, stage 3, mask 16df39d13223");
  CHECK(TaskInWords("evaluate/p1/g0/s0/16df39d13223f919/b2") == "generation 1, stage 1, mask 16df39d13223");
  CHECK(TaskInWords("evaluate/select/p0/16df39d13223f919") == "choice of the next phase's parent, mask 16df39d13223");
  CHECK(TaskInWords("evaluate/play-off/16df39d13223f919") == "play-off, mask 16df39d13223");
  CHECK(TaskInWords("evaluate/one-shot/16df39d13223f919") == "result before training, mask 16df39d13223");
  CHECK(TaskInWords("bank/7") == "level bank, layer 7");
  CHECK(TaskInWords("bank/7/r1") == "level bank, layer 7");
  CHECK(TaskInWords("additive/ffn/3") == "scoring of ffn in layer 3");
  CHECK(TaskInWords("finish") == "recovery, export and proof");
  for (const char* other : {"", "evaluate", "evaluate/new/x", "evaluate/p0/gx/s0/m", "bank", "sleep/1"}) CHECK(TaskInWords(other) == other);
}

TEST_CASE("LineChart: error bars widen the axis, and no points are no picture", "[picture]") {
  CHECK(LineChart({}, {}).empty());
  CHECK(LineChart({}, {{"fitness", {}}}).empty());
  const std::string svg = LineChart({.x_label = "generation", .counts_x = true},
                                    {{"fitness", {{1, 1.0, 0.5, "first"}, {2, 1.0, 0, "second"}}}})
                              .markup();
  CHECK_THAT(svg, Catch::Contains("class=\"error\"") && Catch::Contains("<title>first</title>"));
  CHECK_THAT(svg, Catch::Contains(">1.4<") && Catch::Contains(">0.6<"));
}

TEST_CASE("FitnessChart: by device time only where it is known", "[picture]") {
  FitnessLine line;
  line.points = {{0, 0.5, 0.01, 0.9, 0}, {1, 0.4, 0.01, 0, 0}};
  CHECK_FALSE(FitnessChart({line}, FitnessBy::kGeneration, 860).empty());
  CHECK(FitnessChart({line}, FitnessBy::kDeviceTime, 860).empty());
  line.points[1].engine_seconds = 7200;
  CHECK_THAT(FitnessChart({line}, FitnessBy::kDeviceTime, 860).markup(),
             Catch::Contains("device time, minutes") && Catch::Contains("generation 2: 0.4000 after 2h00m"));
}

PicturedUnit HeadsOf(int layer, int removed) {
  PicturedUnit unit;
  unit.name = "attention[" + std::to_string(layer) + "]";
  unit.is_attention = true;
  unit.layer = layer;
  unit.size = 8;
  unit.level = removed;
  unit.num_levels = 9;
  unit.removed = removed;
  return unit;
}

TEST_CASE("MaskDifferenceChart: marks what is kept more, less and as before", "[picture]") {
  const std::string svg =
      MaskDifferenceChart({HeadsOf(0, 2), HeadsOf(1, 2), HeadsOf(2, 2)}, {HeadsOf(0, 0), HeadsOf(1, 8), HeadsOf(2, 2)})
          .markup();
  CHECK_THAT(svg, Catch::Contains("class=\"gain\"") && Catch::Contains(">+2<"));
  CHECK_THAT(svg, Catch::Contains("class=\"loss\"") && Catch::Contains("attention[1]: removed; before 6"));
  CHECK_THAT(svg, Catch::Contains("class=\"same\"") && Catch::Contains("as before"));
  CHECK(MaskDifferenceChart({HeadsOf(0, 0)}, {}).empty());
}

TEST_CASE("RankChart: a candidate's line ends where it went out", "[picture]") {
  const std::string svg = RankChart({"first", "last"}, {{"c00", "/c00", {2, 0}, false}, {"c01", "", {1, 1}, true}}).markup();
  CHECK_THAT(svg, Catch::Contains("<a href=\"/c00\">") && Catch::Contains("c00: rank 2 in first"));
  CHECK_THAT(svg, !Catch::Contains("c00: rank 0") && Catch::Contains("class=\"winner\""));
  CHECK(RankChart({}, {}).empty());
}

}  // namespace
}  // namespace espalier
