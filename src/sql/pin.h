#pragma once

#include "base/clock.h"
#include "base/result.h"
#include "stream/engine.h"

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

namespace ziwa::sql {

/// What a transaction reads: one published state, held for as long as the pin lives, but never
/// longer than the limit. Any thread.
class Pin {
 public:
  Pin(stream::PublishedPtr published, int64_t taken_ns)
      : epoch_(published->epoch), taken_ns_(taken_ns), published_(std::move(published)) {}

  /// Errors: unavailable when the pin grew older than `sql.pin.age.max`.
  Result<stream::PublishedPtr> published() const;
  Epoch epoch() const { return epoch_; }
  bool expired() const { return expired_.load(std::memory_order_relaxed); }

 private:
  friend class Pins;
  void expire();
  const Epoch epoch_;
  const int64_t taken_ns_;
  std::atomic<bool> expired_ = false;
  mutable std::mutex mutex_;
  stream::PublishedPtr published_;
};
using PinPtr = std::shared_ptr<Pin>;

/// The error of everything that reads through a pin that was let go.
Error pin_expired_error();

/// All pins of a database; lets go of those that are too old, so that an idle transaction does not
/// hold old state for ever.
class Pins {
 public:
  struct Limits {
    int64_t age_max_ms = 10 * 60 * 1000;
    size_t count_max = 10'000;
  };
  Pins(const Clock& clock, Limits limits) : clock_(clock), limits_(limits) {}

  /// Errors: exhausted above Limits::count_max pins.
  Result<PinPtr> take(stream::PublishedPtr published);
  /// Lets go of pins older than the limit. Called by take() and by whoever looks after long-lived
  /// transactions.
  void sweep();
  size_t count() const;

 private:
  const Clock& clock_;
  const Limits limits_;
  mutable std::mutex mutex_;
  std::vector<std::weak_ptr<Pin>> pins_;
};

}  // namespace ziwa::sql
