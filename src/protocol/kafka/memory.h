#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <list>
#include <memory>

namespace ziwa::kafka {

/// What requests and responses of all connections may hold at once. Loop thread only. A connection
/// that is refused waits for its turn; what is reserved is a whole frame, so whoever has its memory
/// can always finish.
class MemoryBudget {
 public:
  explicit MemoryBudget(size_t bytes_max) : bytes_max_(bytes_max) {}

  /// True, and `bytes` are taken, when they fit or nothing at all is taken (so the largest frame is
  /// served some day).
  bool try_reserve(size_t bytes) {
    if (used_ != 0 && used_ + bytes > bytes_max_) return false;
    used_ += bytes;
    return true;
  }
  /// Takes `bytes` that are already there (a response), over the limit if need be.
  void add(size_t bytes) { used_ += bytes; }
  void release(size_t bytes) {
    used_ -= bytes;
    if (!waiting_.empty() && !waking_) wake();
  }
  size_t left() const { return bytes_max_ - std::min(used_, bytes_max_); }
  size_t used() const { return used_; }

  /// Calls `retry` once after the next release; in order of asking. The handle cancels.
  std::shared_ptr<void> wait(std::function<void()> retry) {
    auto place = waiting_.insert(waiting_.end(), Waiter{.retry = std::move(retry)});
    auto handle = std::make_shared<int>(0);
    place->alive = handle;
    return handle;
  }

 private:
  struct Waiter {
    std::function<void()> retry;
    std::weak_ptr<void> alive;
  };
  void wake() {
    waking_ = true;
    std::list<Waiter> woken;
    woken.swap(waiting_);
    for (auto& waiter : woken) {
      if (!waiter.alive.expired()) waiter.retry();
    }
    waking_ = false;
  }

  const size_t bytes_max_;
  size_t used_ = 0;
  bool waking_ = false;
  std::list<Waiter> waiting_;
};

}  // namespace ziwa::kafka
