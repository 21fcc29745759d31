#include "sql/references.h"

#include "base/text.h"
#include "duck/file_system.h"
#include "duck/instance.h"
#include "duck/parser.h"
#include "sql/rewrite.h"

#include <set>

namespace ziwa::sql {
namespace {

using duckdb::ParsedExpression;
using duckdb::StringUtil;
using Scope = std::set<std::string>;  ///< Names that WITH clauses define here, in lower case.

/// Walks a parsed query; throws what duck::guarded() turns into an Error.
class Collector {
 public:
  std::vector<QualifiedName> names;

  void query(duckdb::QueryNode& node, Scope scope) {
    for (auto& entry : node.cte_map.map) {
      duckdb::QueryNode& defined = *entry.second->query->node;
      Scope inside = scope;
      if (defined.type == duckdb::QueryNodeType::RECURSIVE_CTE_NODE)
        inside.insert(lower(entry.first));
      query(defined, std::move(inside));
      scope.insert(lower(entry.first));
    }
    auto each = [&](duckdb::unique_ptr<ParsedExpression>& child) { expression(*child, scope); };
    if (!node.modifiers.empty())
      duckdb::ParsedExpressionIterator::EnumerateQueryNodeModifiers(node, each);
    switch (node.type) {
      case duckdb::QueryNodeType::SELECT_NODE:
        return select(node.Cast<duckdb::SelectNode>(), scope);
      case duckdb::QueryNodeType::SET_OPERATION_NODE:
        for (auto& child : node.Cast<duckdb::SetOperationNode>().children) query(*child, scope);
        return;
      case duckdb::QueryNodeType::RECURSIVE_CTE_NODE: {
        auto& recursive = node.Cast<duckdb::RecursiveCTENode>();
        query(*recursive.left, scope);
        return query(*recursive.right, scope);
      }
      default:
        throw duckdb::NotImplementedException("this form of query cannot stand in a project");
    }
  }

 private:
  void select(duckdb::SelectNode& node, const Scope& scope) {
    auto each = [&](duckdb::unique_ptr<ParsedExpression>& child) {
      if (child) expression(*child, scope);
    };
    for (auto& child : node.select_list) each(child);
    for (auto& child : node.groups.group_expressions) each(child);
    each(node.where_clause);
    each(node.having);
    each(node.qualify);
    if (node.from_table) table(*node.from_table, scope);
  }

  void expression(ParsedExpression& parsed, const Scope& scope) {
    if (parsed.GetExpressionClass() == duckdb::ExpressionClass::SUBQUERY)
      query(*parsed.Cast<duckdb::SubqueryExpression>().subquery->node, scope);
    duckdb::ParsedExpressionIterator::EnumerateChildren(
        parsed, [&](ParsedExpression& child) { expression(child, scope); });
  }

  void table(duckdb::TableRef& ref, const Scope& scope) {
    using Type = duckdb::TableReferenceType;
    switch (ref.type) {
      case Type::BASE_TABLE: {
        auto& base = ref.Cast<duckdb::BaseTableRef>();
        return name(base.catalog_name, base.schema_name, base.table_name, scope);
      }
      case Type::SHOW_REF: {
        auto& show = ref.Cast<duckdb::ShowRef>();
        if (show.query) query(*show.query, scope);
        if (!show.table_name.empty())
          name(show.catalog_name, show.schema_name, show.table_name, scope);
        return;
      }
      case Type::JOIN: {
        auto& join = ref.Cast<duckdb::JoinRef>();
        table(*join.left, scope);
        table(*join.right, scope);
        if (join.condition) expression(*join.condition, scope);
        return;
      }
      case Type::PIVOT: {
        auto& pivot = ref.Cast<duckdb::PivotRef>();
        table(*pivot.source, scope);
        for (auto& aggregate : pivot.aggregates) expression(*aggregate, scope);
        return;
      }
      case Type::SUBQUERY:
        return query(*ref.Cast<duckdb::SubqueryRef>().subquery->node, scope);
      case Type::TABLE_FUNCTION:
        return function(ref.Cast<duckdb::TableFunctionRef>(), scope);
      case Type::EXPRESSION_LIST:
        for (auto& row : ref.Cast<duckdb::ExpressionListRef>().values) {
          for (auto& value : row) expression(*value, scope);
        }
        return;
      default:
        return;
    }
  }

  void function(duckdb::TableFunctionRef& ref, const Scope& scope) {
    if (ref.subquery) query(*ref.subquery->node, scope);
    expression(*ref.function, scope);
    if (ref.function->GetExpressionClass() != duckdb::ExpressionClass::FUNCTION) return;
    auto& call = ref.function->Cast<duckdb::FunctionExpression>();
    std::string function_name = lower(call.function_name);
    if (function_name != "query" && function_name != "query_table") return;
    // They hide what is read in a text, and the order of a project follows from what is read.
    duck::throw_error(Error(Code::unsupported, "{}() cannot stand in a project", function_name)
                          .with_hint("name the table itself in FROM"));
  }

  void name(const std::string& catalog, const std::string& schema, const std::string& table,
            const Scope& scope) {
    if (catalog.empty() && schema.empty() && scope.contains(lower(table))) return;
    // `db.t` is a table of the default schema.
    bool database_only = catalog.empty() && StringUtil::CIEquals(schema, "db");
    names.push_back({.schema = database_only ? "" : schema, .name = table, .position = 0});
  }
};

}  // namespace

Result<std::vector<QualifiedName>> referenced_names(std::string_view query) {
  Rewritten rewritten = TRY(rewrite_statement(query));
  return duck::guarded([&] {
    duckdb::Parser parser;
    parser.ParseQuery(rewritten.text);
    Collector collector;
    for (auto& statement : parser.statements) {
      if (statement->type != duckdb::StatementType::SELECT_STATEMENT)
        throw duckdb::ParserException("a SELECT is expected");
      collector.query(*statement->Cast<duckdb::SelectStatement>().node, {});
    }
    return std::move(collector.names);
  });
}

}  // namespace ziwa::sql
