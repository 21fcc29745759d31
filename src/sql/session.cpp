#include "sql/session.h"

#include "base/text.h"
#include "duck/parser.h"
#include "sql/attached_catalog.h"
#include "sql/calls.h"
#include "sql/permitted.h"
#include "sql/rows.h"
#include "sql/statement_parser.h"
#include "sql/tokenizer.h"

#include <array>

namespace ziwa::sql {
namespace {

std::string kind_tag(catalog::Kind kind) {
  switch (kind) {
    case catalog::Kind::topic:
      return "TOPIC";
    case catalog::Kind::table:
      return "TABLE";
    case catalog::Kind::view:
      return "MATERIALIZED VIEW";
    case catalog::Kind::sink:
      return "SINK";
  }
  return {};
}

/// The command tag of a statement that DuckDB runs.
std::string command_of(const std::string& verb, duckdb::StatementType type) {
  switch (type) {
    case duckdb::StatementType::SELECT_STATEMENT:
      return verb == "SHOW" || verb == "DESCRIBE" || verb == "DESC" || verb == "CALL" ? verb
                                                                                      : "SELECT";
    case duckdb::StatementType::INSERT_STATEMENT:
      return "INSERT";
    case duckdb::StatementType::UPDATE_STATEMENT:
      return "UPDATE";
    case duckdb::StatementType::DELETE_STATEMENT:
      return "DELETE";
    case duckdb::StatementType::COPY_STATEMENT:
      return "COPY";
    case duckdb::StatementType::EXPLAIN_STATEMENT:
      return "EXPLAIN";
    case duckdb::StatementType::SET_STATEMENT:
    case duckdb::StatementType::VARIABLE_SET_STATEMENT:
      return verb == "RESET" ? "RESET" : "SET";
    case duckdb::StatementType::CREATE_STATEMENT:
      return "CREATE TABLE";
    case duckdb::StatementType::DROP_STATEMENT:
      return "DROP TABLE";
    default:
      break;
  }
  return verb;
}

std::optional<CreateStatement> create_of(const Statement& statement) {
  if (const auto* topic = std::get_if<CreateTopic>(&statement)) return *topic;
  if (const auto* table = std::get_if<CreateTable>(&statement)) return *table;
  if (const auto* view = std::get_if<CreateView>(&statement)) return *view;
  if (const auto* sink = std::get_if<CreateSink>(&statement)) return *sink;
  return std::nullopt;
}

std::vector<duck::NamedType> columns_of(const duckdb::vector<std::string>& names,
                                        const duckdb::vector<duckdb::LogicalType>& types,
                                        const duckdb::StatementProperties& properties) {
  std::vector<duck::NamedType> columns;
  if (properties.return_type != duckdb::StatementReturnType::QUERY_RESULT) return columns;
  for (size_t i = 0; i < types.size(); ++i) columns.push_back({names[i], types[i]});
  return columns;
}

/// DROP VIEW of DuckDB's knows the temporary views of the session only.
Error with_advice(const std::string& verb, Error error) {
  if (verb != "DROP" || error.code() != Code::not_found) return error;
  return std::move(error).with_hint(
      "DROP MATERIALIZED VIEW drops a view that is kept up to date; DROP VIEW drops temporary "
      "ones");
}

/// RESET x, or SET x TO DEFAULT.
bool resets(const duckdb::PreparedStatement& set) {
  const auto& statement = set.data->unbound_statement->Cast<duckdb::SetStatement>();
  return statement.set_type == duckdb::SetType::RESET;
}

/// Whether DuckDB can run its plan of a statement again and again. That of CREATE gives what it
/// makes away: a second run would make a table without columns, or end DuckDB for everybody.
bool runs_again(duckdb::StatementType type) {
  switch (type) {
    case duckdb::StatementType::SELECT_STATEMENT:
    case duckdb::StatementType::INSERT_STATEMENT:
    case duckdb::StatementType::UPDATE_STATEMENT:
    case duckdb::StatementType::DELETE_STATEMENT:
      return true;
    default:
      return false;
  }
}

/// Whether a bare name may mean something else after it: another search_path, a temporary table.
bool renames(duckdb::StatementType type) {
  switch (type) {
    case duckdb::StatementType::SET_STATEMENT:
    case duckdb::StatementType::CREATE_STATEMENT:
    case duckdb::StatementType::DROP_STATEMENT:
    case duckdb::StatementType::ALTER_STATEMENT:
    case duckdb::StatementType::ATTACH_STATEMENT:
    case duckdb::StatementType::DETACH_STATEMENT:
      return true;
    default:
      return false;
  }
}

bool writes(const Statement& statement) {
  if (const auto* call = std::get_if<Call>(&statement)) {
    auto function = find_call(*call);
    return function && (*function)->writes;
  }
  return create_of(statement) || std::holds_alternative<Drop>(statement) ||
         std::holds_alternative<DeleteRecords>(statement);
}

/// Types of $1, $2 ... Errors: unsupported for named parameters, invalid_argument for a gap.
Result<std::vector<duckdb::LogicalType>> parameter_types(
    const duckdb::PreparedStatement& prepared) {
  std::vector<duckdb::LogicalType> types(prepared.named_param_map.size(),
                                         duckdb::LogicalType::UNKNOWN);
  auto expected = prepared.GetExpectedParameterTypes();
  for (const auto& [name, index] : prepared.named_param_map) {
    if (name.empty() || name.find_first_not_of("0123456789") != std::string::npos) {
      return Error(Code::unsupported, "named parameters are not built")
          .with_hint("use $1, $2 ... or ?");
    }
    if (index == 0 || index > types.size()) {
      return Error(Code::invalid_argument, "parameter ${} leaves a gap: the statement has {}", name,
                   types.size())
          .with_hint("number parameters from $1, and use each");
    }
    auto found = expected.find(name);
    if (found == expected.end() || found->second.id() == duckdb::LogicalTypeId::INVALID ||
        found->second.id() == duckdb::LogicalTypeId::SQLNULL) {
      continue;
    }
    types[index - 1] = found->second;
  }
  return types;
}

}  // namespace

std::vector<StatementText> Session::split(std::string_view text) {
  std::vector<StatementText> statements;
  for (const StatementSpan& span : split_statements(text)) {
    statements.push_back({std::string(text.substr(span.begin, span.end - span.begin)), span.begin});
  }
  return statements;
}

SessionImpl::SessionImpl(std::shared_ptr<Core> core)
    : core_(std::move(core)), state_(duckdb::make_shared_ptr<SessionState>(core_)) {
  state_->id = core_->next_session++;
  core_->session_opened(state_->id);
}

Result<std::unique_ptr<SessionImpl>> SessionImpl::open(std::shared_ptr<Core> core,
                                                       const std::string& user) {
  std::unique_ptr<SessionImpl> session(new SessionImpl(std::move(core)));
  session->state_->user = user;
  session->connection_ = TRY(open_connection(session->state_));
  TRY(duck::guarded([&] {
    auto used = session->connection_->Query("USE db.public");
    if (used->HasError()) used->ThrowError();
  }));
  return session;
}

SessionImpl::~SessionImpl() { core_->session_closed(state_->id); }

void SessionImpl::cancel() {
  state_->cancelled = true;
  connection_->Interrupt();
}

TransactionState SessionImpl::transaction_state() const {
  if (!in_transaction()) return TransactionState::idle;
  return failed_ ? TransactionState::failed : TransactionState::open;
}

BindContext SessionImpl::bind_context() const {
  std::vector<std::string> path;
  const auto& search = *duckdb::ClientData::Get(*connection_->context).catalog_search_path;
  for (const auto& entry : search.GetSetPaths()) path.push_back(entry.schema);
  if (path.empty()) path.emplace_back(kDefaultSchema);
  return {core_, core_->deps.catalog.snapshot(), std::move(path)};
}

bool SessionImpl::is_temporary(const QualifiedName& name) {
  if (!name.schema.empty() || failed_) return false;
  bool found = false;
  connection_->context->RunFunctionInTransaction([&] {
    found = duckdb::Catalog::GetEntry<duckdb::TableCatalogEntry>(
                *connection_->context, TEMP_CATALOG, DEFAULT_SCHEMA, name.name,
                duckdb::OnEntryNotFound::RETURN_NULL) != nullptr;
  });
  return found;
}

/// A temporary table may have come since the statement was prepared.
Status SessionImpl::check_not_hidden(const Statement& statement) {
  Statement now = statement;
  TRY(prefer_temporary(now));
  if (now.index() == statement.index()) return {};
  return Error(Code::unsupported, "cached plan must not change result type")
      .with_hint("prepare the statement again: a temporary table has its name now");
}

/// A temporary table stands before an object of ours with its name, as it does for SELECT.
Status SessionImpl::prefer_temporary(Statement& statement) {
  if (const auto* drop = std::get_if<Drop>(&statement)) {
    if (drop->kind != catalog::Kind::table || !is_temporary(drop->name)) return {};
    statement = Foreign{"DROP", "DROP TABLE temp.main." + quote_name(drop->name.name)};
  } else if (const auto* records = std::get_if<DeleteRecords>(&statement)) {
    if (is_temporary(records->topic)) statement = Foreign{"DELETE", {}};
  }
  return {};
}

Error SessionImpl::fail(Error error) {
  fail_transaction();
  return error;
}

/// BEGIN takes no epoch yet: the first statement that reads does, and waits as any other.
Status SessionImpl::settle() {
  if (connection_->context->transaction.HasActiveTransaction() && state_->pinned) return {};
  return core_->wait_for(core_->must_see(), state_->cancelled, core_->read_timeout_ms());
}

Status SessionImpl::check_transaction(const PreparedStatement& prepared) {
  const auto* control = std::get_if<TransactionControl>(&prepared.statement_);
  if (failed_ && !(control && control->verb != TransactionControl::Verb::begin)) {
    return Error(Code::conflict, "the transaction has failed; statements are refused until it ends")
        .because(Cause::in_failed_transaction)
        .with_hint("ROLLBACK");
  }
  if (in_transaction() && writes(prepared.statement_)) {
    return Error(Code::unsupported, "{} inside BEGIN ... COMMIT is not built: it commits by itself",
                 prepared.command_)
        .with_hint("run it outside the transaction");
  }
  return {};
}

Result<std::unique_ptr<Prepared>> SessionImpl::prepare(std::string_view statement) {
  state_->cancelled = false;
  auto prepared = duck::guarded_result([&] { return prepare_checked(statement); });
  if (!prepared) return fail(prepared.error());
  return std::unique_ptr<Prepared>(std::move(*prepared));
}

Result<std::unique_ptr<PreparedStatement>> SessionImpl::prepare_checked(std::string_view sql) {
  auto prepared = std::make_unique<PreparedStatement>();
  prepared->sql_ = sql;
  prepared->statement_ = TRY(parse_statement(prepared->sql_));
  TRY(prefer_temporary(prepared->statement_));
  if (const auto* call = std::get_if<Call>(&prepared->statement_)) {
    prepared->command_ = "CALL";
    prepared->columns_ = TRY(find_call(*call))->columns;
  } else if (auto create = create_of(prepared->statement_)) {
    prepared->command_ = "CREATE " + kind_tag(kind_of(*create));
  } else if (const auto* drop = std::get_if<Drop>(&prepared->statement_)) {
    prepared->command_ = "DROP " + kind_tag(drop->kind);
  } else if (std::holds_alternative<DeleteRecords>(prepared->statement_)) {
    prepared->command_ = "DELETE";
  } else if (const auto* control = std::get_if<TransactionControl>(&prepared->statement_)) {
    static constexpr std::array<const char*, 3> kTags = {"BEGIN", "COMMIT", "ROLLBACK"};
    prepared->command_ = kTags[static_cast<size_t>(control->verb)];
  } else if (std::holds_alternative<ExplainStream>(prepared->statement_)) {
    prepared->command_ = "EXPLAIN";
    prepared->columns_ = {{"plan", duckdb::LogicalType::VARCHAR}};
  } else {
    TRY(prepare_foreign(*prepared));
  }
  return prepared;
}

Status SessionImpl::prepare_foreign(PreparedStatement& prepared) {
  const Foreign& foreign = std::get<Foreign>(prepared.statement_);
  prepared.command_ = foreign.verb;
  TRY(check_transaction(prepared));
  if (!foreign.replacement.empty()) {
    prepared.rewritten_.text = foreign.replacement;
  } else {
    prepared.rewritten_ = TRY(rewrite_statement(prepared.sql_));
  }
  TRY(settle());
  ++state_->generation;
  auto parsed =
      parse_permitted(core_->deps.duck, *connection_, prepared.rewritten_.text, foreign.verb);
  if (!parsed) return relocate(parsed.error(), &prepared.rewritten_, 0);
  prepared.attached_as_ = attached_name(**parsed);
  auto made = TRY(duck::guarded([&] { return connection_->Prepare(std::move(*parsed)); }));
  if (made->HasError()) {
    return with_advice(foreign.verb, relocate(error_of(made->error), &prepared.rewritten_, 0));
  }
  TRY(check_modified(made->GetStatementProperties()));
  prepared.duck_ = std::move(made);
  prepared.command_ = command_of(foreign.verb, prepared.duck_->GetStatementType());
  // DuckDB stands in one column of type UNKNOWN for a query it could not bind without values.
  const auto& types = prepared.duck_->GetTypes();
  prepared.columns_known_ = types.size() != 1 || types[0].id() != duckdb::LogicalTypeId::UNKNOWN;
  if (prepared.columns_known_) {
    prepared.columns_ =
        columns_of(prepared.duck_->GetNames(), types, prepared.duck_->GetStatementProperties());
  }
  prepared.parameters_ = TRY(parameter_types(*prepared.duck_));
  prepared.names_ = names_;
  return {};
}

/// As Postgres does when bare names may mean something else: what the client was told stays true.
Status SessionImpl::bind_again(PreparedStatement& prepared) {
  auto columns = prepared.columns_;
  auto parameters = prepared.parameters_;
  const bool known = prepared.columns_known_;
  TRY(prepare_foreign(prepared));
  const bool same = std::ranges::equal(
      columns, prepared.columns_,
      [](const auto& a, const auto& b) { return a.name == b.name && a.type == b.type; });
  if ((!known || !prepared.columns_known_ || same) && parameters == prepared.parameters_) return {};
  prepared.columns_ = std::move(columns);
  prepared.parameters_ = std::move(parameters);
  prepared.columns_known_ = known;
  prepared.names_ = 0;  // The next execution is refused, too.
  return Error(Code::unsupported, "cached plan must not change result type")
      .with_hint("prepare the statement again: a name in it means another table now");
}

Result<std::unique_ptr<Rows>> SessionImpl::query(std::string_view statement) {
  auto prepared = TRY(prepare(statement));
  return execute(*prepared, {});
}

Result<std::unique_ptr<Rows>> SessionImpl::execute(Prepared& prepared,
                                                   const std::vector<duckdb::Value>& parameters) {
  auto& statement = static_cast<PreparedStatement&>(prepared);
  state_->cancelled = false;
  state_->outcome = std::make_shared<StatementOutcome>();
  started_ns_ = core_->deps.clock.monotonic_ns();
  running_ = core_->statement_started(state_->id, statement.sql_);
  auto rows = duck::guarded_result([&] { return execute_checked(statement, parameters); });
  bool streaming = rows && statement.duck_ && !(*rows)->columns().empty();
  if (!streaming) {
    int64_t duration_us = (core_->deps.clock.monotonic_ns() - started_ns_) / 1000;
    core_->statement_ended(running_, duration_us, rows ? "" : rows.error().to_string());
  }
  if (!rows) return fail(rows.error());
  return rows;
}

Status SessionImpl::check_count(const PreparedStatement& prepared,
                                const std::vector<duckdb::Value>& parameters) const {
  if (parameters.size() == prepared.parameters_.size()) return {};
  return Error(Code::invalid_argument, "the statement has {} parameters, {} values were given",
               prepared.parameters_.size(), parameters.size())
      .because(Cause::undefined_parameter);
}

Result<std::vector<duck::NamedType>> SessionImpl::describe(
    Prepared& prepared, const std::vector<duckdb::Value>& parameters) {
  auto& statement = static_cast<PreparedStatement&>(prepared);
  if (statement.columns_known_) return statement.columns_;
  state_->cancelled = false;
  if (auto given = check_count(statement, parameters); !given) return fail(given.error());
  if (auto settled = settle(); !settled) return fail(settled.error());
  auto columns = duck::guarded([&] {
    std::vector<duck::NamedType> planned;
    connection_->context->RunFunctionInTransaction([&] {
      duckdb::Planner planner(*connection_->context);
      for (size_t i = 0; i < parameters.size(); ++i) {
        planner.parameter_data.emplace(std::to_string(i + 1),
                                       duckdb::BoundParameterData(parameters[i]));
      }
      planner.CreatePlan(statement.duck_->data->unbound_statement->Copy());
      planned = columns_of(planner.names, planner.types, planner.properties);
    });
    return planned;
  });
  if (!columns) return fail(relocate(columns.error(), &statement.rewritten_, 0));
  return columns;
}

Result<std::unique_ptr<Rows>> SessionImpl::execute_checked(
    PreparedStatement& prepared, const std::vector<duckdb::Value>& parameters) {
  TRY(check_transaction(prepared));
  TRY(check_count(prepared, parameters));
  return prepared.duck_ ? execute_foreign(prepared, parameters) : execute_own(prepared);
}

/// As in Postgres, a second BEGIN and an end without a beginning change nothing.
Result<std::unique_ptr<Rows>> SessionImpl::control_transaction(const TransactionControl& control) {
  using Verb = TransactionControl::Verb;
  std::string sql = control.read_only ? "BEGIN TRANSACTION READ ONLY" : "BEGIN TRANSACTION";
  std::string tag = "BEGIN";
  if (control.verb != Verb::begin) {
    sql = tag = failed_ || control.verb == Verb::rollback ? "ROLLBACK" : "COMMIT";
  }
  if (in_transaction() != (control.verb == Verb::begin)) {
    failed_ = false;
    ++state_->generation;
    auto result = TRY(duck::guarded([&] { return connection_->Query(sql); }));
    ++names_;  // What the transaction made may be gone.
    if (result->HasError()) return commit_error(error_of(result->GetErrorObject()));
    core_->wrote(EntryNumber(state_->outcome->written));
  }
  return std::make_unique<ReadyRows>(tag, std::vector<duck::NamedType>{}, CallRows{}, Epoch());
}

Result<std::unique_ptr<Rows>> SessionImpl::execute_foreign(
    PreparedStatement& prepared, const std::vector<duckdb::Value>& parameters) {
  const bool again = std::exchange(prepared.executed_, true);
  if (prepared.names_ != names_) {
    TRY(bind_again(prepared));
  } else if (again && !runs_again(prepared.duck_->GetStatementType())) {
    TRY(prepare_foreign(prepared));
  }
  const auto& modified = prepared.duck_->GetStatementProperties().modified_databases;
  if (modified.contains(std::string(kDatabaseName))) TRY(core_->deps.engine.room_to_write());
  TRY(settle());
  SchemaNames::Claim name;  // Until the name is there for all.
  if (!prepared.attached_as_.empty()) name = TRY(claim_file_name(*core_, prepared.attached_as_));
  ++state_->generation;
  duckdb::vector<duckdb::Value> values(parameters.begin(), parameters.end());
  auto& search_path = *duckdb::ClientData::Get(*connection_->context).catalog_search_path;
  const bool may_set = prepared.duck_->GetStatementType() == duckdb::StatementType::SET_STATEMENT;
  const auto path_before =
      may_set ? search_path.GetSetPaths() : duckdb::vector<duckdb::CatalogSearchEntry>();
  auto result = TRY(duck::guarded([&] { return prepared.duck_->Execute(values, true); }));
  if (may_set && search_path.GetSetPaths().empty() && resets(*prepared.duck_)) {
    search_path.Set({std::string(kDatabaseName), std::string(kDefaultSchema)},
                    duckdb::CatalogSetPathType::SET_DIRECTLY);
  }
  if (Status ours = may_set ? check_search_path(search_path) : Status(); !ours) {
    search_path.Set(path_before, duckdb::CatalogSetPathType::SET_DIRECTLY);
    return std::move(ours).error();
  }
  if (result->HasError())
    return with_advice(
        std::get<Foreign>(prepared.statement_).verb,
        commit_error(relocate(error_of(result->GetErrorObject()), &prepared.rewritten_, 0)));
  if (renames(prepared.duck_->GetStatementType())) ++names_;
  std::optional<uint64_t> affected;
  if (result->properties.return_type == duckdb::StatementReturnType::CHANGED_ROWS) {
    auto count = TRY(duck::guarded([&]() -> uint64_t {
      auto chunk = result->Fetch();
      return chunk && chunk->size() == 1 ? chunk->GetValue(0, 0).GetValue<uint64_t>() : 0;
    }));
    affected = count;
  }
  core_->wrote(EntryNumber(state_->outcome->written));
  // The result knows better than the statement: it was bound again if the catalog has changed.
  auto columns = columns_of(result->names, result->types, result->properties);
  return std::make_unique<DuckRows>(DuckRows::Parts{
      .connection = *connection_,
      .session = state_,
      .result = std::move(result),
      .outcome = state_->outcome,
      .columns = std::move(columns),
      .command = prepared.command_,
      .affected = affected,
      .on_error = [this](Error error) { return fail(std::move(error)); },
      .on_end =
          [this, started_ns = started_ns_, running = running_](const Error* error) {
            int64_t duration_us = (core_->deps.clock.monotonic_ns() - started_ns) / 1000;
            core_->statement_ended(running, duration_us, error ? error->to_string() : "");
          },
  });
}

Result<std::unique_ptr<Rows>> SessionImpl::execute_own(PreparedStatement& prepared) {
  if (auto create = create_of(prepared.statement_)) return execute_create(*create, prepared);
  TRY(check_not_hidden(prepared.statement_));
  if (const auto* drop = std::get_if<Drop>(&prepared.statement_))
    return execute_drop(*drop, prepared);
  if (const auto* call = std::get_if<Call>(&prepared.statement_))
    return execute_call(*call, prepared);
  if (const auto* explain = std::get_if<ExplainStream>(&prepared.statement_))
    return explain_stream(*explain, prepared);
  if (const auto* control = std::get_if<TransactionControl>(&prepared.statement_))
    return control_transaction(*control);
  const auto& records = std::get<DeleteRecords>(prepared.statement_);
  uint64_t count = 0;
  for (const DeletedRecords& deleted : TRY(run_delete_records(bind_context(), records)))
    count += static_cast<uint64_t>(deleted.records);
  core_->wrote(core_->deps.journal.durable());
  return std::make_unique<ReadyRows>(prepared.command_, prepared.columns_, CallRows{}, Epoch(),
                                     count);
}

/// The rows of CREATE TABLE AS: run on this session's connection, so that its settings, temporary
/// tables, files and cancel() apply.
Result<SessionImpl::Source> SessionImpl::open_source(const TextSpan& query) {
  auto rewritten = rewrite_statement(query.text);
  if (!rewritten) return relocate(rewritten.error(), nullptr, query.position);
  TRY(settle());
  ++state_->generation;
  auto parsed = parse_permitted(core_->deps.duck, *connection_, rewritten->text, "SELECT");
  if (!parsed) return relocate(parsed.error(), &*rewritten, query.position);
  if ((*parsed)->type != duckdb::StatementType::SELECT_STATEMENT)
    return Error(Code::invalid_argument, "a SELECT is expected").at(query.position);
  auto result = TRY(duck::guarded([&] { return connection_->SendQuery(std::move(*parsed)); }));
  if (result->HasError())
    return relocate(error_of(result->GetErrorObject()), &*rewritten, query.position);
  auto columns = columns_of(result->names, result->types, result->properties);
  std::shared_ptr<duckdb::QueryResult> rows(std::move(result));
  std::shared_ptr<duckdb::unique_ptr<duckdb::DataChunk>> chunk =
      std::make_shared<duckdb::unique_ptr<duckdb::DataChunk>>();
  auto next = [rows, chunk]() -> Result<duckdb::DataChunk*> {
    auto fetched = duck::guarded([&] { *chunk = rows->Fetch(); });
    if (!fetched) return fetched.error();
    if (rows->HasError()) return error_of(rows->GetErrorObject());
    return *chunk && (*chunk)->size() > 0 ? chunk->get() : nullptr;
  };
  return Source{std::move(next), std::move(columns)};
}

Result<std::unique_ptr<Rows>> SessionImpl::execute_create(const CreateStatement& create,
                                                          const PreparedStatement& prepared) {
  BindContext context = bind_context();
  RowSource rows;
  const auto* table = std::get_if<CreateTable>(&create);
  const QualifiedName& name = name_of(create);
  bool exists = context.catalog->find(name.schema.empty() ? context.schema() : name.schema,
                                      name.name) != nullptr;
  if (table && table->query && !exists) {
    auto source = TRY(open_source(*table->query));
    rows = std::move(source.rows);
    context.query_columns = std::move(source.columns);
  }
  auto written = run_create(context, create, prepared.sql_, rows);
  if (rows) {
    rows = {};
    TRY(duck::guarded([&] { connection_->context->CancelTransaction(); }));
  }
  if (!written) return written.error();
  core_->wrote(*written);
  return std::make_unique<ReadyRows>(prepared.command_, prepared.columns_, CallRows{}, Epoch());
}

Result<std::unique_ptr<Rows>> SessionImpl::execute_drop(const Drop& drop,
                                                        const PreparedStatement& prepared) {
  auto dropped = run_drop(bind_context(), drop);
  if (!dropped && drop.kind == catalog::Kind::table && dropped.error().code() == Code::not_found) {
    // Temporary tables are DuckDB's and belong to the session.
    ++state_->generation;
    auto result = TRY(duck::guarded([&] { return connection_->Query(prepared.sql_); }));
    if (result->HasError()) return dropped.error();
  } else if (!dropped) {
    return dropped.error();
  } else {
    core_->wrote(*dropped);
  }
  return std::make_unique<ReadyRows>(prepared.command_, prepared.columns_, CallRows{}, Epoch());
}

Result<std::unique_ptr<Rows>> SessionImpl::execute_call(const Call& call,
                                                        const PreparedStatement& prepared) {
  EntryNumber written;
  CallContext context{bind_context(), state_->cancelled, written};
  CallRows rows = TRY(TRY(find_call(call))->run(context, call));
  core_->wrote(written);
  return std::make_unique<ReadyRows>(prepared.command_, prepared.columns_, std::move(rows),
                                     core_->deps.engine.published()->epoch);
}

Result<std::unique_ptr<Rows>> SessionImpl::explain_stream(const ExplainStream& explain,
                                                          const PreparedStatement& prepared) {
  const bool running = explain.view.has_value();
  auto& engine = core_->deps.engine;
  stream::Plan plan;
  Result<std::vector<stream::OperatorReport>> operators =
      Error(Code::internal, "nobody was asked for the operators");
  if (running) {
    const BindContext context = bind_context();
    auto object = TRY(find_object(*context.catalog, *explain.view, context.path));
    if (object->kind() != catalog::Kind::view) {
      return Error(Code::not_found, "\"{}\" is a {}, not a materialized view", object->name,
                   catalog::kind_name(object->kind()))
          .at(explain.view->position);
    }
    plan = TRY(stream::decode_plan(object->view().plan));
    operators = engine.operators(object->id);
  } else {
    plan =
        TRY(plan_view(bind_context(), explain.query, {.on_window_close = explain.on_window_close}))
            .plan;
    operators = engine.explain(plan, *core_->deps.catalog.snapshot());
  }
  std::string text = stream::explain_plan(
      plan, operators ? *operators : std::vector<stream::OperatorReport>(), running);
  CallRows rows;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = std::min(text.find('\n', begin), text.size());
    rows.push_back({duckdb::Value(text.substr(begin, end - begin))});
    begin = end + 1;
  }
  if (!operators) rows.push_back({duckdb::Value("not possible: " + operators.error().message())});
  return std::make_unique<ReadyRows>(prepared.command_, prepared.columns_, std::move(rows),
                                     Epoch());
}

}  // namespace ziwa::sql
