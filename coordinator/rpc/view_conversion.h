// The core's views as messages.
#pragma once

#include "coordinator/core/views.h"
#include "coordinator/search/job_program.h"
#include "espalier/v1/search_service.pb.h"

namespace espalier {

v1::Job ToProto(const JobView& view);
v1::Candidate ToProto(const std::string& job_id, const CandidateView& view, bool is_brief);
v1::Worker ToProto(const WorkerView& view);
v1::JobPreview ToProto(const JobPreview& preview);
v1::Job::State ToProto(JobState state);

}  // namespace espalier
