#pragma once

#include "duck/duckdb.h"

namespace ziwa::duck {

/// Makes DuckDB's readers of JSON files (read_json and its like, FROM 'x.json') refuse a file that
/// nests deeper than kJsonTextDepthMax where they look for its columns, which goes down into each
/// value by recursion. Only what they read for that is looked at: once the columns are known, as
/// COPY FROM knows them, a value is taken apart no deeper than their types. Call before the
/// instance is used. Throws.
void guard_json_files(duckdb::DatabaseInstance& database);

}  // namespace ziwa::duck
