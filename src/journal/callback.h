#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <utility>

namespace ziwa::journal {

/// A function that one thread calls and another cancels. Once cancel() has returned no call is
/// running, unless cancel() came from inside the call itself. Any thread.
template <typename... Args>
class Callback {
 public:
  explicit Callback(std::function<void(Args...)> function) : function_(std::move(function)) {}

  void call(Args... args) {
    std::lock_guard lock(mutex_);
    if (!cancelled_) function_(args...);
  }
  /// Calls at most once, ever.
  void call_once(Args... args) {
    std::lock_guard lock(mutex_);
    if (std::exchange(cancelled_, true)) return;
    function_(args...);
  }
  void cancel() {
    std::lock_guard lock(mutex_);
    cancelled_ = true;
  }

  bool cancelled() {
    std::lock_guard lock(mutex_);
    return cancelled_;
  }

 private:
  std::recursive_mutex mutex_;
  bool cancelled_ = false;
  std::function<void(Args...)> function_;
};

}  // namespace ziwa::journal
