// How much device time each job has had, for its weight. Pure.
//
// Decisions. A job is charged what its tasks usually take when a lease is granted, and the difference to what it took when
// the lease ends, so that many grants at one moment are shared out as well. A job that comes (or comes back) starts level
// with the one that has had least: nobody saves up a claim while away, and nobody is starved by a newcomer. Kept in memory
// only: after a restart of the coordinator all jobs start level.
#pragma once

#include <map>
#include <set>
#include <string>

namespace espalier {

class FairShares {
 public:
  // Jobs that have tasks to give away or under way now.
  void SetContenders(const std::set<std::string>& job_ids);

  // Charges one task in advance and returns the device-seconds that it was charged.
  double ChargeLease(const std::string& job_id, double weight);
  // The lease has ended after `seconds`; `is_complete`: the task was done, so its time tells of the next ones.
  void SettleLease(const std::string& job_id, double weight, double charged_seconds, double seconds, bool is_complete);
  void Forget(const std::string& job_id) { jobs_.erase(job_id); }

  // Device-seconds for each unit of weight; the least goes first.
  double Served(const std::string& job_id) const;
  // What one task of the job takes, in seconds.
  double TaskSeconds(const std::string& job_id) const;

 private:
  struct Entry {
    double served = 0;
    double task_seconds = 0;  // 0: none was done yet
    bool is_contending = false;
  };
  std::map<std::string, Entry> jobs_;
};

}  // namespace espalier
