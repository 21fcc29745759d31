#pragma once

#include "data/row_key.h"
#include "stream/plan_facts.h"
#include "stream/stage.h"

#include <functional>
#include <optional>
#include <queue>
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

/// Reads from row keys when what they name closes.
class ClosingKeys {
 public:
  /// `column`: of the keys, whose types are `types`. Errors: invalid_argument when it is no
  /// TIMESTAMP.
  static Result<ClosingKeys> create(const StageContext& context, const BoundColumn& column,
                                    const duckdb::vector<duckdb::LogicalType>& types);
  int64_t closes_at(std::string_view key);
  /// What closes up to this is final.
  int64_t reached() const { return bound_.reached(context_->watermark); }

 private:
  ClosingKeys(const StageContext& context, TimeBound bound, data::RowKeyEncoder encoder)
      : context_(&context), bound_(std::move(bound)), encoder_(std::move(encoder)) {}
  const StageContext* context_;
  TimeBound bound_;
  data::RowKeyEncoder encoder_;
  std::vector<data::ColumnTarget> targets_;
  std::unique_ptr<duckdb::DataChunk> value_;
};

}  // namespace ziwa::stream
