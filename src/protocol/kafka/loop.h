#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>

namespace ziwa::kafka {

/// The thread that owns all state of the door, and a way to leave it. The door's is an io_context
/// and a thread pool; tests have one they turn by hand.
class Loop {
 public:
  using Job = std::move_only_function<void()>;
  virtual ~Loop() = default;
  /// Runs `job` on the loop, later. Any thread.
  virtual void post(Job job) = 0;
  /// Runs `job` on a thread that may block. Dropped when the door stops.
  virtual void background(Job job) = 0;
  /// Runs `job` on the loop after `ms` milliseconds, unless the handle is destroyed before. Null,
  /// and the job is dropped, when the door stops. Loop thread.
  virtual std::shared_ptr<void> after(int64_t ms, Job job) = 0;
};

/// Counts the calls that other threads owe to the door, so that stop() can wait for the last. Any
/// thread; held by shared_ptr, because leave() may come after everything else is gone.
class Gate {
 public:
  void enter() { inside_.fetch_add(1); }
  void leave() { inside_.fetch_sub(1); }
  int inside() const { return inside_.load(); }

 private:
  std::atomic<int> inside_{0};
};

}  // namespace ziwa::kafka
