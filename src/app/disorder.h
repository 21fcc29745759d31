#pragma once

#include <cstdint>
#include <optional>
#include <queue>
#include <vector>

namespace ziwa::app {

/// Puts events that come in time order into the order in which they are sent: each is held back for
/// a random part of `within_us`, and a fraction `late_fraction` of them for `late_by_us` to twice
/// that. The same seed gives the same order. Holds only the events that are held back: memory is
/// bounded by the events of `2 * late_by_us`.
class Disorder {
 public:
  struct Options {
    int64_t within_us = 0;
    double late_fraction = 0;
    int64_t late_by_us = 0;
    uint64_t seed = 1;
  };
  explicit Disorder(Options options) : options_(options) {}

  /// Takes the event numbered `number` with time `time_us`, kept under `slot` by the caller.
  void push(uint64_t number, int64_t time_us, uint32_t slot);
  /// The slot of the next event to send, if it must go before events of `time_us` and later;
  /// nullopt: read on.
  std::optional<uint32_t> pop_before(int64_t time_us);
  /// The next one after the last push.
  std::optional<uint32_t> pop();

 private:
  struct Held {
    int64_t send_us;
    uint64_t number;  ///< Breaks ties.
    uint32_t slot;
    friend bool operator<(const Held& a, const Held& b) {
      return a.send_us != b.send_us ? a.send_us > b.send_us : a.number > b.number;
    }
  };
  Options options_;
  std::priority_queue<Held> held_;
};

}  // namespace ziwa::app
