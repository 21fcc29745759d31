#pragma once

#include "duck/duckdb.h"

#include <cstddef>

namespace ziwa::duck {

/// Arrays and objects inside each other that DuckDB's JSON functions take.
inline constexpr size_t kJsonTextDepthMax = 1'000;

/// Makes DuckDB's functions and casts that go down into JSON text by recursion, or need room that
/// grows with the square of its depth, refuse text that nests deeper than kJsonTextDepthMax: one
/// deep text in a row would end the process. Call before the instance is used. Throws.
void guard_json_functions(duckdb::DatabaseInstance& database);

}  // namespace ziwa::duck
