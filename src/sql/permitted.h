#pragma once

#include "duck/catalog_api.h"
#include "duck/instance.h"
#include "sql/statement.h"

#include <string>
#include <string_view>

namespace ziwa::sql {

/// The one statement of `text`, judged by what DuckDB's own parser makes of it: whatever our
/// tokenizer took for its verb, only what a session may run comes back (ATTACH with its path within
/// the allowed folders of `instance`). Errors: permission, unsupported; what the parser says.
Result<duckdb::unique_ptr<duckdb::SQLStatement>> parse_permitted(duck::Instance& instance,
                                                                 duckdb::Connection& connection,
                                                                 const std::string& text,
                                                                 std::string_view verb);

/// The name that such an ATTACH gives its file; empty for other statements.
std::string attached_name(const duckdb::SQLStatement& statement);

/// Whether a bound statement changes nothing but our catalog and the session's temporary objects.
/// Errors: permission.
Status check_modified(const duckdb::StatementProperties& properties);

/// Whether the session looks for names in our catalog, and only there. Errors: permission;
/// invalid_argument when it is empty: names would be made in one place and looked for in another.
Status check_search_path(const duckdb::CatalogSearchPath& path);

}  // namespace ziwa::sql
