#pragma once

#include <atomic>
#include <cstddef>
#include <utility>

namespace ziwa::protocol {

/// Bytes that connections may hold together, perhaps as a part of what a larger budget allows. Any
/// thread.
class ByteBudget {
 public:
  explicit ByteBudget(size_t bytes_max, ByteBudget* parent = nullptr)
      : bytes_max_(bytes_max), parent_(parent) {}
  ByteBudget(const ByteBudget&) = delete;
  ByteBudget& operator=(const ByteBudget&) = delete;

  bool try_take(size_t bytes) {
    if (used_.fetch_add(bytes) + bytes <= bytes_max_ && (!parent_ || parent_->try_take(bytes)))
      return true;
    used_.fetch_sub(bytes);
    return false;
  }
  void give_back(size_t bytes) {
    used_.fetch_sub(bytes);
    if (parent_) parent_->give_back(bytes);
  }
  size_t used() const { return used_; }

 private:
  const size_t bytes_max_;
  ByteBudget* const parent_;
  std::atomic<size_t> used_ = 0;
};

/// What one holder has of a budget; given back at its end. One thread at a time.
class ByteShare {
 public:
  explicit ByteShare(ByteBudget& budget) : budget_(&budget) {}
  ByteShare(ByteShare&& other) noexcept
      : budget_(other.budget_), bytes_(std::exchange(other.bytes_, 0)) {}
  ByteShare& operator=(ByteShare&&) = delete;
  ~ByteShare() { budget_->give_back(bytes_); }

  /// Holds `bytes` from now on. False: the budget has no more, and it stays as it was.
  bool resize(size_t bytes) {
    if (bytes > bytes_ && !budget_->try_take(bytes - bytes_)) return false;
    if (bytes < bytes_) budget_->give_back(bytes_ - bytes);
    bytes_ = bytes;
    return true;
  }
  size_t bytes() const { return bytes_; }

 private:
  ByteBudget* budget_;
  size_t bytes_ = 0;
};

}  // namespace ziwa::protocol
