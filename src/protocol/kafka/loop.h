#pragma once

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
  /// Runs `job` on the loop after `ms` milliseconds, unless the handle is destroyed before. Loop
  /// thread.
  virtual std::shared_ptr<void> after(int64_t ms, Job job) = 0;
};

}  // namespace ziwa::kafka
