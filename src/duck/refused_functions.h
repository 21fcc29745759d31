#pragma once

#include "duck/duckdb.h"

#include <span>

namespace ziwa::duck {

/// Table functions of DuckDB's that change the whole instance, write where they like or follow bare
/// pointers: a SELECT of one is refused with permission, however it is reached.
std::span<const char* const> refused_table_functions();

/// Makes it so, and refuses scalar functions as unsupported that cannot work here. Before anything
/// runs.
void refuse_functions(duckdb::DatabaseInstance& database);

}  // namespace ziwa::duck
