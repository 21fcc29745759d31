#pragma once

#include "base/bytes.h"

#include <deque>
#include <memory>
#include <mutex>

namespace ziwa::log {

/// A batch as it stands on disk, shared by the appender and the readers at the tail. Immutable.
struct CachedBatch {
  int64_t base_offset = 0;
  int64_t last_offset = 0;
  Bytes bytes;
};

/// Keeps the newest batches of all partitions alive, up to a limit in bytes; partitions refer to
/// them weakly. Any thread.
class TailCache {
 public:
  explicit TailCache(uint64_t bytes_max) : bytes_max_(bytes_max) {}
  void add(std::shared_ptr<const CachedBatch> batch) {
    std::deque<std::shared_ptr<const CachedBatch>> evicted;  // freed after the lock
    std::lock_guard lock(mutex_);
    bytes_ += cost(*batch);
    batches_.push_back(std::move(batch));
    while (bytes_ > bytes_max_ && !batches_.empty()) {
      bytes_ -= cost(*batches_.front());
      evicted.push_back(std::move(batches_.front()));
      batches_.pop_front();
    }
  }

 private:
  static uint64_t cost(const CachedBatch& batch) {
    constexpr uint64_t kOverheadBytes = 192;  // control block, queue entries, the allocator's own
    return batch.bytes.size() + kOverheadBytes;
  }
  const uint64_t bytes_max_;
  std::mutex mutex_;
  std::deque<std::shared_ptr<const CachedBatch>> batches_;
  uint64_t bytes_ = 0;
};

}  // namespace ziwa::log
