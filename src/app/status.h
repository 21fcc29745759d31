#pragma once

#include "app/doors.h"
#include "app/engines.h"

#include <deque>
#include <mutex>
#include <string>
#include <vector>

namespace ziwa::app {

/// What an operator asks first: doors, topics, views and sinks with their lag, and rates. Any
/// thread.
class StatusReport {
 public:
  StatusReport(Engines& engines, const Clock& clock);
  /// Takes a sample for the rates; called about once a second.
  void sample();
  /// One JSON object, described in docs/http.md.
  std::string json(const std::vector<DoorStatus>& doors) const;

 private:
  struct Sample {
    int64_t at_ns = 0;
    uint64_t records = 0;  ///< Ever appended, over all topics.
  };
  uint64_t records_appended() const;
  double records_per_second() const;

  Engines& engines_;
  const Clock& clock_;
  TimestampMs started_;
  mutable std::mutex mutex_;
  std::deque<Sample> samples_;  ///< Guarded by mutex_; at most kSamplesMax.
};

}  // namespace ziwa::app
