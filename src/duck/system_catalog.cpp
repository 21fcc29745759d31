#include "duck/system_catalog.h"

#include <duckdb/catalog/catalog.hpp>
#include <duckdb/catalog/default/default_functions.hpp>
#include <duckdb/parser/parsed_data/create_macro_info.hpp>
#include <duckdb/parser/parsed_data/create_scalar_function_info.hpp>
#include <duckdb/parser/parsed_data/create_view_info.hpp>

#include <array>

namespace ziwa::duck {
namespace {

duckdb::DefaultMacro as_default(const SystemMacro& macro) {
  duckdb::DefaultMacro form = {};
  form.schema = macro.schema.c_str();
  form.name = macro.name.c_str();
  for (size_t i = 0; i < macro.parameters.size(); ++i) {
    form.parameters[i] = macro.parameters[i].c_str();
  }
  form.macro = macro.sql.c_str();
  return form;
}

/// Runs `body` with DuckDB's own catalog and a transaction that everybody sees at once.
template <typename Body>
Status with_catalog(Instance& instance, Body&& body) {
  return guarded([&] {
    auto& database = *instance.database().instance;
    auto& catalog = duckdb::Catalog::GetSystemCatalog(database);
    body(catalog, duckdb::CatalogTransaction::GetSystemTransaction(database));
  });
}

}  // namespace

Status define_system_views(Instance& instance, std::span<const SystemView> views) {
  auto connection = instance.connect();
  return with_catalog(instance, [&](duckdb::Catalog& catalog, duckdb::CatalogTransaction in) {
    for (const SystemView& view : views) {
      auto info = duckdb::make_uniq<duckdb::CreateViewInfo>();
      info->schema = view.schema;
      info->view_name = view.name;
      info->sql = view.sql;
      info->temporary = true;
      info->internal = true;
      info->on_conflict = duckdb::OnCreateConflict::REPLACE_ON_CONFLICT;
      info = duckdb::CreateViewInfo::FromSelect(*connection->context, std::move(info));
      catalog.CreateView(in, *info);
    }
  });
}

Status define_system_macros(Instance& instance, std::span<const SystemMacro> macros) {
  return with_catalog(instance, [&](duckdb::Catalog& catalog, duckdb::CatalogTransaction in) {
    for (size_t first = 0; first < macros.size();) {
      std::vector<duckdb::DefaultMacro> forms;
      size_t next = first;
      for (; next < macros.size() && macros[next].name == macros[first].name; ++next) {
        forms.push_back(as_default(macros[next]));
      }
      auto info = duckdb::DefaultFunctionGenerator::CreateInternalMacroInfo(
          duckdb::array_ptr<const duckdb::DefaultMacro>(forms.data(), forms.size()));
      info->on_conflict = duckdb::OnCreateConflict::REPLACE_ON_CONFLICT;
      catalog.CreateFunction(in, *info);
      first = next;
    }
  });
}

Status define_system_function(Instance& instance, duckdb::ScalarFunction function) {
  return with_catalog(instance, [&](duckdb::Catalog& catalog, duckdb::CatalogTransaction in) {
    duckdb::CreateScalarFunctionInfo info(std::move(function));
    info.schema = DEFAULT_SCHEMA;
    info.internal = true;
    info.on_conflict = duckdb::OnCreateConflict::REPLACE_ON_CONFLICT;
    catalog.CreateFunction(in, info);
  });
}

}  // namespace ziwa::duck
