// Reasons that the search gives by a word, as sentences.
#pragma once

#include <string>

namespace espalier {

// Of a result's stopped_because: "generations" -> "All its generations were made."; a word of another version in its place.
std::string StoppedInWords(const std::string& because);

}  // namespace espalier
