#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <list>
#include <memory>

namespace ziwa::kafka {

/// What requests and responses of all connections may hold at once. Loop thread only.
///
/// A request is reserved piece by piece as its bytes arrive; what a client only announces costs
/// nothing. A connection may grow as long as it holds no more than what is left for all others, so
/// that a few large requests leave room for many small ones. Of those that are refused, one at a
/// time goes on regardless, so that half requests never wait for each other: the most that is ever
/// taken is the limit and one request, besides the first pieces (add()) of every connection.
class MemoryBudget {
 public:
  explicit MemoryBudget(size_t bytes_max) : bytes_max_(bytes_max) {}

  /// True, and `bytes` are taken, when `owner`, which holds `held`, may have them.
  bool try_grow(const void* owner, size_t held, size_t bytes) {
    const bool fair = used_ + bytes <= bytes_max_ && held + bytes <= bytes_max_ - used_;
    if (!fair) {
      if (favoured_ != nullptr && favoured_ != owner) return false;
      favoured_ = owner;
    }
    used_ += bytes;
    return true;
  }
  /// `owner` has its request, or goes away: it is another's turn to go on regardless.
  void end_favour(const void* owner) {
    if (favoured_ != owner) return;
    favoured_ = nullptr;
    if (!waiting_.empty() && !waking_) wake();
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
  const void* favoured_ = nullptr;
  bool waking_ = false;
  std::list<Waiter> waiting_;
};

}  // namespace ziwa::kafka
