#pragma once

#include "duck/duckdb.h"

#include <functional>
#include <span>

namespace ziwa::duck {

/// Changes every overload of DuckDB's own table functions of these names; names that this DuckDB
/// lacks are left out. Before anything runs.
void change_table_functions(duckdb::DatabaseInstance& database, std::span<const char* const> names,
                            const std::function<void(duckdb::TableFunction&)>& change);
/// The same for scalar functions.
void change_scalar_functions(duckdb::DatabaseInstance& database, std::span<const char* const> names,
                             const std::function<void(duckdb::ScalarFunction&)>& change);

}  // namespace ziwa::duck
