#pragma once

#include "base/result.h"
#include "duck/chunk.h"
#include "duck/instance.h"

#include <memory>
#include <string>
#include <vector>

namespace duckdb {
class BoundAggregateExpression;
class BoundWindowExpression;
}  // namespace duckdb

namespace ziwa::duck {

/// One of DuckDB's aggregate functions over rows that are given to it, one group at a time: begin,
/// add as often as needed, finish. Belongs to one thread at a time.
class AggregateProgram {
 public:
  struct Call {
    std::string function;
    duckdb::vector<duckdb::LogicalType> columns;  ///< Arguments that rows have.
    std::vector<std::string> constants;           ///< Those after them, as SQL ("CAST('0.5' AS
                                                  ///< DOUBLE)"); the function is bound with them.
  };
  /// Errors: invalid_argument with DuckDB's message; unsupported for what is no plain aggregate.
  static Result<std::unique_ptr<AggregateProgram>> create(Instance& instance, const Call& call);
  ~AggregateProgram();
  const duckdb::LogicalType& result_type() const;
  /// The values of Call::constants.
  const std::vector<duckdb::Value>& constants() const;

  /// Forgets what was added.
  Status begin();
  /// Adds the rows of a chunk of `columns`, in order. Errors: invalid_argument when one fails.
  Status add(duckdb::DataChunk& rows);
  /// Writes the result into row `row` of the flat vector `out`. Errors: invalid_argument when it
  /// has none (out of range).
  Status finish(duckdb::Vector& out, size_t row);

 private:
  AggregateProgram();
  struct State;
  std::unique_ptr<State> state_;
};

/// Constants that DuckDB took out of a call's arguments when it bound them: the fractions of a
/// quantile, the separator of string_agg. None for functions that take none.
std::vector<duckdb::Value> constants_of(const duckdb::BoundAggregateExpression& call);
std::vector<duckdb::Value> constants_of(const duckdb::BoundWindowExpression& call);

/// Whether a call is what its name, its arguments and constants_of() say.
bool call_says_all(duckdb::ClientContext& context, const duckdb::BoundAggregateExpression& call);
bool call_says_all(duckdb::ClientContext& context, const duckdb::BoundWindowExpression& call);

}  // namespace ziwa::duck
