#include "sql/view_planner.h"

#include "duck/catalog_api.h"
#include "duck/planner.h"
#include "sql/rewrite.h"
#include "sql/scan_function.h"
#include "sql/session_state.h"
#include "sql/translate.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace ziwa::sql {
namespace {

Result<catalog::ObjectPtr> resolve_scan(const duckdb::LogicalGet& get,
                                        std::set<ObjectId>& sources) {
  catalog::ObjectPtr object = scanned_object(get);
  if (!object) {
    return Error(Code::unsupported, "a materialized view reads topics, tables and views, not {}",
                 get.function.name == "ziwa_scan" ? "system tables" : get.function.name + "()")
        .with_hint("load files into a table first: CREATE TABLE t AS SELECT ...");
  }
  sources.insert(object->id);
  return object;
}

bool is_unnamed_struct(const duckdb::LogicalType& type) {
  return type.id() == duckdb::LogicalTypeId::STRUCT && duckdb::StructType::IsUnnamed(type);
}

/// Makes the aggregates that windows go into give their groups once they are closed, and only then.
Status emit_on_close(stream::Plan& plan, const std::set<ObjectId>& topics) {
  std::set<uint32_t> bounds;   // Columns that hold the start or end of a window.
  std::set<uint32_t> growing;  // Nodes that give rows whose windows are open.
  for (auto& node : plan.nodes) {
    bool grows =
        std::ranges::any_of(node.inputs, [&](uint32_t id) { return growing.contains(id); });
    const size_t columns = node.output.size();
    auto bound = [&](const stream::Expression& expression) {
      return std::ranges::any_of(bounds,
                                 [&](uint32_t id) { return expression == fmt::format("c{}", id); });
    };
    if (const auto* source = std::get_if<stream::SourceNode>(&node.op)) {
      grows = topics.contains(source->object);
    } else if (std::holds_alternative<stream::WindowNode>(node.op)) {
      bounds.insert({node.output[columns - 2].id, node.output[columns - 1].id});
    } else if (std::holds_alternative<stream::SessionNode>(node.op)) {
      bounds.insert(node.output[columns - 1].id);  // A session may begin earlier than it seems.
    } else if (const auto* project = std::get_if<stream::ProjectNode>(&node.op)) {
      for (size_t i = 0; i < columns; ++i) {
        if (bound(project->expressions[i])) bounds.insert(node.output[i].id);
      }
    } else if (auto* aggregate = std::get_if<stream::AggregateNode>(&node.op)) {
      aggregate->on_close = grows && std::ranges::any_of(aggregate->groups, bound);
      grows = grows && !aggregate->on_close;
    }
    if (grows) growing.insert(node.id);
  }
  if (!growing.contains(plan.root().id) && !bounds.empty()) return {};
  return Error(Code::unsupported,
               "EMIT ON WINDOW CLOSE is for groups of windows: no other row is ever complete")
      .with_hint(
          "GROUP BY window_start, window_end of a tumble(), hop(), cumulate() or session() over a "
          "topic");
}

Result<ViewPlan> plan_bound(duckdb::Connection& connection, const std::string& sql,
                            const ViewOptions& options) {
  duck::PlannedQuery query = TRY(duck::plan_query(connection, sql));
  const QueryWords words(sql);
  if (!query.unstable_functions.empty()) {
    const std::string& name = query.unstable_functions.front();
    return at_position(
        Error(Code::unsupported,
              "a materialized view cannot use {}(): its answer changes by itself", name)
            .with_hint("use a column of the records, such as their timestamp"),
        words.only_call(name));
  }
  if (!query.untold_functions.empty()) {
    const std::string& name = query.untold_functions.front();
    return at_position(
        Error(Code::unsupported, "a materialized view cannot keep {}() with such arguments yet",
              name)
            .with_hint("a view may keep its arguments; the queries of the view can call it"),
        words.only_call(name));
  }
  std::vector<duck::NamedType> columns;
  for (size_t i = 0; i < query.names.size(); ++i) {
    if (duckdb::TypeVisitor::Contains(query.types[i], is_unnamed_struct)) {
      return Error(Code::unsupported,
                   "column \"{}\" of the view is a struct whose members have no names",
                   query.names[i])
          .with_hint("name them: {'a': 1} instead of row(1)");
    }
    columns.push_back({query.names[i], query.types[i]});
  }
  ViewPlan view;
  std::set<ObjectId> sources;
  std::set<ObjectId> topics;
  std::vector<std::string> names(query.names.begin(), query.names.end());
  auto resolve = [&](const duckdb::LogicalGet& get) -> Result<catalog::ObjectPtr> {
    auto object = resolve_scan(get, sources);
    if (object && (*object)->kind() == catalog::Kind::topic) topics.insert((*object)->id);
    if (object) return object;
    return at_position(std::move(object).error(), words.only_call(get.function.name));
  };
  view.plan = TRY(translate(*query.plan, names, resolve, words));
  for (auto& node : view.plan.nodes) {
    if (auto* window = std::get_if<stream::WindowNode>(&node.op))
      window->lateness_us = options.allowed_lateness_us;
    if (auto* session = std::get_if<stream::SessionNode>(&node.op))
      session->lateness_us = options.allowed_lateness_us;
  }
  if (options.on_window_close) TRY(emit_on_close(view.plan, topics));
  // What the catalog could not give back is refused before it is written.
  TRY(stream::decode_plan(stream::encode_plan(view.plan)));
  // After what cannot be built at all: names are mended in a moment.
  view.schema = TRY(make_schema(columns));
  view.sources.assign(sources.begin(), sources.end());
  return view;
}

}  // namespace

Result<std::unique_ptr<duckdb::Connection>> open_binder(const BindContext& context) {
  auto state = duckdb::make_shared_ptr<SessionState>(context.core);
  state->catalog = context.catalog;
  state->uncommitted = context.uncommitted;
  state->folder = context.folder;
  auto connection = TRY(open_connection(state));
  TRY(duck::guarded([&] {
    connection->BeginTransaction();
    duckdb::vector<duckdb::CatalogSearchEntry> path;
    for (const std::string& schema : context.path)
      path.emplace_back(std::string(kDatabaseName), schema);
    duckdb::ClientData::Get(*connection->context)
        .catalog_search_path->Set(std::move(path), duckdb::CatalogSetPathType::SET_DIRECTLY);
  }));
  return connection;
}

Error relocate(Error error, const Rewritten* map, size_t offset) {
  if (!error.position()) return error;
  size_t position = *error.position();
  if (map) position = map->original(position);
  return std::move(error).at(position + offset);
}

Result<data::Schema> make_schema(const std::vector<duck::NamedType>& columns) {
  data::Schema schema;
  for (const duck::NamedType& column : columns) {
    if (schema.find(column.name)) {
      return Error(Code::invalid_argument, "two columns are named \"{}\"", column.name)
          .with_hint("name one of them with AS");
    }
    // A bare NULL has no type of its own; DuckDB stores it as INTEGER too.
    bool untyped = column.type.id() == duckdb::LogicalTypeId::SQLNULL;
    schema.columns.push_back({.id = static_cast<uint32_t>(schema.columns.size() + 1),
                              .name = column.name,
                              .type = untyped ? "INTEGER" : duck::type_name(column.type)});
  }
  return schema;
}

Result<ViewPlan> plan_view(const BindContext& context, const TextSpan& query,
                           const ViewOptions& options) {
  auto rewritten = rewrite_statement(query.text, RewriteFor::view);
  if (!rewritten) return relocate(rewritten.error(), nullptr, query.position);
  auto connection = TRY(open_binder(context));
  auto view = plan_bound(*connection, rewritten->text, options);
  if (!view) return relocate(view.error(), &*rewritten, query.position);
  return view;
}

Result<std::vector<duck::NamedType>> describe_query(const BindContext& context,
                                                    const TextSpan& query) {
  auto rewritten = rewrite_statement(query.text);
  if (!rewritten) return relocate(rewritten.error(), nullptr, query.position);
  auto connection = TRY(open_binder(context));
  auto prepared = TRY(duck::guarded([&] { return connection->Prepare(rewritten->text); }));
  if (prepared->HasError()) {
    return relocate(error_of(prepared->error), &*rewritten, query.position);
  }
  if (prepared->GetStatementType() != duckdb::StatementType::SELECT_STATEMENT) {
    return Error(Code::invalid_argument, "a SELECT is expected")
        .because(Cause::syntax_error)
        .at(query.position);
  }
  std::vector<duck::NamedType> columns;
  for (size_t i = 0; i < prepared->ColumnCount(); ++i) {
    columns.push_back({prepared->GetNames()[i], prepared->GetTypes()[i]});
  }
  return columns;
}

}  // namespace ziwa::sql
