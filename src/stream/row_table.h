#pragma once

#include "data/row_key.h"
#include "data/scan.h"
#include "state/store.h"
#include "stream/engine.h"
#include "stream/row_batch.h"
#include "stream/stage.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ziwa::stream {

/// Layout of a table of rows: columns, which of them are the key, and how rows become bytes.
/// Immutable, shared by versions.
struct RowLayout {
  data::Schema schema;
  duckdb::vector<duckdb::LogicalType> types;
  RowIdentity identity = RowIdentity::bag;
  std::vector<size_t> key_columns;    ///< In key order; a bag: all columns that have an order.
  std::vector<size_t> value_columns;  ///< The others.
  data::RowKeyEncoder key_encoder;
  data::RowEncoder value_encoder;

  /// `key`: positions that identify a row; empty: a bag.
  static Result<std::shared_ptr<const RowLayout>> create(const data::Schema& schema,
                                                         const std::vector<uint32_t>& key);
};
using RowLayoutPtr = std::shared_ptr<const RowLayout>;

/// Rows at one moment: the last checkpoint in the store and what came after it, in memory.
class RowTableVersion final : public ViewVersion,
                              public std::enable_shared_from_this<RowTableVersion> {
 public:
  struct Parts {
    RowLayoutPtr layout;
    state::Store* store = nullptr;
    state::TableId table;
    std::string prefix;
    std::shared_ptr<const state::Snapshot> snapshot;
    std::vector<RowBatchPtr> batches;  ///< Oldest first.
    Epoch changed_at;
    uint64_t rows = 0;
  };
  explicit RowTableVersion(Parts parts) : parts_(std::move(parts)) {}
  std::shared_ptr<data::Scan> scan() const override;
  Epoch changed_at() const override { return parts_.changed_at; }
  uint64_t row_count() const override { return parts_.rows; }
  const Parts& parts() const { return parts_; }

 private:
  Parts parts_;
};

/// The contents of a view (or of late rows, or dead letters): a stage that takes changes, nets them
/// per step and keeps them until a checkpoint has written them. One thread; versions for any.
class RowTable final : public Stage {
 public:
  /// Rows are kept in `table` of `store` under `prefix`.
  RowTable(RowLayoutPtr layout, state::Store& store, state::TableId table, std::string prefix);

  /// Serves what the last checkpoint stored.
  void restore(std::shared_ptr<const state::Snapshot> snapshot, uint64_t rows, Epoch changed_at);

  /// Forgets all rows that are here; those in the store stay.
  void clear();

  Status consume(size_t input, Delta& delta) override;
  bool takes_upserts() const override {
    return layout_->identity == RowIdentity::key && !has_targets();
  }
  /// Makes the step's changes part of the contents. True when there was a net change.
  Result<bool> apply(Epoch epoch);

  std::shared_ptr<const RowTableVersion> version();
  uint64_t rows() const { return rows_; }
  Epoch changed_at() const { return changed_at_; }
  size_t memory_bytes() const;
  const RowLayoutPtr& layout() const { return layout_; }
  const std::string& prefix() const { return prefix_; }

  /// What a checkpoint has to write: all changes since the last one, as one batch (null: none).
  /// They stay readable here until thaw(). Not while another is being written.
  RowBatchPtr freeze();
  /// The frozen changes are in `snapshot`.
  void thaw(std::shared_ptr<const state::Snapshot> snapshot);
  /// The checkpoint failed: the frozen changes are owed again.
  void unfreeze();
  /// Puts a frozen batch into a checkpoint. Any thread.
  static Status write(const RowTableVersion::Parts& base, const RowBatch& frozen,
                      state::WriteBatch& out);
  RowTableVersion::Parts base() const;

 private:
  RowLayoutPtr layout_;
  state::Store& store_;
  state::TableId table_;
  std::string prefix_;
  std::shared_ptr<const state::Snapshot> snapshot_;
  RowBatchBuilder builder_;
  RowBatchPtr frozen_;
  std::vector<RowBatchPtr> live_;
  uint64_t rows_ = 0;
  Epoch changed_at_;
  std::shared_ptr<const RowTableVersion> version_;
  data::ByteBlock keys_;
  data::ByteBlock values_;
};

}  // namespace ziwa::stream
