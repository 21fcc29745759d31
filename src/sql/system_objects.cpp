#include "catalog/topic_name.h"
#include "sql/system_tables_internal.h"

namespace ziwa::sql {
namespace {

using duckdb::Value;

std::vector<catalog::ObjectPtr> objects_of(const SystemContext& context, catalog::Kind kind) {
  std::vector<catalog::ObjectPtr> objects;
  if (!context.published.catalog) return objects;
  for (const catalog::ObjectPtr& object : context.published.catalog->all()) {
    if (object->kind() == kind) objects.push_back(object);
  }
  return objects;
}

std::string name_of(const SystemContext& context, ObjectId id) {
  catalog::ObjectPtr object = context.published.catalog->find(id);
  return object ? object->schema + "." + object->name : "";
}

/// What the log says of a partition; one that was dropped a moment ago counts as empty.
log::PartitionInfo info_of(const SystemContext& context, PartitionId id) {
  auto info = context.core.deps.log.info(id);
  return info ? *info
              : log::PartitionInfo{
                    .id = id, .log_start = {}, .high_watermark = {}, .last_stable_offset = {}};
}

int64_t records_in(const log::PartitionInfo& info) {
  return info.high_watermark.value - info.log_start.value;
}

Result<SystemRows> topic_rows(const SystemContext& context) {
  SystemRows rows;
  for (const auto& object : objects_of(context, catalog::Kind::topic)) {
    const auto& topic = object->topic();
    int64_t records = 0;
    uint64_t bytes = 0;
    for (int32_t partition = 0; partition < topic.partitions; ++partition) {
      log::PartitionInfo info = info_of(context, {object->id, partition});
      records += records_in(info);
      bytes += info.bytes;
    }
    Value delay = topic.watermark ? Value::INTERVAL(0, 0, topic.watermark->delay_us)
                                  : Value(duckdb::LogicalType::INTERVAL);
    rows.push_back({text_value(object->schema), text_value(object->name), big(object->id.value),
                    Value::INTEGER(topic.partitions), text_value(topic.format),
                    optional_text(topic.partition_by),
                    optional_text(topic.watermark ? topic.watermark->column : ""), delay,
                    big(topic.retention_ms), big(topic.retention_bytes), big(records), big(bytes),
                    time_value(object->created), optional_text(object->project),
                    text_value(object->sql)});
  }
  return rows;
}

Result<SystemRows> partition_rows(const SystemContext& context) {
  SystemRows rows;
  for (const auto& object : objects_of(context, catalog::Kind::topic)) {
    for (int32_t partition = 0; partition < object->topic().partitions; ++partition) {
      log::PartitionInfo info = info_of(context, {object->id, partition});
      rows.push_back({text_value(object->schema), text_value(object->name),
                      Value::INTEGER(partition), big(info.log_start.value),
                      big(info.high_watermark.value), big(info.last_stable_offset.value),
                      big(records_in(info)), big(info.bytes), Value::INTEGER(info.segments)});
    }
  }
  return rows;
}

std::string partitioning(const catalog::TableDefinition& table) {
  std::string text;
  for (const auto& field : table.partitioned_by) {
    if (!text.empty()) text += ", ";
    text +=
        field.transform == "identity" ? field.column : field.transform + "(" + field.column + ")";
  }
  return text;
}

Result<SystemRows> table_rows(const SystemContext& context) {
  SystemRows rows;
  for (const auto& object : objects_of(context, catalog::Kind::table)) {
    auto found = context.published.tables.find(object->id);
    lake::TableSnapshotPtr snapshot =
        found == context.published.tables.end() ? nullptr : found->second;
    uint64_t bytes = 0;
    uint64_t count = 0;
    bool known = snapshot != nullptr;
    if (snapshot) {
      for (const auto& file : snapshot->files()) {
        bytes += file->size;
        known = known && file->rows;
        count += file->rows.value_or(0);
      }
    }
    rows.push_back({text_value(object->schema), text_value(object->name), big(object->id.value),
                    snapshot ? big(snapshot->version()) : Value(duckdb::LogicalType::BIGINT),
                    big(snapshot ? snapshot->files().size() : 0),
                    known ? big(count) : Value(duckdb::LogicalType::BIGINT), big(bytes),
                    optional_text(partitioning(object->table())),
                    text_value(context.core.directory_of(*object)), time_value(object->created),
                    optional_text(object->project), text_value(object->sql)});
  }
  return rows;
}

Result<SystemRows> view_rows(const SystemContext& context) {
  std::map<ObjectId, stream::ViewStatus> statuses;
  for (stream::ViewStatus& status : context.core.deps.engine.view_status())
    statuses[status.id] = std::move(status);
  uint64_t newest = context.core.deps.journal.durable().value;
  SystemRows rows;
  for (const auto& object : objects_of(context, catalog::Kind::view)) {
    const stream::ViewStatus& status = statuses[object->id];
    Value watermark(duckdb::LogicalType::TIMESTAMP);
    if (status.watermark_us)
      watermark = Value::TIMESTAMP(duckdb::timestamp_t(*status.watermark_us));
    auto version = context.published.views.find(object->id);
    bool readable = version != context.published.views.end() && version->second;
    Value changed_at(duckdb::LogicalType::BIGINT);
    if (readable) changed_at = big(version->second->changed_at().value);
    rows.push_back({text_value(object->schema), text_value(object->name), big(object->id.value),
                    text_value(status.state.empty() ? "starting" : status.state),
                    optional_text(status.error),
                    big(readable ? version->second->row_count() : status.rows),
                    big(newest > status.epoch.value ? newest - status.epoch.value : 0), watermark,
                    big(status.late_rows), big(status.row_errors), big(status.state_bytes),
                    big(status.epoch.value), big(status.checkpoint.value), changed_at,
                    time_value(object->created), optional_text(object->project),
                    text_value(object->view().query)});
  }
  return rows;
}

Result<SystemRows> sink_rows(const SystemContext& context) {
  std::map<ObjectId, stream::SinkStatus> statuses;
  for (stream::SinkStatus& status : context.core.deps.engine.sink_status())
    statuses[status.id] = std::move(status);
  SystemRows rows;
  for (const auto& object : objects_of(context, catalog::Kind::sink)) {
    const stream::SinkStatus& status = statuses[object->id];
    rows.push_back({text_value(object->schema), text_value(object->name), big(object->id.value),
                    text_value(status.state.empty() ? "starting" : status.state),
                    optional_text(status.error), text_value(name_of(context, object->sink().from)),
                    text_value(name_of(context, object->sink().into)), big(status.rows),
                    big(status.version), big(status.epoch.value),
                    big(object->sink().commit_interval_ms), time_value(object->created),
                    optional_text(object->project), text_value(object->sql)});
  }
  return rows;
}

Result<SystemRows> object_rows(const SystemContext& context) {
  SystemRows rows;
  if (!context.published.catalog) return rows;
  for (const auto& object : context.published.catalog->all()) {
    duckdb::vector<Value> depends_on;
    for (ObjectId id : object->depends_on) depends_on.push_back(text_value(name_of(context, id)));
    rows.push_back({text_value(object->schema), text_value(object->name), big(object->id.value),
                    text_value(catalog::kind_name(object->kind())), big(object->version),
                    Value::LIST(duckdb::LogicalType::VARCHAR, std::move(depends_on)),
                    time_value(object->created), optional_text(object->project),
                    text_value(object->sql)});
  }
  return rows;
}

Result<SystemRows> consumer_group_rows(const SystemContext& context) {
  SystemRows rows;
  for (const ConsumerGroupOffset& group : TRY(context.core.consumer_groups())) {
    std::vector<Value> row = {text_value(group.group), text_value(group.state), big(group.members)};
    if (group.partition) {
      log::PartitionInfo info = info_of(context, *group.partition);
      catalog::ObjectPtr topic = context.published.catalog->find(group.partition->topic);
      row.push_back(optional_text(topic ? catalog::topic_name(*topic) : ""));
      row.push_back(Value::INTEGER(group.partition->partition));
      row.push_back(big(group.committed.value));
      row.push_back(big(std::max<int64_t>(0, info.high_watermark.value - group.committed.value)));
    } else {
      row.push_back(Value(duckdb::LogicalType::VARCHAR));
      row.push_back(Value(duckdb::LogicalType::INTEGER));
      row.push_back(Value(duckdb::LogicalType::BIGINT));
      row.push_back(Value(duckdb::LogicalType::BIGINT));
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace

SystemTable consumer_groups_table() {
  return rows_table("consumer_groups",
                    make_system_schema({{"group_id", "VARCHAR"},
                                        {"state", "VARCHAR"},
                                        {"members", "BIGINT"},
                                        {"topic", "VARCHAR"},
                                        {"partition", "INTEGER"},
                                        {"committed", "BIGINT"},
                                        {"lag", "BIGINT"}}),
                    consumer_group_rows);
}

SystemTable topics_table() {
  return rows_table("topics",
                    make_system_schema({{"schema", "VARCHAR"},
                                        {"name", "VARCHAR"},
                                        {"id", "BIGINT"},
                                        {"partitions", "INTEGER"},
                                        {"format", "VARCHAR"},
                                        {"partition_by", "VARCHAR"},
                                        {"watermark_column", "VARCHAR"},
                                        {"watermark_delay", "INTERVAL"},
                                        {"retention_ms", "BIGINT"},
                                        {"retention_bytes", "BIGINT"},
                                        {"records", "BIGINT"},
                                        {"bytes", "BIGINT"},
                                        {"created", "TIMESTAMP"},
                                        {"project", "VARCHAR"},
                                        {"sql", "VARCHAR"}}),
                    topic_rows);
}

SystemTable partitions_table() {
  return rows_table("partitions",
                    make_system_schema({{"schema", "VARCHAR"},
                                        {"topic", "VARCHAR"},
                                        {"partition", "INTEGER"},
                                        {"log_start", "BIGINT"},
                                        {"high_watermark", "BIGINT"},
                                        {"last_stable_offset", "BIGINT"},
                                        {"records", "BIGINT"},
                                        {"bytes", "BIGINT"},
                                        {"segments", "INTEGER"}}),
                    partition_rows);
}

SystemTable tables_table() {
  return rows_table("tables",
                    make_system_schema({{"schema", "VARCHAR"},
                                        {"name", "VARCHAR"},
                                        {"id", "BIGINT"},
                                        {"version", "BIGINT"},
                                        {"files", "BIGINT"},
                                        {"rows", "BIGINT"},
                                        {"bytes", "BIGINT"},
                                        {"partitioned_by", "VARCHAR"},
                                        {"location", "VARCHAR"},
                                        {"created", "TIMESTAMP"},
                                        {"project", "VARCHAR"},
                                        {"sql", "VARCHAR"}}),
                    table_rows);
}

SystemTable views_table() {
  return rows_table("views",
                    make_system_schema({{"schema", "VARCHAR"},
                                        {"name", "VARCHAR"},
                                        {"id", "BIGINT"},
                                        {"state", "VARCHAR"},
                                        {"error", "VARCHAR"},
                                        {"rows", "BIGINT"},
                                        {"lag", "BIGINT"},
                                        {"watermark", "TIMESTAMP"},
                                        {"late_rows", "BIGINT"},
                                        {"row_errors", "BIGINT"},
                                        {"state_bytes", "BIGINT"},
                                        {"epoch", "BIGINT"},
                                        {"checkpoint", "BIGINT"},
                                        {"changed_at", "BIGINT"},
                                        {"created", "TIMESTAMP"},
                                        {"project", "VARCHAR"},
                                        {"query", "VARCHAR"}}),
                    view_rows);
}

SystemTable sinks_table() {
  return rows_table("sinks",
                    make_system_schema({{"schema", "VARCHAR"},
                                        {"name", "VARCHAR"},
                                        {"id", "BIGINT"},
                                        {"state", "VARCHAR"},
                                        {"error", "VARCHAR"},
                                        {"from_object", "VARCHAR"},
                                        {"into_table", "VARCHAR"},
                                        {"rows", "BIGINT"},
                                        {"version", "BIGINT"},
                                        {"epoch", "BIGINT"},
                                        {"commit_interval_ms", "BIGINT"},
                                        {"created", "TIMESTAMP"},
                                        {"project", "VARCHAR"},
                                        {"sql", "VARCHAR"}}),
                    sink_rows);
}

SystemTable objects_table() {
  return rows_table("objects",
                    make_system_schema({{"schema", "VARCHAR"},
                                        {"name", "VARCHAR"},
                                        {"id", "BIGINT"},
                                        {"kind", "VARCHAR"},
                                        {"version", "BIGINT"},
                                        {"depends_on", "VARCHAR[]"},
                                        {"created", "TIMESTAMP"},
                                        {"project", "VARCHAR"},
                                        {"sql", "VARCHAR"}}),
                    object_rows);
}

}  // namespace ziwa::sql
