#include "sql/permitted.h"

#include "base/text.h"
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

/// The value of an option of ATTACH as text; nothing if it is more than a constant.
std::optional<std::string> option_text(const duckdb::ParsedExpression& option) {
  if (option.GetExpressionClass() != duckdb::ExpressionClass::CONSTANT) return std::nullopt;
  return duckdb::StringUtil::Lower(option.Cast<duckdb::ConstantExpression>().value.ToString());
}

/// An attached database is there for all sessions: only to read, and only a file of DuckDB's from
/// the allowed folders.
Status check_attach(duck::Instance& instance, duckdb::AttachInfo& info) {
  bool read_only = false;
  for (const auto& [name, option] : info.parsed_options) {
    auto value = option_text(*option);
    if (duckdb::StringUtil::CIEquals(name, "read_only")) {
      read_only = value == "true" || value == "1";
    } else if (!duckdb::StringUtil::CIEquals(name, "type") || value != "duckdb") {
      return Error(Code::unsupported, "ATTACH with {} is not built", name)
          .with_hint("ATTACH 'file' AS name (READ_ONLY)");
    }
  }
  if (!read_only) {
    return Error(Code::permission, "ATTACH is for reading only")
        .with_hint("ATTACH 'file' AS name (READ_ONLY)");
  }
  if (info.on_conflict == duckdb::OnCreateConflict::REPLACE_ON_CONFLICT)
    return Error(Code::unsupported, "ATTACH OR REPLACE is not built").with_hint("DETACH it first");
  if (info.path.empty() || info.path.starts_with(':')) return not_for_sessions("ATTACH of memory");
  info.path = TRY(instance.readable_path("", info.path));
  if (info.name.empty()) {
    auto& files = duckdb::FileSystem::GetFileSystem(*instance.database().instance);
    info.name = duckdb::AttachedDatabase::ExtractDatabaseName(info.path, files);
  }
  return {};
}

Status check_detach(const duckdb::DetachInfo& info) {
  const std::string name = lower(info.name);
  for (std::string_view ours : {kDatabaseName, std::string_view("memory"),
                                std::string_view(TEMP_CATALOG), std::string_view(SYSTEM_CATALOG)}) {
    if (name == ours) return not_for_sessions(fmt::format("DETACH of {}", ours));
  }
  return {};
}

Status check_type(duck::Instance& instance, duckdb::SQLStatement& statement,
                  std::string_view verb) {
  switch (statement.type) {
    case StatementType::ATTACH_STATEMENT:
      return check_attach(instance, *statement.Cast<duckdb::AttachStatement>().info);
    case StatementType::DETACH_STATEMENT:
      return check_detach(*statement.Cast<duckdb::DetachStatement>().info);
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

Result<duckdb::unique_ptr<duckdb::SQLStatement>> parse_permitted(duck::Instance& instance,
                                                                 duckdb::Connection& connection,
                                                                 const std::string& text,
                                                                 std::string_view verb) {
  auto statements = TRY(duck::guarded([&] { return connection.ExtractStatements(text); }));
  if (statements.empty())
    return Error(Code::invalid_argument, "there is no statement").because(Cause::syntax_error);
  if (statements.size() > 1 || statements[0]->type == StatementType::MULTI_STATEMENT) {
    return Error(Code::unsupported, "the statement stands for several, which is not built")
        .with_hint("PIVOT: name the columns with IN (...)");
  }
  TRY(check_type(instance, *statements[0], verb));
  return std::move(statements[0]);
}

std::string attached_name(const duckdb::SQLStatement& statement) {
  if (statement.type != StatementType::ATTACH_STATEMENT) return {};
  return statement.Cast<duckdb::AttachStatement>().info->name;
}

Status check_modified(const duckdb::StatementProperties& properties) {
  for (const auto& [database, modification] : properties.modified_databases) {
    if (database == kDatabaseName || database == TEMP_CATALOG) continue;
    return not_for_sessions(fmt::format("a change of database \"{}\"", database));
  }
  return {};
}

Status check_search_path(const duckdb::CatalogSearchPath& path) {
  if (path.GetSetPaths().empty()) {
    return Error(Code::invalid_argument, "search_path cannot be empty")
        .because(Cause::invalid_value)
        .with_hint("SET search_path TO public");
  }
  auto ours = [](const duckdb::CatalogSearchEntry& entry) {
    return entry.catalog == kDatabaseName;
  };
  if (std::ranges::all_of(path.GetSetPaths(), ours)) return {};
  return Error(Code::permission, "the only database is {}", kDatabaseName)
      .with_hint("name a schema of it");
}

}  // namespace ziwa::sql
