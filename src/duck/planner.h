#pragma once

#include "base/result.h"
#include "duck/duckdb.h"

#include <duckdb/common/type_visitor.hpp>
#include <duckdb/planner/binder.hpp>
#include <duckdb/planner/logical_operator.hpp>

#include <string>
#include <vector>

namespace ziwa::duck {

/// A query as DuckDB understands it. Refers to entries of the catalog: use it inside the
/// transaction it was planned in.
struct PlannedQuery {
  duckdb::shared_ptr<duckdb::Binder>
      binder;  ///< Owns what the plan refers to; before `plan`, so that it dies last.
  duckdb::unique_ptr<duckdb::LogicalOperator>
      plan;  ///< Types are resolved, column bindings are not.
  duckdb::vector<std::string> names;
  duckdb::vector<duckdb::LogicalType> types;
  /// Functions in the query whose answer depends on when or where they run, e.g. "now", "random",
  /// in order, once each. They are found before folding, so `plan` may hold their answer of this
  /// moment: refuse such a query if it is to last.
  std::vector<std::string> unstable_functions;
  /// Functions whose calls in `plan` cannot be told by their name and arguments alone, e.g.
  /// list_transform (a lambda), array_to_string (its separator is in DuckDB's bind data).
  std::vector<std::string> untold_functions;
};

/// The function of {'a': 1}.
inline constexpr std::string_view kStructPack = "struct_pack";

/// Binds one SELECT and runs the optimiser passes that do not look at data, so that the plan
/// outlives today's rows: no statistics, no filters inside scans, no compressed keys, no rewriting
/// of windows. Touches no setting of the instance. `connection` must have an open transaction. One
/// thread per connection. Errors: invalid_argument, not_found with position; unsupported (anything
/// but one SELECT; parameters).
Result<PlannedQuery> plan_query(duckdb::Connection& connection, const std::string& sql);

/// Names of functions whose answer is not decided by their arguments, in `expression` and below;
/// appended once each.
void collect_unstable_functions(const duckdb::Expression& expression,
                                std::vector<std::string>& names);

}  // namespace ziwa::duck
