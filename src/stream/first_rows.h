#pragma once

#include "stream/closing.h"
#include "stream/key_table.h"
#include "stream/order_key.h"
#include "stream/stage.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

namespace ziwa::stream {

/// Top-n of an input that never takes rows back: only rows that count are kept, and most rows are
/// turned away by the bytes of their order alone. The state is stored as TopN stores it.
class FirstRows final : public Stage {
 public:
  static Result<std::unique_ptr<FirstRows>> create(StageContext& context, uint32_t node_id,
                                                   const TopNNode& node,
                                                   const std::vector<PlanColumn>& input,
                                                   const std::vector<PlanColumn>& output,
                                                   const std::optional<BoundColumn>& closing);
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

  FirstRows(const TopNNode& node, data::RowKeyEncoder partitions, data::RowKeyEncoder rows,
            OrderKey order)
      : node_(node),
        wanted_(clamped(node.limit) + clamped(node.offset)),
        partition_encoder_(std::move(partitions)),
        row_encoder_(std::move(rows)),
        order_key_(std::move(order)),
        table_(sizeof(Partition)) {}
  /// No partition has more rows than this.
  static Weight clamped(uint64_t rows) {
    return static_cast<Weight>(std::min<uint64_t>(rows, uint64_t{1} << 40));
  }
  Partition& partition(Slot slot) { return *reinterpret_cast<Partition*>(table_.payload(slot)); }
  void begin_partition(Slot slot);
  void end_partition(Slot slot);
  bool is_full(const Partition& of) const { return of.total >= wanted_; }
  void add(Slot slot, uint32_t order_bytes, Weight weight);
  void evict(Slot slot);
  void find_shown(const Partition& of, ShownRows& out) const;
  Status show_changes(const ShownRows& before, const ShownRows& after);
  Status show_ranks(const ShownRows& before, const ShownRows& after);
  Status show(const Shown& row, size_t rank, Weight weight);
  void let_go(StateWriter& writer);
  std::string stored_key(Slot slot, std::string_view key) const;

  TopNNode node_;
  Weight wanted_;
  data::RowKeyEncoder partition_encoder_;
  data::RowKeyEncoder row_encoder_;
  OrderKey order_key_;
  std::unique_ptr<Evaluator> evaluator_;  ///< Partition columns, then order columns.
  std::vector<size_t> partition_columns_;
  std::vector<size_t> row_columns_;
  std::vector<data::ColumnTarget> targets_;
  std::unique_ptr<DeltaSlice> slice_;
  KeyTable table_;
  std::optional<ClosingKeys> closing_;
  ClosingQueue<Slot> due_;
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
  duckdb::DataChunk output_;
  std::vector<Weight> weights_;

  // Since the last checkpoint.
  std::vector<Slot> unsaved_;
  std::vector<std::string> removed_;
};

}  // namespace ziwa::stream
