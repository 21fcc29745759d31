#pragma once

#include "base/result.h"
#include "sql/statement.h"

#include <string_view>
#include <vector>

namespace ziwa::sql {

/// The tables that a SELECT names, in its subqueries and WITH clauses too, each as often as it
/// stands there; what a WITH clause defines is not among them. Nothing is looked up: a name may be
/// that of a file or of nothing. Errors: invalid_argument (no SELECT); unsupported for query() and
/// query_table(), which hide what they read.
Result<std::vector<QualifiedName>> referenced_names(std::string_view query);

}  // namespace ziwa::sql
