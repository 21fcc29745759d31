#pragma once

#include "base/result.h"
#include "duck/logical_plan.h"

#include <functional>
#include <string>

namespace ziwa::sql {

/// Gives the text that stands for a column of the operator below: "c7".
using NameColumn = std::function<Result<std::string>(const duckdb::ColumnBinding&)>;

/// Writes a bound expression as SQL text that binds to the same meaning again: every type explicit,
/// columns by `name`. This is how a plan outlives DuckDB's internals. Errors: unsupported, naming
/// what a view cannot compute (random(), now(), subqueries, lambdas, parameters).
Result<std::string> render_expression(const duckdb::Expression& expression, const NameColumn& name);

/// A constant as SQL text of exactly its type.
std::string render_constant(const duckdb::Value& value);

}  // namespace ziwa::sql
