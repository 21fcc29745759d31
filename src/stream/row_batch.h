#pragma once

#include "base/result.h"
#include "stream/delta.h"

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ziwa::stream {

/// How rows of a table with its own contents are told apart.
enum class RowIdentity : unsigned char {
  key,  ///< The key columns name at most one row: a change replaces it.
  bag,  ///< The whole row is the key; equal rows add up.
};

/// Net changes of the rows of one table, sorted by key, immutable.
/// With RowIdentity::key an entry is the row's new value, or its end; with bag, the change of its
/// count.
class RowBatch {
 public:
  struct Entry {
    uint64_t at = 0;  ///< Key, then value, in `bytes`.
    uint32_t key_bytes = 0;
    uint32_t value_bytes = 0;
    Weight weight = 0;     ///< bag: the change of the count; key: +1, 0 or -1 rows.
    bool present = false;  ///< key: the row is there.
    bool final = false;    ///< In a builder: says all of its key, see RowBatchBuilder::put().
  };

  size_t size() const { return entries_.size(); }
  const Entry& entry(size_t i) const { return entries_[i]; }
  std::string_view key(size_t i) const {
    return {bytes_.data() + entries_[i].at, entries_[i].key_bytes};
  }
  std::string_view value(size_t i) const {
    return {bytes_.data() + entries_[i].at + entries_[i].key_bytes, entries_[i].value_bytes};
  }
  /// First entry whose key is >= `wanted`.
  size_t lower_bound(std::string_view wanted) const;
  size_t bytes() const { return bytes_.size() + entries_.size() * sizeof(Entry); }

  /// Later batches win (key) or add up (bag). Entries without effect are kept for keys (they hide
  /// older ones), dropped for bags.
  static std::shared_ptr<const RowBatch> merge(
      std::span<const std::shared_ptr<const RowBatch>> batches, RowIdentity identity);

 private:
  friend class RowBatchBuilder;
  void append(std::string_view key, std::string_view value, Weight weight, bool present,
              bool final = false);

  std::string bytes_;
  std::vector<Entry> entries_;
};
using RowBatchPtr = std::shared_ptr<const RowBatch>;

/// Collects the changes of a step and nets them.
class RowBatchBuilder {
 public:
  explicit RowBatchBuilder(RowIdentity identity) : identity_(identity) {}
  void add(std::string_view key, std::string_view value, Weight weight);
  /// What the key holds now: a new row (+1), a row instead of another (0), or none (-1). The last
  /// word on a key in this step.
  void put(std::string_view key, std::string_view value, Weight change);
  bool empty() const { return changes_.size() == 0; }
  /// The net changes (null when there are none) and their sum of weights; begins anew.
  /// Errors: internal when a key would name two rows: the plan's key is none.
  Result<RowBatchPtr> take(Weight& weight_sum);

 private:
  Status net_key(size_t first, size_t last, RowBatch& out, Weight& weight_sum);

  RowIdentity identity_;
  RowBatch changes_;  ///< In order of arrival.
  struct Sorted {
    uint64_t prefix;
    uint32_t index;
  };
  std::vector<Sorted> order_;
};

}  // namespace ziwa::stream
