// "did you mean ...?" for words that people type.
#pragma once

#include <string>
#include <vector>

namespace espalier {

// Letters to insert, remove, replace or swap with their neighbour to make one of the other; upper and lower case alike.
int EditDistance(const std::string& a, const std::string& b);

// The candidate that was most likely meant: the nearest one within a third of the word's letters, else the only one that
// begins with the word. Empty when there is none.
std::string NearestWord(const std::string& word, const std::vector<std::string>& candidates);

// "; did you mean 'watch'?" or nothing: to be put behind a message.
std::string DidYouMean(const std::string& word, const std::vector<std::string>& candidates);

}  // namespace espalier
