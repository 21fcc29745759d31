#pragma once

#include "duck/catalog_api.h"
#include "sql/core.h"
#include "sql/system_tables.h"

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

namespace ziwa::sql {

using SystemRows = std::vector<std::vector<duckdb::Value>>;

/// Columns by name and type.
data::Schema make_system_schema(std::initializer_list<std::pair<const char*, const char*>> columns);
/// A small table whose rows are all made when it is read.
SystemTable rows_table(std::string name, data::Schema schema,
                       std::function<Result<SystemRows>(const SystemContext&)> make_rows);

// system_objects.cpp: what is in the catalog, and how it is doing.
SystemTable topics_table();
SystemTable partitions_table();
SystemTable tables_table();
SystemTable views_table();
SystemTable sinks_table();
SystemTable objects_table();
SystemTable consumer_groups_table();

// system_server.cpp: the server itself.
SystemTable settings_table();
SystemTable metrics_table();
SystemTable sessions_table();
SystemTable statements_table();
SystemTable epoch_table();

// system_stream.cpp: what the streams left out, and the order.
SystemTable late_rows_table();
SystemTable row_errors_table();
SystemTable waits_table();
SystemTable dead_letters_table();
SystemTable journal_table();
SystemTable idle_marks_table();

/// "name", or "schema.name" outside the default schema.
inline std::string shown_name(const catalog::Object& object) {
  return object.schema == kDefaultSchema ? object.name : object.schema + "." + object.name;
}
inline duckdb::Value text_value(std::string_view text) { return duckdb::Value(std::string(text)); }
/// NULL for an empty text.
inline duckdb::Value optional_text(std::string_view text) {
  return text.empty() ? duckdb::Value(duckdb::LogicalType::VARCHAR) : text_value(text);
}
inline duckdb::Value big(int64_t number) { return duckdb::Value::BIGINT(number); }
inline duckdb::Value big(uint64_t number) {
  return duckdb::Value::BIGINT(static_cast<int64_t>(number));
}
inline duckdb::Value time_value(TimestampMs time) {
  return duckdb::Value::TIMESTAMP(duckdb::timestamp_t(time.value * 1000));
}

}  // namespace ziwa::sql
