#include "protocol/http/rest.h"

#include "duck/instance.h"
#include "protocol/http/errors.h"
#include "protocol/http/filter_value.h"
#include "protocol/http/sql_request.h"
#include "protocol/rows/json_rows.h"
#include "stream/plan.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <utility>

namespace ziwa::protocol::http {
namespace {

/// A relation as readers see it at one published state.
struct Found {
  Relation relation;
  std::optional<std::string> etag;
  std::optional<Epoch> changed_at;  ///< Of a view.
};

std::vector<std::string> key_columns(const catalog::ViewDefinition& view) {
  std::vector<std::string> names;
  auto plan = stream::decode_plan(view.plan);
  if (!plan) return names;
  for (uint32_t position : plan->key) {
    if (position < view.schema.columns.size()) names.push_back(view.schema.columns[position].name);
  }
  return names;
}

void add_columns(Relation& relation, const data::Schema& schema) {
  for (const auto& column : schema.columns) relation.columns.push_back(column.name);
}

/// What changes when, and only when, the rows of the object do.
std::optional<std::string> etag_of(const stream::Published& published,
                                   const catalog::Object& object) {
  if (object.kind() == catalog::Kind::view) {
    auto view = published.views.find(object.id);
    if (view == published.views.end()) return std::nullopt;
    return fmt::format("\"{}.{}.{}\"", object.id, object.version, view->second->changed_at());
  }
  if (object.kind() == catalog::Kind::table) {
    auto table = published.tables.find(object.id);
    if (table == published.tables.end()) return std::nullopt;
    return fmt::format("\"{}.{}.{}\"", object.id, object.version, table->second->version());
  }
  return std::nullopt;
}

Result<Found> find_relation(const stream::Published& published,
                            const std::vector<std::string>& path) {
  if (path.empty() || path.size() > 2) {
    return Error(Code::not_found, "rows are at /v1/relation or /v1/schema/relation");
  }
  std::string schema = path.size() == 2 ? path[0] : "public";
  const std::string& name = path.back();
  Found found{.relation = {.schema = schema, .name = name}};
  if (schema == "ziwa") return found;  // System tables: the database knows them.
  auto object = published.catalog->find(schema, name);
  if (!object || object->kind() == catalog::Kind::sink) {
    return Error(Code::not_found, "there is no view, table or topic {}.{}", schema, name);
  }
  found.relation.schema = object->schema;
  found.relation.name = object->name;
  found.etag = etag_of(published, *object);
  if (auto view = published.views.find(object->id); view != published.views.end()) {
    found.changed_at = view->second->changed_at();
  }
  switch (object->kind()) {
    case catalog::Kind::view:
      add_columns(found.relation, object->view().schema);
      found.relation.key = key_columns(object->view());
      break;
    case catalog::Kind::table:
      add_columns(found.relation, object->table().schema);
      break;
    default:
      add_columns(found.relation, object->topic().schema);
      for (auto* hidden : {"_partition", "_offset", "_timestamp", "_entry", "_key", "_value"}) {
        found.relation.columns.emplace_back(hidden);
      }
  }
  return found;
}

/// The same request with the cursor instead of what paged before.
std::string next_link(const std::vector<std::string>& path, const Target& target,
                      const std::string& cursor) {
  std::string link = "</v1";
  for (const auto& part : path) link += "/" + encode_component(part);
  std::string separator = "?";
  for (const auto& [name, value] : target.parameters) {
    if (name == "after" || name == "offset") continue;
    link += separator + encode_component(name) + "=" + encode_component(value);
    separator = "&";
  }
  return link + separator + "after=" + cursor + ">; rel=\"next\"";
}

/// As in a statement: 1 is an integer, 1.5 a decimal, 1e3 a double.
duckdb::Value number_value(const std::string& text) {
  duckdb::Value value;
  std::string message;
  auto fits = [&](const duckdb::LogicalType& type) {
    return duckdb::Value(text).DefaultTryCastAs(type, value, &message);
  };
  using duckdb::LogicalType;
  const size_t point = text.find('.');
  if (text.find_first_of("eE") != std::string::npos) return fits(LogicalType::DOUBLE), value;
  if (point == std::string::npos) {
    if (fits(LogicalType::BIGINT) || fits(LogicalType::HUGEINT)) return value;
    return fits(LogicalType::DOUBLE), value;
  }
  const size_t digits = text.size() - 1 - (text.starts_with('-') ? 1 : 0);
  const size_t scale = text.size() - point - 1;
  if (digits <= duckdb::Decimal::MAX_WIDTH_DECIMAL &&
      fits(LogicalType::DECIMAL(static_cast<uint8_t>(digits), static_cast<uint8_t>(scale)))) {
    return value;
  }
  return fits(LogicalType::DOUBLE), value;
}

/// `as_answered`: a BLOB is read in the form in which answers write it.
Result<duckdb::Value> bind_text(const std::optional<std::string>& text,
                                const duckdb::LogicalType& type, bool number, bool as_answered) {
  if (text && as_answered && type.id() == duckdb::LogicalTypeId::BLOB) {
    if (auto bytes = blob_bytes(*text)) return duckdb::Value::BLOB_RAW(*bytes);
  }
  bool open =
      type.id() == duckdb::LogicalTypeId::UNKNOWN || type.id() == duckdb::LogicalTypeId::INVALID;
  return duck::guarded([&]() -> duckdb::Value {
    if (!text) return open ? duckdb::Value() : duckdb::Value(type);
    if (open && number) return number_value(*text);
    duckdb::Value value(*text);
    return open ? value : value.DefaultCastAs(type);
  });
}

}  // namespace

/// The rows of one answer as JSON, and what goes into its headers.
struct Rest::Answer {
  std::string rows = "[";
  uint64_t count = 0;
  bool more = false;  ///< There are more rows than those to show.
  Epoch epoch;
  std::vector<std::string> names;
  std::vector<std::string> types;
  std::string command;
  std::optional<uint64_t> affected;
  std::vector<std::optional<std::string>> last;  ///< Of the hidden columns.
};

Response error_response(const Error& error) {
  return {.status = status_of(error.code()), .body = error_json(error)};
}

Rest::Rest(sql::Database& database, stream::Engine& engine, Options options)
    : database_(database), engine_(engine), options_(options) {}

Rest::~Rest() = default;

Result<std::unique_ptr<sql::Session>> Rest::take_session() {
  {
    std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      auto session = std::move(idle_.back());
      idle_.pop_back();
      return session;
    }
  }
  return database_.session();
}

void Rest::give_back(std::unique_ptr<sql::Session> session) {
  if (session->transaction_state() != sql::TransactionState::idle) return;
  std::lock_guard lock(mutex_);
  if (idle_.size() < options_.sessions_kept) idle_.push_back(std::move(session));
}

void Rest::cancel_all() {
  std::lock_guard lock(mutex_);
  stopping_ = true;
  for (auto* session : running_) session->cancel();
}

void RestStatement::end(const Error& why) {
  std::lock_guard lock(mutex_);
  if (!why_) why_ = why;
  if (session_) session_->cancel();
}

template <typename Work>
auto Rest::run_registered(sql::Session& session, RestStatement& statement, Work work)
    -> std::invoke_result_t<Work> {
  {
    std::scoped_lock lock(mutex_, statement.mutex_);
    if (stopping_) return Error(Code::unavailable, "the server is stopping");
    if (statement.why_) return *statement.why_;
    running_.insert(&session);
    statement.session_ = &session;
  }
  auto answer = work();
  std::scoped_lock lock(mutex_, statement.mutex_);
  running_.erase(&session);
  statement.session_ = nullptr;
  if (!answer && statement.why_) return *statement.why_;
  return answer;
}

Result<std::unique_ptr<sql::Prepared>> Rest::prepare_read(sql::Session& session,
                                                          const Relation& relation, RestQuery query,
                                                          RestSql& sql) {
  sql = TRY(build_rest_sql(relation, query));
  auto prepared = TRY(session.prepare(sql.text));
  const auto& types = prepared->parameter_types();
  bool other = false;
  size_t parameter = 0;
  for (Filter& filter : query.filters) {
    const size_t count = filter.values.size();
    for (size_t i = 0, value = 0; i < count; ++i, ++parameter) {
      if (parameter >= types.size() || filter.values.empty()) continue;
      const bool changed = TRY(fit_value(filter, value, types[parameter]));
      if (!changed) ++value;
      other |= changed;
      if (!changed) sql.parameters[parameter] = filter.values[value - 1];
    }
  }
  if (!other) return prepared;
  sql = TRY(build_rest_sql(relation, query));
  return session.prepare(sql.text);
}

Result<Rest::Answer> Rest::execute(sql::Session& session, sql::Prepared& prepared,
                                   const RestSql& sql) {
  const auto& wanted = prepared.parameter_types();
  if (wanted.size() != sql.parameters.size()) {
    return Error(Code::invalid_argument, "the statement takes {} parameters, not {}", wanted.size(),
                 sql.parameters.size());
  }
  std::vector<duckdb::Value> values;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const bool cursor = i >= sql.filter_values;
    auto value = bind_text(sql.parameters[i], wanted[i], sql.numbers.contains(i), !cursor);
    if (!value) return std::move(value.error()).context("a value of the request");
    values.push_back(std::move(*value));
  }
  auto rows = TRY(session.execute(prepared, values));
  Answer answer;
  size_t shown = rows->columns().size() - std::min(sql.hidden_columns, rows->columns().size());
  for (size_t i = 0; i < shown; ++i) {
    answer.names.push_back(rows->columns()[i].name);
    answer.types.push_back(rows->columns()[i].type.ToString());
    if (std::ranges::count(answer.names, answer.names.back()) == 1) continue;
    return Error(Code::invalid_argument, "two columns of the answer are named \"{}\"",
                 answer.names.back())
        .with_hint("give each a name with AS");
  }
  JsonRowWriter writer(answer.names);
  Columns columns;
  while (auto* chunk = TRY(rows->next())) {
    if (answer.names.empty()) continue;
    TRY(columns.load(*chunk));
    for (size_t row = 0; row < columns.rows(); ++row) {
      answer.more = answer.count == sql.rows_shown;
      if (answer.more) break;  // It was the last that was asked for.
      if (answer.count++ > 0) answer.rows.push_back(',');
      answer.rows.push_back('\n');
      writer.append(answer.rows, columns, row);
    }
    if (answer.rows.size() > options_.body_bytes_max) {
      return Error(Code::exhausted, "the answer is longer than {} bytes", options_.body_bytes_max)
          .with_hint("ask for fewer rows with limit, or fewer columns with select");
    }
    if (answer.count > options_.rows_max) {
      return Error(Code::exhausted, "the answer has more than {} rows", options_.rows_max)
          .with_hint("add a LIMIT, or read it through the Postgres door");
    }
    if (columns.rows() == 0) continue;
    answer.last.clear();
    for (size_t i = shown; i < columns.count(); ++i) {
      auto value = columns.value(i, columns.rows() - 1);
      answer.last.push_back(value.IsNull() ? std::nullopt : std::optional(value.ToString()));
    }
  }
  answer.rows += answer.count > 0 ? "\n]" : "]";
  answer.epoch = rows->epoch();
  answer.command = rows->command();
  answer.affected = rows->affected();
  return answer;
}

Result<Response> Rest::read(const std::vector<std::string>& path, const RestQuery& query,
                            const Target& target, std::optional<std::string> if_none_match,
                            RestStatement& statement) {
  Relation relation = TRY(find_relation(*engine_.published(), path)).relation;
  RestSql sql;
  stream::PublishedPtr before;
  Found found;
  auto session = TRY(take_session());
  auto run = [&]() -> Result<std::optional<Answer>> {
    // Preparing waits for all that was acknowledged, as every statement does: only what is
    // published then may be compared with a tag.
    auto prepared = TRY(prepare_read(*session, relation, query, sql));
    before = engine_.published();
    found = TRY(find_relation(*before, path));
    if (found.etag && if_none_match && names_etag(*if_none_match, *found.etag)) {
      return std::optional<Answer>();
    }
    return std::optional(TRY(execute(*session, *prepared, sql)));
  };
  auto answer = TRY(run_registered(*session, statement, run));
  give_back(std::move(session));
  Response response;
  if (!answer) {
    response.status = 304;
    response.headers = {{"ETag", *found.etag}, {"Ziwa-Epoch", fmt::format("{}", before->epoch)}};
    return response;
  }

  // The tag must be that of the epoch that answered. If the rows changed between our look and now,
  // it is the new tag when the answer covers the last change, and else the answer goes without one
  // rather than with a wrong one.
  if (answer->epoch > before->epoch) {
    auto after = find_relation(*engine_.published(), path);
    bool same = after && after->etag == found.etag;
    bool covers = after && after->changed_at && answer->epoch >= *after->changed_at;
    if (!same) found.etag = covers ? after->etag : std::nullopt;
  }
  if (found.etag) response.headers.emplace_back("ETag", *found.etag);
  Epoch epoch = answer->epoch.value == 0 ? before->epoch : answer->epoch;
  response.headers.emplace_back("Ziwa-Epoch", fmt::format("{}", epoch));
  response.headers.emplace_back("Cache-Control", "no-cache");
  response.body = "{\"rows\":" + std::move(answer->rows);
  if (sql.hidden_columns > 0 && answer->count == query.limit && query.limit > 0) {
    std::string cursor = encode_cursor(answer->last);
    response.headers.emplace_back("Link", next_link(path, target, cursor));
    response.body += ",\n\"next\":\"" + cursor + "\"";
  }
  if (answer->more) response.body += ",\n\"more\":true";
  response.body += "}\n";
  return response;
}

Result<Response> Rest::run(std::string_view body, RestStatement& statement) {
  const SqlRequest request = TRY(parse_sql_request(body));
  const RestSql& sql = request.sql;
  auto session = TRY(database_.session());
  auto ran = run_registered(*session, statement, [&]() -> Result<Answer> {
    auto prepared = TRY(session->prepare(sql.text));
    return execute(*session, *prepared, sql);
  });
  if (!ran) {
    const Error& error = ran.error();
    return Response{.status = status_of(error.code()),
                    .body = error_json(error, request.character_of(error))};
  }
  const Answer& answer = *ran;
  nlohmann::json columns = nlohmann::json::array();
  for (size_t i = 0; i < answer.names.size(); ++i) {
    columns.push_back({{"name", answer.names[i]}, {"type", answer.types[i]}});
  }
  nlohmann::json head = {{"command", answer.command}, {"columns", std::move(columns)}};
  if (answer.affected) head["affected"] = *answer.affected;
  Response response;
  response.body = head.dump();
  response.body.pop_back();  // The rows are already JSON.
  response.body += ",\"rows\":" + answer.rows + "}\n";
  if (answer.epoch > Epoch())  // DDL and what reads nothing has none.
    response.headers.emplace_back("Ziwa-Epoch", fmt::format("{}", answer.epoch));
  return response;
}

}  // namespace ziwa::protocol::http
