#pragma once

#include "duck/catalog_api.h"
#include "duck/planner.h"
#include "sql/translate.h"

#include <functional>

namespace ziwa::sql::testing {

/// The plan of a query over ordinary DuckDB tables that stand for catalog objects; `id_of` names
/// the object of a table.
inline Result<stream::Plan> plan_text(
    duckdb::Connection& connection, const std::string& query,
    const std::function<ObjectId(const std::string& table)>& id_of) {
  connection.BeginTransaction();
  auto result = [&]() -> Result<stream::Plan> {
    auto planned = TRY(duck::plan_query(connection, query));
    std::vector<std::string> names(planned.names.begin(), planned.names.end());
    ResolveScan resolve = [&](const duckdb::LogicalGet& get) -> Result<catalog::ObjectPtr> {
      auto table = get.GetTable();
      if (!table) return Error(Code::unsupported, "{}() in a view", get.function.name);
      auto object = std::make_shared<catalog::Object>();
      object->id = id_of(table->name);
      object->name = table->name;
      return object;
    };
    return translate(*planned.plan, names, resolve);
  }();
  connection.Rollback();
  return result;
}

}  // namespace ziwa::sql::testing
