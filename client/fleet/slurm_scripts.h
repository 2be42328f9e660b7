// deploy/slurm's job scripts as text, so that the program can write them anywhere.
#pragma once

namespace espalier {

extern const char* const kWorkersScript;
extern const char* const kCoordinatorScript;

}  // namespace espalier
