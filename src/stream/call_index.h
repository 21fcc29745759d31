#pragma once

#include "data/row_key.h"
#include "stream/group_index.h"
#include "stream/order_key.h"
#include "stream/stage.h"

#include <optional>
#include <span>
#include <vector>

namespace ziwa::stream {

/// The rows of each group in the order of some expressions, for the aggregate calls that need more
/// than an accumulator. Calls over the same expressions share one, with a lane per FILTER. One
/// thread.
class CallIndex {
 public:
  /// What is kept. Columns are those of the evaluator's output.
  struct Spec {
    std::vector<OrderKey::Column> order;  ///< Before the arguments.
    std::vector<size_t> arguments;  ///< By which entries are in order, and what they give back.
    bool exact = false;  ///< Arguments come back byte by byte, not only equal (-0.0, 30 days).
    bool skip_null_arguments = false;  ///< Rows with a NULL in one are not kept.
    bool skip_null_order = false;
    /// The first row of a group that only grows is all that is asked for, among those that pass:
    bool first_only = false;
    std::optional<size_t> first_filter;
    bool operator==(const Spec&) const = default;
  };
  /// Errors: unsupported naming the type that cannot be kept so.
  static Result<CallIndex> create(Spec spec, const duckdb::vector<duckdb::LogicalType>& types);
  const Spec& spec() const { return spec_; }
  /// Entries are in the order of their values, also without Spec::order.
  bool ordered() const { return keys_.has_value(); }
  const duckdb::vector<duckdb::LogicalType>& argument_types() const { return types_; }
  /// The lane of the rows that pass a filter. Before the first update only.
  size_t lane(std::optional<size_t> filter);
  GroupIndex& groups() { return groups_; }
  const GroupIndex& groups() const { return groups_; }

  /// What an update reads and where it goes.
  struct Rows {
    duckdb::DataChunk& columns;
    const Weight* weights = nullptr;               ///< Null: all +1.
    std::span<const std::vector<uint8_t>> passes;  ///< Per filter and row.
    std::span<std::byte* const> groups;            ///< Per row: GroupIndex's state.
  };
  void update(const Rows& rows);
  /// Per row of the last update: +1 when it brought its value into the lane, -1 when it took its
  /// last one out, else 0.
  const Weight* crossings(size_t lane) const { return crossings_[lane].data(); }

  /// Writes the arguments of an entry into row `row` of `out`. Errors: corrupt.
  Status decode(std::string_view key, duckdb::DataChunk& out, size_t row) const;

 private:
  CallIndex(Spec spec, OrderKey order) : spec_(std::move(spec)), order_(std::move(order)) {}
  void encode(duckdb::DataChunk& columns);
  std::string_view key(size_t row);
  bool skips(size_t row) const;

  Spec spec_;
  duckdb::vector<duckdb::LogicalType> types_;
  std::vector<data::ColumnTarget> targets_;
  OrderKey order_;
  std::optional<data::RowKeyEncoder> keys_;   ///< None for types without an order.
  std::optional<data::RowEncoder> rows_;      ///< Beside or instead of the keys.
  std::vector<std::optional<size_t>> lanes_;  ///< Their filters.
  GroupIndex groups_{0};

  // One chunk.
  data::ByteBlock key_bytes_;
  data::ByteBlock row_bytes_;
  std::vector<duckdb::UnifiedVectorFormat> not_null_;
  std::string scratch_;
  std::vector<Weight> changes_;
  std::vector<Weight> before_;
  std::vector<std::vector<Weight>> crossings_;
};

}  // namespace ziwa::stream
