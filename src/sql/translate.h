#pragma once

#include "base/result.h"
#include "catalog/catalog.h"
#include "duck/logical_plan.h"
#include "sql/query_words.h"
#include "stream/plan.h"

#include <functional>
#include <string>
#include <vector>

namespace ziwa::sql {

/// Which catalog object a scan reads. Errors: unsupported (a file function, a system table ...).
using ResolveScan = std::function<Result<catalog::ObjectPtr>(const duckdb::LogicalGet&)>;

/// Translates DuckDB's optimised logical plan, column bindings not yet resolved, into a plan of
/// ours: a tree of incremental operators whose expressions are SQL text. `names` are the view's
/// column names, one per output column. Errors: unsupported, naming the part of the query that
/// cannot be kept incrementally yet and what can be written instead, at the
/// place that DuckDB or `words`, those of the query, know.
Result<stream::Plan> translate(duckdb::LogicalOperator& root, const std::vector<std::string>& names,
                               const ResolveScan& resolve, const QueryWords& words = {});

}  // namespace ziwa::sql
