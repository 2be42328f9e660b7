// Defects that a simulation can be built with, to prove that it finds them. All of them sit in what surrounds the
// shipped code (store, transport, clock, worker driver), where they have the effect that the same mistake inside would
// have.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace espalier::simulation {

enum class Defect {
  kNone,
  kLeaseNotFenced,          // writes of an older epoch go through
  kAcknowledgedEarly,       // the store answers before a write is durable
  kAttemptCountedTwice,     // the store takes a second outcome of a task
  kResultOfAnotherTask,     // a late report is taken for the task that its worker holds now
  kSecondJob,               // a repeated CreateJob makes a second job
  kOtherOrderAfterRestart,  // the log is replayed in another order
  kPausedJobGranted,        // a pause is acknowledged without being made
  kCancelForgotten,         // a cancellation is acknowledged without being stored
  kAcknowledgedUnstored,    // a report is confirmed although the store refused it
  kLeaseNeverExpires,       // silent workers keep their leases
  kWorkerDoesNotFence,      // a worker that hears nothing runs on
  kArtifactCollected,       // a referenced artifact is removed
  kMeasurementAltered,      // one bit of a measurement changes on its way into the store
  kReferencesUnread,        // the collector does not see what committed outcomes name
  kCount,
};

const char* Name(Defect defect);
std::optional<Defect> FindDefect(std::string_view name);

}  // namespace espalier::simulation
