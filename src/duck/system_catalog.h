#pragma once

#include "base/result.h"
#include "duck/duckdb.h"
#include "duck/instance.h"

#include <duckdb/function/scalar_function.hpp>

#include <span>
#include <string>
#include <vector>

namespace ziwa::duck {

/// A view of DuckDB's own catalog.
struct SystemView {
  std::string schema;
  std::string name;
  std::string sql;  ///< A SELECT.
};

/// A macro of DuckDB's own catalog; neighbours of one name are one macro with several forms.
struct SystemMacro {
  std::string schema;
  std::string name;
  std::vector<std::string> parameters;  ///< At most 7.
  std::string sql;                      ///< An expression.
};

/// Puts entries into DuckDB's own catalog, where the statements of all sessions find them; entries
/// of the same name and kind are replaced. To be called before there are sessions.
Status define_system_views(Instance& instance, std::span<const SystemView> views);
Status define_system_macros(Instance& instance, std::span<const SystemMacro> macros);
Status define_system_function(Instance& instance, duckdb::ScalarFunction function);

}  // namespace ziwa::duck
