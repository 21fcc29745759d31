#pragma once

#include "data/row_key.h"
#include "stream/key_table.h"
#include "stream/plan_facts.h"
#include "stream/stage.h"

#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <string_view>
#include <vector>

namespace ziwa::stream {

/// Never: what has no time, or an infinite one.
inline constexpr int64_t kNeverCloses = std::numeric_limits<int64_t>::max();

/// When a row with a time goes: its time plus `plus_us` plus the bound's own. kNeverCloses for what
/// no watermark reaches.
int64_t closes_at(int64_t time_us, int64_t plus_us, const TimeBound& bound);

/// Things by when they close. They may be gone when their time comes, so who pops looks.
template <typename Thing>
class ClosingQueue {
 public:
  struct Due {
    int64_t at_us;
    Thing thing;
    bool operator>(const Due& other) const { return at_us > other.at_us; }
  };
  void push(int64_t at_us, Thing thing) {
    if (at_us != kNeverCloses) queue_.push({at_us, std::move(thing)});
  }
  /// The next one that closes up to `reached_us`, which leaves the queue.
  std::optional<Due> pop(int64_t reached_us) {
    if (queue_.empty() || queue_.top().at_us > reached_us) return std::nullopt;
    Due due = queue_.top();
    queue_.pop();
    return due;
  }
  size_t bytes() const { return queue_.size() * sizeof(Due); }

 private:
  std::priority_queue<Due, std::vector<Due>, std::greater<>> queue_;
};

/// Reads from row keys when what they name closes; never, without a bounded column.
class ClosingKeys {
 public:
  /// `column`: of the keys, whose types are `types`. Errors: invalid_argument when it is no
  /// TIMESTAMP.
  static Result<ClosingKeys> create(const StageContext& context,
                                    const std::optional<BoundColumn>& column,
                                    const duckdb::vector<duckdb::LogicalType>& types);
  /// Errors: corrupt.
  Result<int64_t> closes_at(std::string_view key);
  /// What closes up to this is final.
  int64_t reached() const { return bound_ ? bound_->reached(context_->watermark) : kNoWatermark; }

 private:
  explicit ClosingKeys(data::RowKeyEncoder encoder) : encoder_(std::move(encoder)) {}
  const StageContext* context_ = nullptr;
  std::optional<TimeBound> bound_;
  data::RowKeyEncoder encoder_;
  std::vector<data::ColumnTarget> targets_;
  std::unique_ptr<duckdb::DataChunk> value_;
};

/// Names of partitions by when they close.
class ClosingPartitions {
 public:
  explicit ClosingPartitions(ClosingKeys keys) : keys_(std::move(keys)) {}
  /// A partition begins. Errors: corrupt.
  Status watch(std::string_view name) {
    due_.push(TRY(keys_.closes_at(name)), std::string(name));
    return {};
  }
  /// One that is final; it may be gone already.
  std::optional<std::string> next() {
    auto due = due_.pop(keys_.reached());
    return due ? std::optional(std::move(due->thing)) : std::nullopt;
  }
  size_t bytes() const { return due_.bytes(); }

 private:
  ClosingKeys keys_;
  ClosingQueue<std::string> due_;
};

/// Entries of a table by when they close.
class ClosingSlots {
 public:
  explicit ClosingSlots(ClosingKeys keys) : keys_(std::move(keys)) {}
  /// An entry is new. Errors: corrupt.
  Status watch(KeyTable::Slot slot, std::string_view key) {
    due_.push(TRY(keys_.closes_at(key)), slot);
    return {};
  }
  /// One that is final and still there.
  Result<std::optional<KeyTable::Slot>> next(const KeyTable& table);
  size_t bytes() const { return due_.bytes(); }

 private:
  ClosingKeys keys_;
  ClosingQueue<KeyTable::Slot> due_;
};

}  // namespace ziwa::stream
