#pragma once

#include "base/result.h"
#include "duck/duckdb.h"

#include <optional>
#include <string>

namespace ziwa::lake {

/// Whether a date or timestamp has a year that Delta's texts can tell: 0001 to 9999.
bool has_delta_year(const duckdb::Value& value);

/// A value in the protocol's text form; nullopt for NULL and, as the protocol has it, for the empty
/// string. Errors: invalid_argument (a year that the text cannot tell), unsupported (a nested type,
/// refused when the table is made).
Result<std::optional<std::string>> partition_text(const duckdb::Value& value);
/// The inverse; `type` is the stored type. Timestamps without a zone are UTC. Errors: corrupt.
Result<duckdb::Value> partition_value(const std::optional<std::string>& text,
                                      const duckdb::LogicalType& type);

}  // namespace ziwa::lake
