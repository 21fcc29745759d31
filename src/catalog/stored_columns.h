#pragma once

#include "catalog/objects.h"

#include <optional>
#include <string>
#include <vector>

namespace ziwa::catalog {

/// How a lake table lies in its Delta table: the declared columns, then one VARCHAR column per
/// derived partition field
/// (`month(ts)` is "ts_month" = '2001-03'). Readers ask for the declared columns only, which come
/// first, so positions agree. Writers (INSERT, COPY, sinks) compute the derived ones with
/// stored_expressions().

/// strftime format of a transform; nullopt for identity and unknown ones.
inline std::optional<std::string> partition_format(const std::string& transform) {
  if (transform == "year") return "%Y";
  if (transform == "month") return "%Y-%m";
  if (transform == "day") return "%Y-%m-%d";
  if (transform == "hour") return "%Y-%m-%d-%H";
  return std::nullopt;
}

/// The schema of the Delta table.
inline data::Schema stored_schema(const TableDefinition& table) {
  data::Schema schema = table.schema;
  uint32_t next_id = 0;
  for (const data::Column& column : schema.columns) next_id = std::max(next_id, column.id);
  for (const PartitionField& field : table.partitioned_by) {
    if (field.transform == "identity") continue;
    schema.columns.push_back({.id = ++next_id, .name = field.name, .type = "VARCHAR"});
  }
  return schema;
}

/// Names of the Delta partition columns.
inline std::vector<std::string> stored_partition_columns(const TableDefinition& table) {
  std::vector<std::string> names;
  for (const PartitionField& field : table.partitioned_by) names.push_back(field.name);
  return names;
}

/// SQL expressions over the declared columns (by name) that give the derived columns of
/// stored_schema(), in order.
inline std::vector<std::string> stored_expressions(const TableDefinition& table) {
  std::vector<std::string> expressions;
  for (const PartitionField& field : table.partitioned_by) {
    auto format = partition_format(field.transform);
    if (!format) continue;
    std::string quoted;
    for (char c : field.column) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
    expressions.push_back("strftime(\"" + quoted + "\", '" + *format + "')");
  }
  return expressions;
}

}  // namespace ziwa::catalog
