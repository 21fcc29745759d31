#pragma once

#include "duck/duckdb.h"

#include <functional>
#include <map>
#include <mutex>
#include <span>
#include <string>

namespace ziwa::duck {

/// Changes every overload of DuckDB's own table functions of these names; names that this DuckDB
/// lacks are left out. Before anything runs.
void change_table_functions(duckdb::DatabaseInstance& database, std::span<const char* const> names,
                            const std::function<void(duckdb::TableFunction&)>& change);
/// The same for scalar functions.
void change_scalar_functions(duckdb::DatabaseInstance& database, std::span<const char* const> names,
                             const std::function<void(duckdb::ScalarFunction&)>& change);

/// DuckDB's own callbacks by the name of their function, for ours that stand in their place. They
/// are the same in every instance of the process. Any thread.
template <typename Callback>
class OriginalCallbacks {
 public:
  void keep(const std::string& name, Callback original) {
    std::lock_guard lock(mutex_);
    kept_.emplace(name, original);
  }
  Callback of(const std::string& name) const {
    std::lock_guard lock(mutex_);
    return kept_.at(name);
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, Callback> kept_;
};

}  // namespace ziwa::duck
