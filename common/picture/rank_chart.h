// How candidates ranked from stage to stage: one line a candidate, its rank the height. Pure.
#pragma once

#include <string>
#include <vector>

#include "common/picture/markup.h"

namespace espalier {

struct RankedLine {
  std::string name;
  std::string link;
  std::vector<int> ranks;  // by stage, 1 is best; 0: not measured there
  bool is_winner = false;
};

// Empty without stages or lines. `stage_names`: one a stage.
Html RankChart(const std::vector<std::string>& stage_names, const std::vector<RankedLine>& lines);

}  // namespace espalier
