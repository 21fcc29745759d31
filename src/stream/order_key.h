#pragma once

#include "base/result.h"
#include "data/row_key.h"
#include "stream/plan.h"

#include <span>
#include <string>
#include <vector>

namespace ziwa::stream {

/// Bytes of rows that sort as an ORDER BY does; rows that are equal in it have the same. One
/// thread.
class OrderKey {
 public:
  struct Column {
    size_t column = 0;
    bool descending = false;
    bool nulls_first = false;
    bool operator==(const Column&) const = default;
  };
  /// `types` are those of the chunks that encode() gets. Errors: unsupported naming the type that
  /// has no order.
  static Result<OrderKey> create(std::vector<Column> columns,
                                 const duckdb::vector<duckdb::LogicalType>& types);
  /// For an evaluator that computes the expressions of `order` from column `first` on.
  static Result<OrderKey> create(std::span<const SortOrder> order, size_t first,
                                 const duckdb::vector<duckdb::LogicalType>& types);

  void encode(duckdb::DataChunk& rows);
  /// Appends the key of a row of the last encode().
  void append(size_t row, std::string& out) const;

 private:
  std::vector<Column> columns_;
  std::vector<data::RowKeyEncoder> encoders_;
  std::vector<data::ByteBlock> keys_;
};

}  // namespace ziwa::stream
