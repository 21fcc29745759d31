#pragma once

#include "duck/catalog_api.h"
#include "duck/expression.h"
#include "sql/statement.h"
#include "sql/view_planner.h"

#include <atomic>
#include <string>
#include <vector>

namespace ziwa::sql {

/// What CALL ziwa.<function>(...) may use.
struct CallContext {
  BindContext bind;
  const std::atomic<bool>& cancelled;
  /// Set to the journal number that the session's next read has to wait for.
  EntryNumber& written;
};

using CallRows = std::vector<std::vector<duckdb::Value>>;

/// One function. To add one, write it and put it in the list in calls.cpp.
struct CallFunction {
  std::string_view name;
  std::string_view signature;
  size_t arguments_min;
  size_t arguments_max;
  bool writes;  ///< Commits by itself: refused inside a transaction.
  std::vector<duck::NamedType> columns;
  Result<CallRows> (*run)(CallContext& context, const Call& call);
};

/// Checks the name and number of arguments. Errors: not_found with a suggestion; invalid_argument.
Result<const CallFunction*> find_call(const Call& call);

}  // namespace ziwa::sql
