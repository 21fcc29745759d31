#pragma once

#include "base/bytes.h"
#include "stream/delta.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace ziwa::stream {

/// Watermarks of one topic: per partition the greatest event time less the delay, merged by the
/// least. Events must come in journal order; the result depends on entries alone, never on how many
/// make a step. A partition without a time yet holds the merged one back, an idle one does not; the
/// merged one never goes back. One thread.
class WatermarkTracker {
 public:
  WatermarkTracker(size_t partitions, int64_t delay_us);

  /// Everything that follows belongs to `entry` or later ones. After this merged() is the watermark
  /// before `entry`.
  void begin_entry(uint64_t entry);
  /// The entry holds records of the partition: it is not idle.
  void active(size_t partition);
  /// The entry is an idle mark.
  void idle(size_t partition);
  /// One record's event time.
  void observe(size_t partition, int64_t event_us) {
    auto& pending = pending_[partition];
    if (event_us > pending) pending = event_us;
    dirty_ = true;
  }
  /// The last entry is complete.
  void end_entry();

  /// kNoWatermark until every partition that is not idle had a time.
  int64_t merged() const { return merged_; }
  bool is_idle(size_t partition) const { return partitions_[partition].idle; }
  /// None before its first time.
  std::optional<int64_t> watermark(size_t partition) const;
  /// Of the partitions that are not idle; none if one of them has no time yet, or all are idle.
  std::optional<int64_t> least() const;
  size_t partitions() const { return partitions_.size(); }
  /// New partitions hold the watermark back.
  void add_partitions(size_t count);

  void save(ByteWriter& out) const;
  Status load(ByteReader& in);

 private:
  struct Partition {
    int64_t greatest_us = kNoWatermark;
    bool idle = false;
  };
  void merge();

  int64_t delay_us_;
  std::vector<Partition> partitions_;
  std::vector<int64_t> pending_;  ///< Greatest time in the entry that is not complete.
  std::vector<std::optional<bool>> pending_idle_;
  bool dirty_ = false;
  uint64_t entry_ = 0;
  int64_t merged_ = kNoWatermark;
};

}  // namespace ziwa::stream
