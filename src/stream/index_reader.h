#pragma once

#include "duck/aggregate.h"
#include "stream/call_index.h"

#include <memory>

namespace ziwa::stream {

/// How one aggregate call reads its answer from the rows of a group in order. One thread.
class IndexReader {
 public:
  virtual ~IndexReader() = default;
  virtual const duckdb::LogicalType& result_type() const = 0;
  /// Writes the answer for a lane of a group into row `row` of the flat vector `out`. Errors:
  /// invalid_argument when there is none (out of range).
  virtual Status result(const CallIndex& index, const std::byte* state, size_t lane,
                        duckdb::Vector& out, size_t row) = 0;

  /// The first argument of the first or the last row; NULL without rows.
  static std::unique_ptr<IndexReader> end_of(const CallIndex& index, bool last);
  /// median, quantile_cont and quantile_disc of one fraction: DuckDB's own function over the one or
  /// two rows that decide. Null when `program` is none of them, or its fraction counts from the
  /// end.
  static std::unique_ptr<IndexReader> quantile(std::unique_ptr<duck::AggregateProgram>& program,
                                               const std::string& function, const CallIndex& index);
  /// DuckDB's own function over all rows, in order. `distinct`: each once.
  static std::unique_ptr<IndexReader> whole(std::unique_ptr<duck::AggregateProgram> program,
                                            const CallIndex& index, bool distinct);
};

}  // namespace ziwa::stream
