// What a task is, as a person would say it.
#pragma once

#include <string>

namespace espalier {

// "evaluate/p0/g4/s2/16df39d13223f919" as "generation 5, stage 3, mask 16df39d13223", "bank/7" as "level bank, layer 7"; an id of
// another form as it is. Generations and stages count from 1 here, layers and units from 0 as in the model's own files.
std::string TaskInWords(const std::string& task_id);

}  // namespace espalier
