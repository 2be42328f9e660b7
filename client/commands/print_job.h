// A job as get, watch, cancel, pause and resume print it.
#pragma once

#include <string>

#include "espalier/v1/search_service.pb.h"

namespace espalier {

void PrintJobAs(const std::string& format, const v1::Job& job);

std::string JobStateName(const v1::Job& job);    // "running"
std::string JobTargetText(const v1::JobSpec& spec);  // "60.0%", "2.36M"
std::string JobResultLine(const v1::Job& job);   // how far it is, or how it ended

}  // namespace espalier
