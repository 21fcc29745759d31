#pragma once

#include "base/result.h"
#include "duck/chunk.h"

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ziwa::data {

/// Byte strings of many rows in one buffer: no allocation per row. Reused from chunk to chunk.
class ByteBlock {
 public:
  size_t size() const { return starts_.empty() ? 0 : starts_.size() - 1; }
  /// The bytes of row `row`; until the next encode into this block.
  std::string_view operator[](size_t row) const {
    return {bytes_.data() + starts_[row], starts_[row + 1] - starts_[row]};
  }
  void clear() {
    bytes_.clear();
    starts_.clear();
  }

 private:
  friend class RowKeyEncoder;
  friend class RowEncoder;
  std::vector<char> bytes_;
  std::vector<size_t> starts_;  ///< One more than rows.
  std::vector<size_t> cursors_;
};

/// Where a decoded column goes: index of a column of the output chunk, or kSkip.
using ColumnTarget = int32_t;
inline constexpr ColumnTarget kSkip = -1;

namespace detail {
struct ColumnCodec;
}

/// Order-preserving bytes: memcmp order of keys = column order, NULLs last, floats by total order
/// (NaN greatest), strings by bytes. Used for state, view rows, group keys. Equal values of DuckDB
/// give equal bytes: -0.0 is 0.0, an INTERVAL is normalised. Layout and example:
/// docs/formats/row-key.md. Types: everything but LIST/STRUCT/MAP and other nested ones, which are
/// refused when the encoder is made. Immutable; any thread.
class RowKeyEncoder {
 public:
  /// Errors: unsupported naming the type.
  static Result<RowKeyEncoder> create(const duckdb::vector<duckdb::LogicalType>& types);
  RowKeyEncoder(RowKeyEncoder&&) noexcept;
  RowKeyEncoder& operator=(RowKeyEncoder&&) noexcept;
  ~RowKeyEncoder();

  /// Keys of all rows of `chunk` over `columns`: column `columns[i]` must have the i-th type.
  /// Replaces `out`.
  void encode(duckdb::DataChunk& chunk, std::span<const size_t> columns, ByteBlock& out) const;
  /// As above; `out` is resized to the number of rows.
  void encode(duckdb::DataChunk& chunk, const std::vector<size_t>& columns,
              std::vector<std::string>& out) const;
  /// Appends one value (of exactly the column's type) to `out`: for bounds and prefixes.
  void encode_value(size_t column, const duckdb::Value& value, std::string& out) const;
  /// Decodes one key into row `row` of `out` (columns [first, first + types)). Errors: corrupt.
  Status decode(std::string_view key, duckdb::DataChunk& out, size_t first, size_t row) const;
  /// Decodes column i into column `targets[i]` of `out` and returns how many bytes the key took:
  /// what follows belongs to the caller. Errors: corrupt.
  Result<size_t> decode_columns(std::string_view key, std::span<const ColumnTarget> targets,
                                duckdb::DataChunk& out, size_t row) const;
  /// The first key after all keys that start with `prefix`; empty when there is none.
  static std::string after_prefix(std::string_view prefix);
  size_t columns() const;

 private:
  explicit RowKeyEncoder(std::vector<detail::ColumnCodec> codecs);
  std::vector<detail::ColumnCodec> codecs_;
};

/// Compact, self-contained bytes of any row (also nested types), not ordered: null bitmap, fixed
/// fields, var fields. Layout: docs/formats/row.md. Immutable; any thread.
class RowEncoder {
 public:
  /// Errors: unsupported naming the type.
  static Result<RowEncoder> create(const duckdb::vector<duckdb::LogicalType>& types);
  RowEncoder(RowEncoder&&) noexcept;
  RowEncoder& operator=(RowEncoder&&) noexcept;
  ~RowEncoder();

  void encode(duckdb::DataChunk& chunk, std::span<const size_t> columns, ByteBlock& out) const;
  void encode(duckdb::DataChunk& chunk, const std::vector<size_t>& columns,
              std::vector<std::string>& out) const;
  Status decode(std::string_view row_bytes, duckdb::DataChunk& out, size_t first, size_t row) const;
  Status decode_columns(std::string_view row_bytes, std::span<const ColumnTarget> targets,
                        duckdb::DataChunk& out, size_t row) const;
  size_t columns() const;

 private:
  explicit RowEncoder(std::vector<detail::ColumnCodec> codecs);
  std::vector<detail::ColumnCodec> codecs_;
};

}  // namespace ziwa::data
