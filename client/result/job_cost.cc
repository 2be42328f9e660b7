#include "client/result/job_cost.h"

#include "common/picture/numbers.h"

namespace espalier {
namespace {

using Json = nlohmann::ordered_json;

std::string CountText(int64_t count) { return FormatCount(static_cast<double>(count)); }

std::string SecondsText(const std::optional<double>& seconds, const char* otherwise) {
  return seconds.has_value() ? FormatSeconds(*seconds) : otherwise;
}

std::string BytesText(const std::optional<int64_t>& bytes) {
  return bytes.has_value() ? FormatBytes(static_cast<double>(*bytes)) : "-";
}

template <typename Value>
void PutIfThere(const char* key, const std::optional<Value>& value, Json& json) {
  if (value.has_value()) json[key] = *value;
}

template <typename Value>
std::optional<Value> GetIfThere(const Json& json, const char* key) {
  if (!json.contains(key)) return std::nullopt;
  return json[key].get<Value>();
}

Json WorkJson(const JobWork& work) {
  Json json;
  json["trained_tokens"] = work.trained_tokens;
  json["scored_tokens"] = work.scored_tokens;
  json["evaluations"] = work.num_evaluations;
  PutIfThere("device_seconds", work.device_seconds, json);
  PutIfThere("seconds", work.seconds, json);
  PutIfThere("device_bytes", work.device_bytes, json);
  return json;
}

JobWork WorkFromJson(const Json& json) {
  JobWork work;
  work.trained_tokens = json.value("trained_tokens", int64_t{0});
  work.scored_tokens = json.value("scored_tokens", int64_t{0});
  work.num_evaluations = json.value("evaluations", int64_t{0});
  work.device_seconds = GetIfThere<double>(json, "device_seconds");
  work.seconds = GetIfThere<double>(json, "seconds");
  work.device_bytes = GetIfThere<int64_t>(json, "device_bytes");
  return work;
}

}  // namespace

std::vector<std::vector<std::string>> JobCostTable(const JobCost& cost, const std::string& taken_title) {
  const JobWork& expected = cost.expected;
  const JobWork& taken = cost.taken;
  if (expected.num_evaluations == 0) return {};
  return {{"", "expected, at most", taken_title},
          {"trained tokens", CountText(expected.trained_tokens), CountText(taken.trained_tokens)},
          {"scored tokens", CountText(expected.scored_tokens), CountText(taken.scored_tokens)},
          {"evaluations", CountText(expected.num_evaluations), CountText(taken.num_evaluations)},
          {"device time", SecondsText(expected.device_seconds, "unknown"), SecondsText(taken.device_seconds, "-")},
          {"running time", SecondsText(expected.seconds, "unknown"), SecondsText(taken.seconds, "-")},
          {"memory of a candidate", BytesText(expected.device_bytes), BytesText(taken.device_bytes)}};
}

Json ToJson(const JobCost& cost) {
  Json json;
  json["expected"] = WorkJson(cost.expected);
  if (!cost.basis.empty()) json["expected"]["basis"] = cost.basis;
  json["taken"] = WorkJson(cost.taken);
  return json;
}

JobCost CostFromJson(const Json& json) {
  JobCost cost;
  if (json.contains("expected")) {
    cost.expected = WorkFromJson(json["expected"]);
    cost.basis = json["expected"].value("basis", "");
  }
  if (json.contains("taken")) cost.taken = WorkFromJson(json["taken"]);
  return cost;
}

}  // namespace espalier
