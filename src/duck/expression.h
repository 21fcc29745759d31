#pragma once

#include "base/result.h"
#include "duck/chunk.h"
#include "duck/instance.h"

#include <memory>
#include <string>
#include <vector>

namespace ziwa::duck {

/// A column: its name and type.
struct NamedType {
  std::string name;
  duckdb::LogicalType type;
};

/// Compiled scalar expressions over the columns of a chunk. Made from SQL text (`c1 + c2`,
/// `upper(c3)`), run by DuckDB's vectorised executor. Belongs to one thread at a time.
class ExpressionProgram {
 public:
  /// `inputs` are the columns by name and in chunk order; each of `expressions` is one scalar SQL
  /// expression over them. Fixed at compile time: time zone UTC and search path. Errors:
  /// invalid_argument with DuckDB's message.
  static Result<std::unique_ptr<ExpressionProgram>> compile(
      Instance& instance, const std::vector<NamedType>& inputs,
      const std::vector<std::string>& expressions);
  ~ExpressionProgram();
  const duckdb::vector<duckdb::LogicalType>& output_types() const;
  /// Evaluates all expressions; `out` (output_types) is overwritten and may share vectors with
  /// `in`. Errors: invalid_argument when a row fails (cast, overflow, division): names no row; see
  /// execute_rows.
  Status execute(duckdb::DataChunk& in, duckdb::DataChunk& out);
  /// As execute, but finds the rows that fail by halving: `failed[i]` is the message of row i, or
  /// empty; failed rows are NULL.
  Status execute_rows(duckdb::DataChunk& in, duckdb::DataChunk& out,
                      std::vector<std::string>& failed);
  /// For one BOOLEAN expression: fills `selection` with the rows for which it is true, returns
  /// their number.
  Result<size_t> select(duckdb::DataChunk& in, duckdb::SelectionVector& selection);

 private:
  ExpressionProgram();
  struct State;
  std::unique_ptr<State> state_;
};

/// "BIGINT", "DECIMAL(10,2)", "STRUCT(a INTEGER)[]" -> type. Errors: invalid_argument with a
/// suggestion.
Result<duckdb::LogicalType> parse_type(std::string_view text);
/// The inverse.
std::string type_name(const duckdb::LogicalType& type);

}  // namespace ziwa::duck
