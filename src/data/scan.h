#pragma once

#include "base/result.h"
#include "data/schema.h"
#include "duck/chunk.h"

#include <memory>
#include <string>
#include <vector>

namespace duckdb {
class Value;
}

namespace ziwa::data {

/// What a reader wants of a table: columns and the bounds that can be pushed down. All bounds are
/// conjunctive and optional to use: the caller filters again.
struct ScanRequest {
  /// Indices into schema().columns, in output order.
  std::vector<size_t> columns;
  struct Bound {
    size_t column = 0;
    enum class Op : unsigned char {
      equal,
      less,
      less_equal,
      greater,
      greater_equal
    } op = Op::equal;
    std::shared_ptr<const duckdb::Value> value;
  };
  std::vector<Bound> bounds;
};

/// One pass over some part of a table. One thread.
class ScanStream {
 public:
  virtual ~ScanStream() = default;
  /// Fills `out` (types of the requested columns) with up to 2,048 rows; 0 rows = the end. Blocks.
  virtual Status next(duckdb::DataChunk& out) = 0;
};

/// A pinned, immutable table: log, lake and stream implement it, sql wraps it as a DuckDB table
/// function. Any thread.
class Scan {
 public:
  virtual ~Scan() = default;
  virtual const Schema& schema() const = 0;
  /// Splits the work into parts that can run on different threads; together they give every row
  /// once.
  virtual Result<std::vector<std::unique_ptr<ScanStream>>> open(const ScanRequest& request,
                                                                size_t parts_max) = 0;
  /// Rows if known cheaply, for the optimiser.
  virtual std::optional<uint64_t> row_count() const { return std::nullopt; }
};

}  // namespace ziwa::data
