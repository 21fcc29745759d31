#pragma once

#include "catalog/catalog.h"
#include "data/schema.h"
#include "duck/catalog_api.h"
#include "sql/system_tables.h"

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <variant>
#include <vector>

namespace ziwa::sql {

class EntrySet;

/// Columns of every topic that are not declared, in this order after the declared ones. They are
/// virtual: SELECT * leaves them out. On a raw topic _key and _value are ordinary columns.
const std::vector<data::Column>& topic_virtual_columns();
/// All columns of a topic's scan: declared (raw: _key, _value) and then the virtual ones that are
/// not among them.
data::Schema topic_scan_schema(const catalog::TopicDefinition& topic);
/// Columns that SELECT * gives for an object.
data::Schema visible_schema(const catalog::Object& object);

/// A topic, lake table, view or system table as DuckDB sees it. Owned by its EntrySet.
class TableEntry final : public duckdb::TableCatalogEntry {
 public:
  using Target = std::variant<catalog::ObjectPtr, const SystemTable*>;
  TableEntry(duckdb::Catalog& catalog, duckdb::SchemaCatalogEntry& schema,
             duckdb::CreateTableInfo& info, EntrySet& owner, Target target,
             data::Schema scan_schema);

  duckdb::unique_ptr<duckdb::BaseStatistics> GetStatistics(duckdb::ClientContext&,
                                                           duckdb::column_t) override;
  duckdb::TableFunction GetScanFunction(
      duckdb::ClientContext& context, duckdb::unique_ptr<duckdb::FunctionData>& bind_data) override;
  duckdb::TableStorageInfo GetStorageInfo(duckdb::ClientContext& context) override;
  duckdb::virtual_column_map_t GetVirtualColumns() const override;
  duckdb::vector<duckdb::column_t> GetRowIdColumns() const override { return {}; }

  const Target& target() const { return target_; }
  /// Null for a system table.
  catalog::ObjectPtr object() const;
  EntrySet& owner() const { return owner_; }
  /// What the scan gives: the visible columns, then the virtual ones.
  const data::Schema& scan_schema() const { return scan_schema_; }
  const duckdb::LogicalType& scan_type(size_t column) const { return scan_types_.at(column); }
  /// Position in scan_schema() of a column id of DuckDB's; nullopt for the empty column.
  std::optional<size_t> scan_column(duckdb::column_t id) const;

 private:
  EntrySet& owner_;
  Target target_;
  data::Schema scan_schema_;
  std::vector<duckdb::LogicalType> scan_types_;
};

/// One schema of an EntrySet.
class SchemaEntry final : public duckdb::SchemaCatalogEntry {
 public:
  SchemaEntry(duckdb::Catalog& catalog, duckdb::CreateSchemaInfo& info, EntrySet& owner)
      : duckdb::SchemaCatalogEntry(catalog, info), owner_(owner) {}

  using SimpleCallback = std::function<void(duckdb::CatalogEntry&)>;
  void Scan(duckdb::ClientContext& context, duckdb::CatalogType type,
            const SimpleCallback& callback) override;
  void Scan(duckdb::CatalogType type, const SimpleCallback& callback) override;
  duckdb::optional_ptr<duckdb::CatalogEntry> LookupEntry(
      duckdb::CatalogTransaction, const duckdb::EntryLookupInfo& lookup) override;

  // Everything that makes or changes an entry is a statement of ours and never comes this way.
  using Entry = duckdb::optional_ptr<duckdb::CatalogEntry>;
  Entry CreateIndex(duckdb::CatalogTransaction, duckdb::CreateIndexInfo&,
                    duckdb::TableCatalogEntry&) override;
  Entry CreateFunction(duckdb::CatalogTransaction, duckdb::CreateFunctionInfo&) override;
  Entry CreateTable(duckdb::CatalogTransaction, duckdb::BoundCreateTableInfo&) override;
  Entry CreateView(duckdb::CatalogTransaction, duckdb::CreateViewInfo&) override;
  Entry CreateSequence(duckdb::CatalogTransaction, duckdb::CreateSequenceInfo&) override;
  Entry CreateTableFunction(duckdb::CatalogTransaction, duckdb::CreateTableFunctionInfo&) override;
  Entry CreateCopyFunction(duckdb::CatalogTransaction, duckdb::CreateCopyFunctionInfo&) override;
  Entry CreatePragmaFunction(duckdb::CatalogTransaction,
                             duckdb::CreatePragmaFunctionInfo&) override;
  Entry CreateCollation(duckdb::CatalogTransaction, duckdb::CreateCollationInfo&) override;
  Entry CreateType(duckdb::CatalogTransaction, duckdb::CreateTypeInfo&) override;
  void DropEntry(duckdb::ClientContext&, duckdb::DropInfo&) override;
  void Alter(duckdb::CatalogTransaction, duckdb::AlterInfo&) override;

 private:
  TableEntry* find(const std::string& name);
  TableEntry& make(const std::string& table_name, TableEntry::Target target);

  EntrySet& owner_;
  std::mutex mutex_;
  std::map<std::string, std::unique_ptr<TableEntry>>
      tables_;  ///< By lower-case name, made when first asked for.
};

/// The entries of one catalog version. Immutable but for entries made on demand; held by every
/// transaction, plan and scan that refers to one of its entries, because DuckDB keeps raw
/// references. Any thread.
class EntrySet : public std::enable_shared_from_this<EntrySet> {
 public:
  EntrySet(duckdb::Catalog& catalog, catalog::SnapshotPtr snapshot);

  SchemaEntry* schema(const std::string& name);
  std::vector<SchemaEntry*> schemas();
  const catalog::SnapshotPtr& snapshot() const { return snapshot_; }

 private:
  catalog::SnapshotPtr snapshot_;
  std::map<std::string, std::unique_ptr<SchemaEntry>> schemas_;  ///< By lower-case name.
};

}  // namespace ziwa::sql
