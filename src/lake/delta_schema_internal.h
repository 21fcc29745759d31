#pragma once

#include "base/result.h"
#include "data/schema.h"
#include "duck/expression.h"
#include "lake/actions_internal.h"

#include <string>
#include <vector>

namespace ziwa::lake {

/// A table's columns twice: as the user declared them and as Parquet and other engines see them. A
/// type that Delta does not have (HUGEINT, UUID, ENUM ...) is stored as one it has; the declared
/// one travels in the column's metadata "ziwa.type".
struct TableColumns {
  data::Schema schema;
  std::vector<duckdb::LogicalType> declared;
  std::vector<duckdb::LogicalType> stored;
  std::vector<bool> is_partition;
};

/// Reads a schemaString. Errors: corrupt; unsupported naming the type or the feature (column
/// mapping, invariants are looked at by the protocol gate).
Result<TableColumns> parse_schema(const Metadata& metadata);

/// Whether a table whose columns are `now` serves those who expect others: it has them all, with
/// types that are stored alike, and what it has besides may be left out. Errors: unsupported,
/// naming the column.
Status check_expected(const TableColumns& expected,
                      const std::vector<std::string>& expected_partition_columns,
                      const TableColumns& now, const std::vector<std::string>& partition_columns);

/// Writes a schemaString; column types are parsed as declared. Errors: invalid_argument (unknown
/// type or column, duplicate name), unsupported (a type that cannot be stored).
Result<std::string> schema_to_string(const data::Schema& schema);

/// The type in Delta's terms that holds every value of `declared`. Errors: unsupported.
Result<duckdb::LogicalType> stored_type(const duckdb::LogicalType& declared);

/// Whether a TIMESTAMP without zone is in the type.
bool has_timestamp_without_zone(const duckdb::LogicalType& type);

}  // namespace ziwa::lake
