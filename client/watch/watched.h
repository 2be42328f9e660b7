// A coordinator's answers as what the screen shows.
#pragma once

#include <vector>

#include "client/watch/screen.h"
#include "espalier/v1/search_service.pb.h"

namespace espalier {

WatchedJob ToWatched(const v1::Job& job);

// The best candidate of each stage of the present generation.
void AddBest(const std::vector<v1::Candidate>& candidates, WatchedJob& job);

WatchedWorker ToWatched(const v1::Worker& worker);

}  // namespace espalier
