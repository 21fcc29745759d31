#include "duck/system_functions.h"

#include <duckdb/catalog/catalog.hpp>
#include <duckdb/catalog/catalog_entry/scalar_function_catalog_entry.hpp>
#include <duckdb/catalog/catalog_entry/table_function_catalog_entry.hpp>

namespace ziwa::duck {
namespace {

template <typename Entry, typename Change>
void change_functions(duckdb::DatabaseInstance& database, std::span<const char* const> names,
                      const Change& change) {
  duckdb::Connection connection(database);
  auto& context = *connection.context;
  context.RunFunctionInTransaction([&] {
    auto& catalog = duckdb::Catalog::GetSystemCatalog(context);
    for (const char* name : names) {
      auto entry = catalog.GetEntry<Entry>(context, DEFAULT_SCHEMA, name,
                                           duckdb::OnEntryNotFound::RETURN_NULL);
      if (!entry) continue;
      for (auto& function : entry->functions.functions) change(function);
    }
  });
}

}  // namespace

void change_table_functions(duckdb::DatabaseInstance& database, std::span<const char* const> names,
                            const std::function<void(duckdb::TableFunction&)>& change) {
  change_functions<duckdb::TableFunctionCatalogEntry>(database, names, change);
}

void change_scalar_functions(duckdb::DatabaseInstance& database, std::span<const char* const> names,
                             const std::function<void(duckdb::ScalarFunction&)>& change) {
  change_functions<duckdb::ScalarFunctionCatalogEntry>(database, names, change);
}

}  // namespace ziwa::duck
