#pragma once

#include <atomic>
#include <cstddef>
#include <utility>

namespace ziwa::protocol {

/// Bytes that connections may hold together. Any thread. Or a part of such a budget, for one
/// connection and one thread at a time: its first `floor` bytes are never refused by the whole, so
/// that whatever others hold small requests are served.
class ByteBudget {
 public:
  explicit ByteBudget(size_t bytes_max, ByteBudget* parent = nullptr, size_t floor = 0)
      : bytes_max_(bytes_max), floor_(floor), parent_(parent) {}
  ByteBudget(const ByteBudget&) = delete;
  ByteBudget& operator=(const ByteBudget&) = delete;

  bool try_take(size_t bytes) {
    size_t before = used_;
    do {
      if (bytes > bytes_max_ || before > bytes_max_ - bytes) return false;
    } while (!used_.compare_exchange_weak(before, before + bytes));
    if (!parent_ || parent_->try_take(shared(before + bytes) - shared(before))) return true;
    used_ -= bytes;
    return false;
  }
  void give_back(size_t bytes) {
    const size_t before = used_.fetch_sub(bytes);
    if (parent_) parent_->give_back(shared(before) - shared(before - bytes));
  }
  size_t used() const { return used_; }

 private:
  size_t shared(size_t bytes) const { return bytes > floor_ ? bytes - floor_ : 0; }

  const size_t bytes_max_;
  const size_t floor_;
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
