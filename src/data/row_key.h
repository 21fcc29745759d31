#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "duck/chunk.h"

namespace ziwa::data {

/// Order-preserving bytes: memcmp order of keys = column order, NULLs last, floats by total order (NaN greatest), strings
/// by bytes. Used for state, view rows, group keys. Layout and example: docs/formats/row-key.md.
/// Encodes row `row` of `columns` (indices into `chunk`), appended to `out`. Types: everything but LIST/STRUCT/MAP, which
/// are refused when the encoder is made.
class RowKeyEncoder {
 public:
  static Result<RowKeyEncoder> create(const duckdb::vector<duckdb::LogicalType>& types);
  /// Keys of all rows of `chunk` over `columns`; `out` is resized to the number of rows. Column `i` of `columns` must have
  /// the i-th type. Vectorised: flattens as needed.
  void encode(duckdb::DataChunk& chunk, const std::vector<size_t>& columns, std::vector<std::string>& out) const;
  void encode_value(size_t column, const duckdb::Value& value, std::string& out) const;
  /// Decodes one key into row `row` of `out` (columns [first, first + types)). Errors: corrupt.
  Status decode(std::string_view key, duckdb::DataChunk& out, size_t first, size_t row) const;

 private:
  explicit RowKeyEncoder(std::vector<duckdb::LogicalType> types);
  std::vector<duckdb::LogicalType> types_;
};

/// Compact, self-contained bytes of any row (also nested types), not ordered: null bitmap, fixed fields, var fields.
/// Layout: docs/formats/row.md.
class RowEncoder {
 public:
  static Result<RowEncoder> create(const duckdb::vector<duckdb::LogicalType>& types);
  void encode(duckdb::DataChunk& chunk, const std::vector<size_t>& columns, std::vector<std::string>& out) const;
  Status decode(std::string_view row_bytes, duckdb::DataChunk& out, size_t first, size_t row) const;

 private:
  explicit RowEncoder(std::vector<duckdb::LogicalType> types);
  std::vector<duckdb::LogicalType> types_;
};

}  // namespace ziwa::data
