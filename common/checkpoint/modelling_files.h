// The Python files that every export carries (sources in common/checkpoint/export_code).
#pragma once

namespace espalier::checkpoint {

extern const char* const kConfigurationPython;  // configuration_espalier.py
extern const char* const kModelingPython;       // modeling_espalier.py
extern const char* const kNemotronConfigurationPython;  // configuration_decilm.py, of Nemotron-NAS folders

}  // namespace espalier::checkpoint
