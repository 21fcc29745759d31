#pragma once

#include "base/result.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace ziwa {

/// A fixed set of threads that runs jobs in order of submission; the queue has a limit. An
/// exception that leaves a job is logged, and the thread takes the next one.
class ThreadPool {
 public:
  ThreadPool(std::string name, int threads, size_t queue_max);
  /// Runs what was submitted, then joins.
  ~ThreadPool();
  /// Errors: exhausted when the queue is full (nothing was queued), cancelled after stop().
  Status submit(std::move_only_function<void()> job);
  void stop();
  /// As stop(), but gives up after `ms`: false when a job still runs then. The pool must then be
  /// left alone until the process ends.
  bool stop_within(int64_t ms);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ziwa
