#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace ziwa::app {

/// A line on stderr that says how far a job is: rows, rows/s, time left. Redrawn in place on a
/// terminal; elsewhere only the last line is written. Nothing when quiet.
class Progress {
 public:
  /// `total` 0: not known.
  Progress(std::string what, uint64_t total, bool quiet);
  /// Call as often as you like; draws a few times a second.
  void update(uint64_t done);
  /// The last line, with the rate over all.
  void finish(uint64_t done);
  /// Leaves a pause out of the rate, the time left and seconds().
  void leave_out(std::chrono::steady_clock::duration pause) { start_ += pause; }
  double seconds() const;

 private:
  void draw(uint64_t done, bool last);
  std::string what_;
  uint64_t total_;
  bool quiet_;
  bool terminal_;
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point drawn_;
};

}  // namespace ziwa::app
