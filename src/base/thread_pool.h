#pragma once

#include "base/result.h"

#include <functional>
#include <memory>
#include <string>

namespace ziwa {

/// A fixed set of threads that runs jobs in order of submission; the queue has a limit. An exception
/// that leaves a job is logged, and the thread takes the next one.
class ThreadPool {
 public:
  ThreadPool(std::string name, int threads, size_t queue_max);
  /// Runs what was submitted, then joins.
  ~ThreadPool();
  /// Errors: exhausted when the queue is full (nothing was queued), cancelled after stop().
  Status submit(std::move_only_function<void()> job);
  void stop();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ziwa
