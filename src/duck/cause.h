#pragma once

#include "base/result.h"
#include "duck/duckdb.h"

#include <optional>
#include <string_view>

namespace ziwa::duck {

/// What exactly an error of DuckDB's says is wrong: by its type and its extra information, and only
/// where it has no more than a text by how that begins (and ends), which no value, column or table
/// of a user's can change. `message` is its raw message.
std::optional<Cause> cause_of(const duckdb::ErrorData& error, std::string_view message);
/// The code of an error of DuckDB's that has no cause.
Code code_without_cause(const duckdb::ErrorData& error, std::string_view message);
/// The cause of a failed cast, of which DuckDB gives the message alone.
Cause cause_of_cast(std::string_view message);

}  // namespace ziwa::duck
