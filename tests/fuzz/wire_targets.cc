// Jobs, masks and records as bytes.
#include "absl/strings/str_cat.h"
#include "common/wire/job_conversion.h"
#include "common/wire/job_file.h"
#include "common/wire/mask_conversion.h"
#include "common/wire/record.h"
#include "common/wire/task_conversion.h"
#include "tests/fuzz/targets.h"
#include "tests/simulation/job_catalog.h"

namespace espalier::fuzz {

void FuzzJobFile(std::string_view input) {
  const auto spec = wire::ParseJobFile(std::string(input), "input");
  if (!spec.ok()) {
    Demand(spec.status().message().find("input") == 0, "an error begins with the file's name");
    return;
  }
  const auto again = wire::ParseJobFile(wire::FormatJobFile(*spec), "again");
  Demand(again.ok(), "a job file that was accepted is accepted again");
  Demand(wire::FormatJobFile(*again) == wire::FormatJobFile(*spec), "formatting and parsing change nothing");
  const auto job = wire::FromUser(*spec);
  if (!job.ok()) return;
  const auto back = wire::Overlay(JobSpec{}, wire::ToProto(*job));
  Demand(back.ok() && wire::Serialize(*back) == wire::Serialize(*job), "a job survives its conversion");
}

std::vector<std::string> JobFileSeeds() {
  const JobSpec& spec = simulation::CatalogJobOf(0).spec;
  return {wire::FormatJobFile(wire::ToProto(spec)), "model_folder: \"m\"\ntokens_path: \"t.npy\"\ntarget { share: 0.5 }\nseed: 3\n",
          R"({"modelFolder": "m", "tokensPath": "t.npy", "target": {"share": 0.6}, "phases": [{"name": "a", "generations": 3}]})",
          R"({"model_folder": "m", "seed": "18446744073709551615", "stop": {"wall_seconds": 1e3}})"};
}

void FuzzMask(std::string_view input) {
  const std::string bytes(input);
  const simulation::CatalogJob& job = simulation::CatalogJobOf(0);
  static const Ladder ladder = *BuildLadder(job.inputs.dense, job.spec.ladder);
  v1::Mask proto;
  if (proto.ParseFromString(bytes)) {
    const auto mask = wire::FromProto(proto);
    if (mask.ok()) {
      const auto back = wire::FromProto(wire::ToProto(*mask));
      Demand(back.ok() && *back == *mask, "a mask survives its conversion");
      if (Validate(ladder, *mask).ok()) Demand(!Digest(ladder, *mask).empty(), "a mask that fits has a digest");
    }
  }
  v1::GivenMask given;
  if (given.ParseFromString(bytes)) (void)wire::FromProto(given);
  v1::Ladder of_ladder;
  if (of_ladder.ParseFromString(bytes)) (void)wire::FromProto(of_ladder);
}

std::vector<std::string> MaskSeeds() {
  const auto ladder = BuildLadder(simulation::CatalogJobOf(0).inputs.dense, simulation::CatalogJobOf(0).spec.ladder);
  Mask mask;
  mask.levels.assign(ladder->units.size(), 1);
  return {wire::ToProto(mask).SerializeAsString(), wire::ToProto(*ladder).SerializeAsString()};
}

void FuzzRecord(std::string_view input) {
  if (input.empty()) return;
  const std::string bytes(input.substr(1));
  const auto survives = [](const auto& value, const auto& parse) {
    if (!value.ok()) {
      Demand(absl::IsDataLoss(value.status()) || absl::IsInvalidArgument(value.status()), "what is no record is called so");
      return;
    }
    const std::string stored = wire::Serialize(*value);
    const auto again = parse(stored);
    Demand(again.ok() && wire::Serialize(*again) == stored, "a record survives being stored");
  };
  switch (input[0] % 4) {
    case 0: return survives(wire::ParseJobSpec(bytes), wire::ParseJobSpec);
    case 1: return survives(wire::ParseJobInputs(bytes), wire::ParseJobInputs);
    case 2: return survives(wire::ParseTaskOutcome(bytes), wire::ParseTaskOutcome);
    default: return survives(wire::ParseTask(bytes), wire::ParseTask);
  }
}

std::vector<std::string> RecordSeeds() {
  const simulation::CatalogJob& job = simulation::CatalogJobOf(0);
  std::vector<std::string> seeds = {std::string(1, '\0') + wire::Serialize(job.spec), "\x01" + wire::Serialize(job.inputs)};
  const auto program = JobProgram::Create("job", job.spec, job.inputs);
  for (int i = 0; i < 40 && program.ok() && !(*program)->finished(); ++i) {
    const std::vector<Task> wanted = (*program)->Wanted();
    const TaskOutcome outcome = job.evaluator->Run(wanted[0]);
    if (i % 8 == 0) {
      seeds.push_back("\x02" + wire::Serialize(outcome));
      seeds.push_back("\x03" + wire::Serialize(wanted[0]));
    }
    if (!(*program)->Tell(wanted[0].task_id, outcome).ok()) break;
  }
  return seeds;
}

}  // namespace espalier::fuzz
