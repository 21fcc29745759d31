#include "sql/permitted.h"

#include "duck/parser.h"
#include "sql/core.h"

#include <algorithm>

namespace ziwa::sql {
namespace {

using duckdb::StatementType;

Error not_for_sessions(std::string_view what) {
  return Error(Code::permission, "{} is not for sessions", what);
}

/// Statements that read and write rows.
bool handles_rows(StatementType type) {
  switch (type) {
    case StatementType::SELECT_STATEMENT:
    case StatementType::INSERT_STATEMENT:
    case StatementType::UPDATE_STATEMENT:
    case StatementType::DELETE_STATEMENT:
      return true;
    default:
      return false;
  }
}

Status check_type(const duckdb::SQLStatement& statement, std::string_view verb) {
  switch (statement.type) {
    case StatementType::COPY_STATEMENT:
      return {};
    case StatementType::EXPLAIN_STATEMENT: {
      StatementType inner = statement.Cast<duckdb::ExplainStatement>().stmt->type;
      if (handles_rows(inner)) return {};
      return not_for_sessions("EXPLAIN of " + duckdb::StatementTypeToString(inner));
    }
    case StatementType::CREATE_STATEMENT:
      if (statement.Cast<duckdb::CreateStatement>().info->temporary) return {};
      break;
    // What follows was looked at word by word, if the verb is the one that we saw.
    case StatementType::DROP_STATEMENT:
      if (verb == "DROP") return {};
      break;
    case StatementType::SET_STATEMENT:
    case StatementType::VARIABLE_SET_STATEMENT:
      if (verb == "SET" || verb == "RESET" || verb == "USE") return {};
      break;
    case StatementType::PRAGMA_STATEMENT:
      if (verb == "PRAGMA") return {};
      break;
    default:
      if (handles_rows(statement.type)) return {};
      break;
  }
  return not_for_sessions(duckdb::StatementTypeToString(statement.type));
}

}  // namespace

Result<duckdb::unique_ptr<duckdb::SQLStatement>> parse_permitted(duckdb::Connection& connection,
                                                                 const std::string& text,
                                                                 std::string_view verb) {
  auto statements = TRY(duck::guarded([&] { return connection.ExtractStatements(text); }));
  if (statements.empty())
    return Error(Code::invalid_argument, "there is no statement").because(Cause::syntax_error);
  if (statements.size() > 1 || statements[0]->type == StatementType::MULTI_STATEMENT) {
    return Error(Code::unsupported, "the statement stands for several, which is not built")
        .with_hint("PIVOT: name the columns with IN (...)");
  }
  TRY(check_type(*statements[0], verb));
  return std::move(statements[0]);
}

Status check_modified(const duckdb::StatementProperties& properties) {
  for (const auto& [database, modification] : properties.modified_databases) {
    if (database == kDatabaseName || database == TEMP_CATALOG) continue;
    return not_for_sessions(fmt::format("a change of database \"{}\"", database));
  }
  return {};
}

Status check_search_path(const duckdb::CatalogSearchPath& path) {
  auto ours = [](const duckdb::CatalogSearchEntry& entry) {
    return entry.catalog == kDatabaseName;
  };
  if (std::ranges::all_of(path.GetSetPaths(), ours)) return {};
  return Error(Code::permission, "the only database is {}", kDatabaseName)
      .with_hint("name a schema of it");
}

}  // namespace ziwa::sql
