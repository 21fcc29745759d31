#pragma once

#include "base/result.h"
#include "duck/chunk.h"
#include "duck/instance.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace ziwa::duck {

/// Calls of window functions over rows that are given to it: add rows, run, read the answers.
/// Belongs to one thread at a time.
class WindowProgram {
 public:
  /// `columns` are called c0, c1, ... in `calls`, and `number` is how many rows were added before:
  /// "lag(c3) OVER (PARTITION BY c0 ORDER BY c1, number)". Errors: invalid_argument with DuckDB's
  /// message.
  static Result<std::unique_ptr<WindowProgram>> create(
      Instance& instance, const duckdb::vector<duckdb::LogicalType>& columns,
      const std::vector<std::string>& calls);
  ~WindowProgram();
  /// One per call.
  const duckdb::vector<duckdb::LogicalType>& result_types() const;
  /// Rows added since the last run.
  size_t size() const;
  /// Adds the rows of a chunk of the columns.
  Status add(duckdb::DataChunk& rows);
  /// Answers the calls for all rows added and forgets these: chunks of the row's number (BIGINT)
  /// and the results, in no order. Errors: invalid_argument when a call fails for some row, those
  /// of `take`; the rows are forgotten all the same.
  Status run(const std::function<Status(duckdb::DataChunk&)>& take);

 private:
  WindowProgram();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ziwa::duck
