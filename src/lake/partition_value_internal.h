#pragma once

#include "base/result.h"
#include "duck/duckdb.h"

#include <optional>
#include <string>

namespace ziwa::lake {

/// A value in the protocol's text form; nullopt for NULL and, as the protocol has it, for the empty
/// string. Errors: unsupported (a nested type, refused when the table is made).
Result<std::optional<std::string>> partition_text(const duckdb::Value& value);
/// The inverse; `type` is the stored type. Timestamps without a zone are UTC. Errors: corrupt.
Result<duckdb::Value> partition_value(const std::optional<std::string>& text,
                                      const duckdb::LogicalType& type);

}  // namespace ziwa::lake
