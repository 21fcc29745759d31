#include "sql/entries.h"

#include "base/checksum.h"
#include "base/text.h"
#include "duck/expression.h"
#include "duck/file_system.h"
#include "sql/core.h"
#include "sql/scan_function.h"

#include <algorithm>

namespace ziwa::sql {
namespace {

[[noreturn]] void refuse(std::string_view what, std::string hint) {
  duck::throw_error(
      Error(Code::unsupported, "{} in database db is not built", what).with_hint(std::move(hint)));
}

constexpr const char* kStatementsHint = "there are CREATE TOPIC, TABLE, MATERIALIZED VIEW and SINK";

data::Column column(std::string name, std::string type) {
  return {.id = 0, .name = std::move(name), .type = std::move(type)};
}

bool is_raw(const catalog::TopicDefinition& topic) { return topic.schema.columns.empty(); }

/// The schema that SELECT * shows and the one that the scan gives.
struct Shape {
  data::Schema visible;
  data::Schema scan;
};

// Numbers of entries in pg_catalog: of objects they stay the same as long as the object lives.
constexpr uint64_t kObjectOids = 1'000'000;
constexpr uint64_t kSystemTableOids = 900'000;
constexpr uint64_t kPublicSchemaOid = 2'200;
constexpr uint64_t kSchemaOids = uint64_t{1} << 30;

uint64_t oid_of(const TableEntry::Target& target) {
  if (const auto* object = std::get_if<catalog::ObjectPtr>(&target))
    return kObjectOids + (*object)->id.value;
  return kSystemTableOids +
         static_cast<uint64_t>(std::get<const SystemTable*>(target) - system_tables().data());
}

uint64_t schema_oid_of(const std::string& name) {
  if (name == kDefaultSchema) return kPublicSchemaOid;
  return kSchemaOids + hash64(as_bytes(name)) % kSchemaOids;
}

std::string kind_of(const TableEntry::Target& target) {
  if (std::holds_alternative<const SystemTable*>(target)) return "system";
  switch (std::get<catalog::ObjectPtr>(target)->kind()) {
    case catalog::Kind::topic:
      return "topic";
    case catalog::Kind::table:
      return "table";
    case catalog::Kind::view:
      return "view";
    case catalog::Kind::sink:
      break;
  }
  return "sink";
}

Shape shape_of(const TableEntry::Target& target) {
  if (const auto* system = std::get_if<const SystemTable*>(&target))
    return {(*system)->schema, (*system)->schema};
  const auto& object = *std::get<catalog::ObjectPtr>(target);
  data::Schema visible = visible_schema(object);
  if (object.kind() == catalog::Kind::topic) return {visible, topic_scan_schema(object.topic())};
  return {visible, visible};
}

}  // namespace

const std::vector<data::Column>& topic_virtual_columns() {
  static const std::vector<data::Column> kColumns = {
      column("_partition", "INTEGER"),   column("_offset", "BIGINT"),
      column("_timestamp", "TIMESTAMP"), column("_key", "BLOB"),
      column("_value", "BLOB"),          column("_entry", "BIGINT"),
  };
  return kColumns;
}

data::Schema visible_schema(const catalog::Object& object) {
  switch (object.kind()) {
    case catalog::Kind::topic:
      if (is_raw(object.topic())) return {{column("_key", "BLOB"), column("_value", "BLOB")}};
      return object.topic().schema;
    case catalog::Kind::table:
      return object.table().schema;
    case catalog::Kind::view:
      return object.view().schema;
    case catalog::Kind::sink:
      break;
  }
  return {};
}

data::Schema topic_scan_schema(const catalog::TopicDefinition& topic) {
  data::Schema schema = topic.schema;
  if (is_raw(topic)) schema.columns = {column("_key", "BLOB"), column("_value", "BLOB")};
  for (const data::Column& hidden : topic_virtual_columns()) {
    if (!schema.find(hidden.name)) schema.columns.push_back(hidden);
  }
  return schema;
}

TableEntry::TableEntry(duckdb::Catalog& catalog, duckdb::SchemaCatalogEntry& schema,
                       duckdb::CreateTableInfo& info, EntrySet& owner, Target target,
                       data::Schema scan_schema)
    : duckdb::TableCatalogEntry(catalog, schema, info),
      owner_(owner),
      target_(std::move(target)),
      scan_schema_(std::move(scan_schema)) {
  for (const data::Column& column : scan_schema_.columns) {
    auto type = duck::parse_type(column.type);
    if (!type) duck::throw_error(type.error());
    scan_types_.push_back(*type);
  }
}

catalog::ObjectPtr TableEntry::object() const {
  const auto* object = std::get_if<catalog::ObjectPtr>(&target_);
  return object ? *object : nullptr;
}

duckdb::unique_ptr<duckdb::BaseStatistics> TableEntry::GetStatistics(duckdb::ClientContext&,
                                                                     duckdb::column_t) {
  return nullptr;
}

duckdb::TableFunction TableEntry::GetScanFunction(
    duckdb::ClientContext&, duckdb::unique_ptr<duckdb::FunctionData>& bind_data) {
  return make_scan_function(*this, bind_data);
}

duckdb::TableStorageInfo TableEntry::GetStorageInfo(duckdb::ClientContext& context) {
  duckdb::TableStorageInfo info;
  if (auto rows = estimated_rows(context, *this)) info.cardinality = *rows;
  return info;
}

duckdb::virtual_column_map_t TableEntry::GetVirtualColumns() const {
  duckdb::virtual_column_map_t columns;
  columns[duckdb::COLUMN_IDENTIFIER_EMPTY] = duckdb::TableColumn("", duckdb::LogicalType::BOOLEAN);
  size_t visible = GetColumns().LogicalColumnCount();
  for (size_t i = visible; i < scan_schema_.columns.size(); ++i) {
    columns[duckdb::VIRTUAL_COLUMN_START + i] =
        duckdb::TableColumn(scan_schema_.columns[i].name, scan_types_[i]);
  }
  return columns;
}

std::optional<size_t> TableEntry::scan_column(duckdb::column_t id) const {
  if (id == duckdb::COLUMN_IDENTIFIER_EMPTY) return std::nullopt;
  return id >= duckdb::VIRTUAL_COLUMN_START ? id - duckdb::VIRTUAL_COLUMN_START : id;
}

TableEntry* SchemaEntry::find(const std::string& table_name) {
  std::lock_guard lock(mutex_);
  auto known = tables_.find(lower(table_name));
  if (known != tables_.end()) return known->second.get();
  if (name == kSystemSchema) {
    const SystemTable* system = find_system_table(table_name);
    return system ? &make(system->name, system) : nullptr;
  }
  catalog::ObjectPtr object = owner_.snapshot()->find(name, table_name);
  if (!object || object->kind() == catalog::Kind::sink) return nullptr;
  return &make(object->name, object);
}

TableEntry& SchemaEntry::make(const std::string& table_name, TableEntry::Target target) {
  Shape shape = shape_of(target);
  duckdb::CreateTableInfo info(*this, table_name);
  info.tags["kind"] = kind_of(target);
  uint64_t oid = oid_of(target);
  for (size_t i = 0; i < shape.visible.columns.size(); ++i) {
    const data::Column& column = shape.visible.columns[i];
    auto type = duck::parse_type(column.type);
    if (!type) duck::throw_error(type.error());
    info.columns.AddColumn(duckdb::ColumnDefinition(column.name, *type));
    if (column.not_null)
      info.constraints.push_back(
          duckdb::make_uniq<duckdb::NotNullConstraint>(duckdb::LogicalIndex(i)));
  }
  auto entry = std::make_unique<TableEntry>(catalog, *this, info, owner_, std::move(target),
                                            std::move(shape.scan));
  TableEntry& made = *entry;
  made.oid = oid;
  tables_[lower(table_name)] = std::move(entry);
  return made;
}

void SchemaEntry::Scan(duckdb::ClientContext&, duckdb::CatalogType type,
                       const SimpleCallback& callback) {
  Scan(type, callback);
}

void SchemaEntry::Scan(duckdb::CatalogType type, const SimpleCallback& callback) {
  if (type != duckdb::CatalogType::TABLE_ENTRY) return;
  if (name == kSystemSchema) {
    for (const SystemTable& table : system_tables()) callback(*find(table.name));
    return;
  }
  for (const catalog::ObjectPtr& object : owner_.snapshot()->all()) {
    if (object->kind() == catalog::Kind::sink || lower(object->schema) != lower(name)) continue;
    callback(*find(object->name));
  }
}

duckdb::optional_ptr<duckdb::CatalogEntry> SchemaEntry::LookupEntry(
    duckdb::CatalogTransaction, const duckdb::EntryLookupInfo& lookup) {
  if (lookup.GetCatalogType() != duckdb::CatalogType::TABLE_ENTRY) return nullptr;
  return find(lookup.GetEntryName());
}

SchemaEntry::Entry SchemaEntry::CreateIndex(duckdb::CatalogTransaction, duckdb::CreateIndexInfo&,
                                            duckdb::TableCatalogEntry&) {
  refuse("CREATE INDEX",
         "equality and range conditions on partition columns and _offset skip what they can");
}
SchemaEntry::Entry SchemaEntry::CreateFunction(duckdb::CatalogTransaction,
                                               duckdb::CreateFunctionInfo&) {
  refuse("CREATE FUNCTION", "CREATE TEMP MACRO lives as long as the session");
}
SchemaEntry::Entry SchemaEntry::CreateTable(duckdb::CatalogTransaction,
                                            duckdb::BoundCreateTableInfo&) {
  refuse("this CREATE TABLE", kStatementsHint);
}
SchemaEntry::Entry SchemaEntry::CreateView(duckdb::CatalogTransaction, duckdb::CreateViewInfo&) {
  refuse("CREATE VIEW", "CREATE MATERIALIZED VIEW keeps its rows up to date");
}
SchemaEntry::Entry SchemaEntry::CreateSequence(duckdb::CatalogTransaction,
                                               duckdb::CreateSequenceInfo&) {
  refuse("CREATE SEQUENCE", kStatementsHint);
}
SchemaEntry::Entry SchemaEntry::CreateTableFunction(duckdb::CatalogTransaction,
                                                    duckdb::CreateTableFunctionInfo&) {
  refuse("CREATE FUNCTION", "CREATE TEMP MACRO lives as long as the session");
}
SchemaEntry::Entry SchemaEntry::CreateCopyFunction(duckdb::CatalogTransaction,
                                                   duckdb::CreateCopyFunctionInfo&) {
  refuse("CREATE FUNCTION", kStatementsHint);
}
SchemaEntry::Entry SchemaEntry::CreatePragmaFunction(duckdb::CatalogTransaction,
                                                     duckdb::CreatePragmaFunctionInfo&) {
  refuse("CREATE FUNCTION", kStatementsHint);
}
SchemaEntry::Entry SchemaEntry::CreateCollation(duckdb::CatalogTransaction,
                                                duckdb::CreateCollationInfo&) {
  refuse("CREATE COLLATION", kStatementsHint);
}
SchemaEntry::Entry SchemaEntry::CreateType(duckdb::CatalogTransaction, duckdb::CreateTypeInfo&) {
  refuse("CREATE TYPE", kStatementsHint);
}
void SchemaEntry::DropEntry(duckdb::ClientContext&, duckdb::DropInfo& info) {
  refuse("this DROP", "DROP TOPIC, TABLE, MATERIALIZED VIEW or SINK " + info.name);
}
void SchemaEntry::Alter(duckdb::CatalogTransaction, duckdb::AlterInfo&) {
  refuse("ALTER", "DROP and CREATE the object");
}

EntrySet::EntrySet(duckdb::Catalog& catalog, catalog::SnapshotPtr snapshot)
    : snapshot_(std::move(snapshot)) {
  std::vector<std::string> names = snapshot_->schemas();
  names.emplace_back(kDefaultSchema);
  names.emplace_back(kSystemSchema);
  for (const std::string& name : names) {
    auto& entry = schemas_[lower(name)];
    if (entry) continue;
    duckdb::CreateSchemaInfo info;
    info.schema = name;
    info.internal = name == kSystemSchema;
    entry = std::make_unique<SchemaEntry>(catalog, info, *this);
    entry->oid = schema_oid_of(lower(name));
  }
}

SchemaEntry* EntrySet::schema(const std::string& name) {
  auto found = schemas_.find(lower(name));
  return found == schemas_.end() ? nullptr : found->second.get();
}

std::vector<SchemaEntry*> EntrySet::schemas() {
  std::vector<SchemaEntry*> all;
  for (auto& [name, entry] : schemas_) all.push_back(entry.get());
  return all;
}

}  // namespace ziwa::sql
