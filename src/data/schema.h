#pragma once

#include "base/result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ziwa::data {

/// One column: a name as the user wrote it (looked up without regard to case), a type in DuckDB's
/// spelling
/// ("BIGINT", "VARCHAR", "DECIMAL(10,2)", "STRUCT(a INTEGER)[]"), and an id that outlives RENAME.
struct Column {
  uint32_t id = 0;
  std::string name;
  std::string type;
  bool not_null = false;
  friend bool operator==(const Column&, const Column&) = default;
};

/// Columns in order.
struct Schema {
  std::vector<Column> columns;
  std::optional<size_t> find(std::string_view name) const;  ///< Index, without regard to case.
  friend bool operator==(const Schema&, const Schema&) = default;
};

}  // namespace ziwa::data
