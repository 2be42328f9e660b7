// What a running job looks like: one line that updates itself on a terminal, a plain line for every change of step
// elsewhere.
#pragma once

#include <cstdio>
#include <string>

#include "absl/time/time.h"
#include "espalier/v1/search_service.pb.h"

namespace espalier {

// "search  generation 3/8  stage 2/4  12/16 tasks  41.2k tok/s  best 0.8571 ± 0.0102  2m10s, 3m left".
std::string ProgressLine(const v1::Job& job);

// Share of the job's tasks and tokens that is done, for the time left; negative when nothing can be said yet.
double ProgressShare(const v1::Job& job);

class ProgressView {
 public:
  // Writes to `stream`; a terminal gets the updating line.
  explicit ProgressView(std::FILE* stream);
  ~ProgressView();  // ends an updating line
  ProgressView(const ProgressView&) = delete;
  ProgressView& operator=(const ProgressView&) = delete;

  void Show(const v1::Job& job);
  void Note(const std::string& line);  // an event of its own line, e.g. a worker that died
  void Finish();

 private:
  void Clear();

  std::FILE* const stream_;
  const bool is_terminal_;
  bool has_open_line_ = false;
  int generations_seen_ = 0;
  std::string last_key_;   // of the last plain line
  std::string last_line_;  // on the terminal
};

}  // namespace espalier
