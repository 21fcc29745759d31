#pragma once

#include "data/scan.h"
#include "data/schema.h"
#include "stream/engine.h"

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace ziwa::sql {

class Core;

/// What a system table may look at: live components and what the reader's transaction is pinned to.
struct SystemContext {
  Core& core;
  const stream::Published& published;
  std::string session_user;
};

/// A table in schema `ziwa`. To add one, write its function and put it in the list in
/// system_tables.cpp.
struct SystemTable {
  std::string name;
  data::Schema schema;
  std::function<Result<std::shared_ptr<data::Scan>>(const SystemContext&)> open;
};

/// All of them, by name.
const std::vector<SystemTable>& system_tables();
/// Null when there is none; without regard to case.
const SystemTable* find_system_table(std::string_view name);

/// A scan over rows that are made at once; for small tables.
std::shared_ptr<data::Scan> rows_scan(const data::Schema& schema,
                                      std::vector<std::vector<duckdb::Value>> rows);

}  // namespace ziwa::sql
