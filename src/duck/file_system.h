#pragma once

#include "base/file.h"
#include "duck/duckdb.h"

#include <memory>
#include <string>

namespace ziwa::duck {

/// DuckDB's view of our file layer: everything an instance opens, lists, renames and syncs goes
/// through `fs`, which must outlive the instance. Paths that exist are resolved through symbolic
/// links before DuckDB compares them with the allowed directories. Any thread.
duckdb::unique_ptr<duckdb::FileSystem> make_file_system(FileSystem& fs);

/// Throws `error` as an exception of DuckDB's that to_error() turns back into the same code,
/// message and hint. Only for callbacks that DuckDB calls.
[[noreturn]] void throw_error(const Error& error);

}  // namespace ziwa::duck
