#include "duck/refused_functions.h"

#include <duckdb/catalog/catalog.hpp>
#include <duckdb/catalog/catalog_entry/table_function_catalog_entry.hpp>

#include <array>

namespace ziwa::duck {
namespace {

constexpr auto kRefused = std::to_array<const char*>(
    {"arrow_scan", "arrow_scan_dumb", "check_peg_parser", "checkpoint", "disable_logging",
     "disable_peg_parser", "disable_profiling", "enable_logging", "enable_peg_parser",
     "enable_profiling", "force_checkpoint", "read_duckdb", "seq_scan", "truncate_duckdb_logs",
     "write_log"});

duckdb::unique_ptr<duckdb::FunctionData> refuse(duckdb::ClientContext&,
                                                duckdb::TableFunctionBindInput& input,
                                                duckdb::vector<duckdb::LogicalType>&,
                                                duckdb::vector<std::string>&) {
  throw duckdb::PermissionException("%s is for the administrator", input.table_function.name);
}

}  // namespace

std::span<const char* const> refused_table_functions() { return kRefused; }

void refuse_table_functions(duckdb::DatabaseInstance& database) {
  duckdb::Connection connection(database);
  auto& context = *connection.context;
  context.RunFunctionInTransaction([&] {
    auto& catalog = duckdb::Catalog::GetSystemCatalog(context);
    for (const char* name : kRefused) {
      auto entry = catalog.GetEntry<duckdb::TableFunctionCatalogEntry>(
          context, DEFAULT_SCHEMA, name, duckdb::OnEntryNotFound::RETURN_NULL);
      if (!entry) continue;
      for (auto& function : entry->functions.functions) {
        function.bind = refuse;
        function.bind_replace = nullptr;
        function.bind_operator = nullptr;
      }
    }
  });
}

}  // namespace ziwa::duck
