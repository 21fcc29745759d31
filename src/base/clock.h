#pragma once

#include "base/ids.h"

#include <atomic>
#include <chrono>

namespace ziwa {

/// The only source of time. Any thread.
class Clock {
 public:
  virtual ~Clock() = default;
  /// Wall clock, milliseconds since 1970 UTC; may jump.
  virtual TimestampMs now() const = 0;
  /// Nanoseconds on a clock that never goes back; only differences mean something.
  virtual int64_t monotonic_ns() const = 0;
};

/// The operating system's clock.
class SystemClock final : public Clock {
 public:
  TimestampMs now() const override;
  int64_t monotonic_ns() const override;
};

/// A clock that tests turn by hand.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(TimestampMs start = TimestampMs(1'000'000'000'000)) : now_ms_(start.value) {}
  TimestampMs now() const override { return TimestampMs(now_ms_.load()); }
  int64_t monotonic_ns() const override { return now_ms_.load() * 1'000'000; }
  void advance(std::chrono::milliseconds by) { now_ms_ += by.count(); }
  void set(TimestampMs now) { now_ms_ = now.value; }

 private:
  std::atomic<int64_t> now_ms_;
};

}  // namespace ziwa
