#pragma once

#include "data/scan.h"
#include "duck/catalog_api.h"
#include "sql/entries.h"

#include <memory>
#include <optional>
#include <vector>

namespace ziwa::sql {

/// Identity of what a plan scans, and the bounds its filters give. Never a version or a file list:
/// those come from the transaction that runs the plan. Holds the entry's set, so that a plan
/// outlives the transaction it was made in.
struct ScanBind final : duckdb::TableFunctionData {
  explicit ScanBind(TableEntry& table) : owner(table.owner().shared_from_this()), entry(table) {}
  std::shared_ptr<EntrySet> owner;
  TableEntry& entry;
  std::vector<data::ScanRequest::Bound> bounds;  ///< Columns of entry.scan_schema().

  duckdb::unique_ptr<duckdb::FunctionData> Copy() const override;
  bool Equals(const duckdb::FunctionData& other) const override;
};

/// The one table function that every table of ours is read with.
duckdb::TableFunction make_scan_function(TableEntry& entry,
                                         duckdb::unique_ptr<duckdb::FunctionData>& bind_data);

/// Lets DuckDB copy plans that scan our tables.
Status register_scan_function(duck::Instance& instance);

/// The catalog object that a scan of a plan reads; null when the scan is not ours or reads a system
/// table.
catalog::ObjectPtr scanned_object(const duckdb::LogicalGet& get);

/// Rows of a table in the transaction of `context`, if that is known cheaply.
std::optional<uint64_t> estimated_rows(duckdb::ClientContext& context, TableEntry& entry);

}  // namespace ziwa::sql
