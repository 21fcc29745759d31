#include "sql/view_planner.h"

#include "duck/catalog_api.h"
#include "duck/planner.h"
#include "sql/emit_on_close.h"
#include "sql/on_time.h"
#include "sql/rewrite.h"
#include "sql/scan_function.h"
#include "sql/session_state.h"
#include "sql/translate.h"

#include <algorithm>
#include <map>
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

/// What a plan reads, by object.
using Sources = std::map<ObjectId, catalog::ObjectPtr>;

bool is_unnamed_struct(const duckdb::LogicalType& type) {
  return type.id() == duckdb::LogicalTypeId::STRUCT && duckdb::StructType::IsUnnamed(type);
}

/// What the options of a view say of its windows.
Status apply_options(stream::Plan& plan, const ViewOptions& options, const Sources& sources) {
  plan.stop_on_error = options.stop_on_error;
  const size_t nodes = plan.nodes.size();
  keep_on_time(plan, options.allowed_lateness_us,
               [&](ObjectId id) -> const catalog::Object& { return *sources.at(id); });
  bool late_rows = plan.nodes.size() > nodes;
  for (auto& node : plan.nodes) {
    if (auto* window = std::get_if<stream::WindowNode>(&node.op)) {
      window->lateness_us = options.allowed_lateness_us;
      late_rows = true;
    }
    if (auto* session = std::get_if<stream::SessionNode>(&node.op)) {
      session->lateness_us = options.allowed_lateness_us;
      late_rows = true;
    }
  }
  if (options.allowed_lateness_us > 0 && !late_rows) {
    return Error(Code::invalid_argument,
                 "allowed_lateness is for views with windows, or joins of times")
        .with_hint("FROM tumble(t, ts, INTERVAL 1 MINUTE); other rows are never late");
  }
  if (!options.on_window_close) return {};
  return emit_on_close(plan, [&](ObjectId id) { return source_facts(*sources.at(id)); });
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
  Sources objects;
  std::vector<std::string> names(query.names.begin(), query.names.end());
  auto resolve = [&](const duckdb::LogicalGet& get) -> Result<catalog::ObjectPtr> {
    auto object = resolve_scan(get, sources);
    if (object) objects[(*object)->id] = *object;
    if (object) return object;
    return at_position(std::move(object).error(), words.only_call(get.function.name));
  };
  view.plan = TRY(translate(*query.plan, names, resolve, words));
  TRY(apply_options(view.plan, options, objects));
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
