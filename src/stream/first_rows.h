#pragma once

#include "stream/key_table.h"
#include "stream/top_n_rows.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace ziwa::stream {

/// Top-n of an input that never takes rows back: only rows that count are kept, and most rows are
/// turned away by the bytes of their order alone. The state on disk is as TopN's.
class FirstRows final : public Stage {
 public:
  explicit FirstRows(std::unique_ptr<TopNRows> rows);
  ~FirstRows() override;
  Status consume(size_t input, Delta& delta) override;
  Status finish() override;
  Status save(StateWriter& writer) override;
  Status load(char tag, std::string_view key, std::string_view value) override;
  size_t state_bytes() const override;

 private:
  using Slot = KeyTable::Slot;
  /// A kept row: its order key and its own key, in one block of memory.
  struct Entry {
    char* bytes = nullptr;
    uint32_t size = 0;
    uint32_t order_bytes = 0;
    Weight weight = 0;
    bool stored = false;
    bool unsaved = false;
    std::string_view key() const { return {bytes, size}; }
    std::string_view order() const { return {bytes, order_bytes}; }
  };
  /// What the output has: rows in order, each with its weight.
  struct Shown {
    std::string_view key;
    uint32_t order_bytes;
    Weight weight;
  };
  using ShownRows = std::vector<Shown>;
  struct Partition {
    std::vector<Entry> rows;  ///< In order; their weights add up to the wanted ones at most.
    Weight total = 0;
    bool touched = false;
    bool listed = false;  ///< In unsaved_.
  };

  /// No partition has more rows than this.
  static Weight clamped(uint64_t rows) {
    return static_cast<Weight>(std::min<uint64_t>(rows, uint64_t{1} << 40));
  }
  Partition& partition(Slot slot) { return *reinterpret_cast<Partition*>(table_.payload(slot)); }
  Status begin_partition(Slot slot);
  void end_partition(Slot slot);
  bool is_full(const Partition& of) const { return of.total >= wanted_; }
  Entry make_entry(std::string_view key, uint32_t order_bytes);
  void add(Slot slot, uint32_t order_bytes, Weight weight);
  void evict(Slot slot);
  void find_shown(const Partition& of, ShownRows& out) const;
  Status show_changes(const ShownRows& before, const ShownRows& after);
  Status show_ranks(const ShownRows& before, const ShownRows& after);
  Status show(const Shown& row, size_t rank, Weight weight);
  Status let_go(StateWriter& writer);

  std::unique_ptr<TopNRows> rows_;
  Weight wanted_;
  DeltaSlice slice_;
  KeyTable table_;
  ClosingSlots closing_;
  size_t bytes_ = 0;  ///< Of rows.

  // One chunk.
  data::ByteBlock partition_keys_;
  data::ByteBlock row_keys_;
  std::vector<Slot> slots_;
  std::vector<uint8_t> inserted_;
  std::string key_;
  duckdb::SelectionVector candidates_{STANDARD_VECTOR_SIZE};

  // One step.
  std::vector<Slot> touched_;
  std::vector<ShownRows> before_;  ///< As touched_, and more to be used again.
  ShownRows after_;
  std::vector<char*> gone_;  ///< Rows that `before_` may name.

  // Since the last checkpoint.
  std::vector<Slot> unsaved_;
  std::vector<std::pair<std::string, std::string>> removed_;  ///< Partition and key.
};

}  // namespace ziwa::stream
