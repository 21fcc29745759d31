#include "duck/instance.h"
#include "protocol/postgres/conversation_internal.h"
#include "protocol/postgres/described_rows.h"
#include "protocol/postgres/sqlstate.h"

#include <algorithm>

// Parse, Bind, Describe, Execute, Close, Sync: statements that are prepared.
namespace ziwa::protocol::postgres {
namespace {

/// What a prepared statement takes (parsed, bound, planned) by the bytes of its text: measured.
constexpr size_t kStatementBytesPerByte = 8;
constexpr size_t kStatementBytes = 4'096;
/// As it came and decoded.
constexpr size_t kParameterBytesPerByte = 2;
constexpr size_t kParameterBytes = 64;
constexpr size_t kArrayWordsMax = 100'000;

/// The parameters (from 0) that stand alone in ANY(...), ALL(...) or SOME(...): lists, whatever the
/// client says.
std::vector<size_t> array_parameters(std::string_view text) {
  std::vector<size_t> found;
  auto words = first_words(text, kArrayWordsMax);
  for (size_t i = 0; i + 4 < words.size(); ++i) {
    bool quantifier = words[i] == "any" || words[i] == "all" || words[i] == "some";
    if (!quantifier || words[i + 1] != "(" || words[i + 2] != "$" || words[i + 4] != ")") continue;
    size_t number = std::strtoul(words[i + 3].c_str(), nullptr, 10);
    if (number > 0) found.push_back(number - 1);
  }
  return found;
}

}  // namespace

Result<std::shared_ptr<Conversation::Statement>> Conversation::prepare(std::string_view text,
                                                                       ByteShare share) {
  auto statement = std::make_shared<Statement>(std::move(share));
  TRY(check_text(text));
  auto parts = sql::Session::split(text);
  if (parts.size() > 1) {
    return Error(Code::invalid_argument, "a prepared statement holds one statement, not {}",
                 parts.size())
        .because(Cause::syntax_error)
        .at(parts[1].position);
  }
  statement->empty = parts.empty();
  if (parts.empty()) return statement;
  statement->text = parts[0].text;
  TRY(check_transaction(statement->text));
  TRY(refuse_copy(statement->text));
  auto head = first_words(statement->text, 1);
  bool maybe_door = !head.empty() && (head[0] == "set" || head[0] == "show" || head[0] == "reset" ||
                                      head[0] == "discard" || head[0] == "deallocate");
  if (auto command = Savepoints::command_of(statement->text)) {
    statement->door = DoorAnswer{.command = *command};
  } else if (maybe_door) {
    // The shape is asked for now, the effect comes with Execute.
    ClientSettings before = settings_;
    if (head[0] != "deallocate") statement->door = TRY(settings_.answer(statement->text));
    settings_ = std::move(before);
    if (head[0] == "deallocate") statement->door = DoorAnswer{.command = "DEALLOCATE"};
    if (auto back = back_to_start(first_words(statement->text, 5))) {
      statement->door = DoorAnswer{.command = back->second};
    }
  }
  if (!statement->door) {
    PlainWords plain = plain_catalog_words(ClientSettings::simplify(statement->text));
    auto prepared = running([&] { return session_->prepare(plain.text); });
    if (!prepared) return relocate(std::move(prepared.error()), plain);
    statement->prepared = std::move(*prepared);
  }
  return statement;
}

Status Conversation::on_parse(const Parse& parse) {
  if (!parse.statement.empty() && statements_.contains(parse.statement)) {
    return refuse(kDuplicateStatement,
                  fmt::format("prepared statement \"{}\" already exists", parse.statement));
  }
  if (statements_.size() >= options_.statements_max) {
    return Error(Code::exhausted, "a connection keeps at most {} prepared statements",
                 options_.statements_max);
  }
  if (parse.statement.empty()) {
    portals_.erase("");
    statements_.erase("");
  }
  auto share = keep(kStatementBytes + kStatementBytesPerByte * parse.sql.size());
  if (!share) return {};
  auto statement = prepare(parse.sql, std::move(*share));
  if (!statement) {
    fail(report_of(statement.error(), parse.sql, 0, parse.sql));
    return {};
  }
  const auto& types = (*statement)->parameter_types();
  auto& oids = (*statement)->parameter_oids;
  oids = parse.parameter_types;
  oids.resize(types.size());
  for (size_t i : array_parameters((*statement)->text)) {
    bool open = i < oids.size() && (oids[i] == 0 || oids[i] == oid::kUnknown);
    if (open && open_type(types[i])) oids[i] = oid::kAnyArray;
  }
  statements_[std::string(parse.statement)] = std::move(*statement);
  out_.parse_complete();
  return {};
}

Status Conversation::on_bind(const Bind& bind) {
  auto found = statements_.find(bind.statement);
  if (found == statements_.end()) {
    return refuse(kNoSuchStatement,
                  fmt::format("prepared statement \"{}\" does not exist", bind.statement));
  }
  if (!bind.portal.empty() && portals_.contains(bind.portal)) {
    return refuse(kDuplicatePortal, fmt::format("portal \"{}\" already exists", bind.portal));
  }
  if (portals_.size() >= options_.portals_max) {
    return Error(Code::exhausted, "a connection keeps at most {} portals", options_.portals_max);
  }
  const auto& statement = *found->second;
  const auto& types = statement.parameter_types();
  if (bind.parameters.size() != types.size()) {
    return Error(Code::invalid_argument, "the statement takes {} parameters, not {}", types.size(),
                 bind.parameters.size())
        .because(Cause::undefined_parameter);
  }
  size_t bytes = kParameterBytes * types.size();
  for (const auto& value : bind.parameters) {
    if (value) bytes += kParameterBytesPerByte * value->size();
  }
  if (bind.portal.empty()) portals_.erase("");
  auto share = keep(bytes);
  if (!share) return {};
  auto portal = std::make_unique<Portal>(std::move(*share));
  portal->statement = found->second;
  portal->formats = bind.result_formats;
  for (size_t i = 0; i < types.size(); ++i) {
    bool binary = format_of(bind.parameter_formats, i) == 1;
    auto value =
        decode_parameter(bind.parameters[i], binary, statement.parameter_oids[i], types[i]);
    if (!value) return std::move(value.error()).context(fmt::format("parameter ${}", i + 1));
    portal->parameters.push_back(std::move(*value));
  }
  portals_[std::string(bind.portal)] = std::move(portal);
  out_.bind_complete();
  return {};
}

Status Conversation::on_describe(const Describe& describe) {
  if (describe.kind == 'S') {
    auto found = statements_.find(describe.name);
    if (found == statements_.end()) {
      return refuse(kNoSuchStatement,
                    fmt::format("prepared statement \"{}\" does not exist", describe.name));
    }
    Statement& statement = *found->second;
    std::vector<uint32_t> oids = statement.parameter_oids;
    const auto& types = statement.parameter_types();
    for (size_t i = 0; i < oids.size(); ++i) {
      if (oids[i] == oid::kAnyArray) oids[i] = oid::kTextArray;
      if (oids[i] == 0) oids[i] = open_type(types[i]) ? oid::kText : wire_type(types[i]).oid;
    }
    if (statement.prepared && !statement.told) {
      std::vector<duckdb::Value> samples;
      for (size_t i = 0; i < oids.size(); ++i) {
        samples.push_back(sample_parameter(statement.parameter_oids[i], types[i]));
      }
      statement.told = columns_of(statement, samples);
      if (!statement.told) return {};
    }
    out_.parameter_description(oids);
    describe_columns(statement, statement.told, {});
    return {};
  }
  auto found = portals_.find(describe.name);
  if (found == portals_.end()) {
    return refuse(kNoSuchPortal, fmt::format("portal \"{}\" does not exist", describe.name));
  }
  Portal& portal = *found->second;
  if (portal.statement->prepared && !portal.told) {
    portal.told = columns_of(*portal.statement, portal.parameters);
    if (!portal.told) return {};
  }
  describe_columns(*portal.statement, portal.told, portal.formats);
  return {};
}

Conversation::Told Conversation::columns_of(Statement& statement,
                                            const std::vector<duckdb::Value>& parameters) {
  auto columns = running([&] { return session_->describe(*statement.prepared, parameters); });
  if (columns) return std::move(*columns);
  fail(report_of(columns.error(), statement.text, 0, statement.text));
  return std::nullopt;
}

void Conversation::describe_columns(const Statement& statement, const Told& told,
                                    const std::vector<int16_t>& formats) {
  if (statement.door && statement.door->column) {
    out_.row_description({{.name = *statement.door->column}});
    return;
  }
  if (!told || told->empty()) {
    out_.no_data();
    return;
  }
  std::vector<duckdb::LogicalType> types;
  for (const auto& column : *told) types.push_back(column.type);
  RowWriter writer(types, formats);
  std::vector<FieldDescription> fields;
  for (size_t i = 0; i < types.size(); ++i) {
    fields.push_back(writer.describe(i, (*told)[i].name));
  }
  out_.row_description(fields);
}

Status Conversation::on_execute(const Execute& execute) {
  auto found = portals_.find(execute.portal);
  if (found == portals_.end()) {
    return refuse(kNoSuchPortal, fmt::format("portal \"{}\" does not exist", execute.portal));
  }
  Portal& portal = *found->second;
  const std::shared_ptr<Statement> kept = portal.statement;  // DISCARD and DEALLOCATE drop it.
  Statement& statement = *kept;
  if (statement.empty) {
    out_.empty_query_response();
    return {};
  }
  if (statement.door) {
    TRY(check_run(statement.text));
    if (out_of_place(statement.text)) return refuse_in_transaction();
    auto door = TRY(door_answer(statement.text));
    answer_door(door ? *door : *statement.door);
    return {};
  }
  if (!portal.execution) {
    TRY(check_run(statement.text));
    portal.execution = std::make_unique<Execution>();
    auto begun = begin_execution(portal);
    if (!begun) {
      portal.execution.reset();
      fail(report_of(begun.error(), statement.text, 0, statement.text));
      return {};
    }
  } else {
    std::lock_guard lock(cancel_mutex_);
    begin_time(queued_at_);
  }
  if (portal.execution->done) {
    out_.command_complete("SELECT 0");
    return {};
  }
  portal.execution->rows_max = execute.rows_max > 0 ? static_cast<uint64_t>(execute.rows_max) : 0;
  portal.execution->sent = 0;
  set_answering(true);
  active_ = portal.execution.get();
  return {};
}

Status Conversation::begin_execution(Portal& portal) {
  const Statement& statement = *portal.statement;
  Execution& execution = *portal.execution;
  execution.rows =
      TRY(running([&] { return session_->execute(*statement.prepared, portal.parameters); }));
  if (const Told& told = portal.told ? portal.told : statement.told) {
    // Types that were known before there were values can only change with what is read.
    const bool exactly = statement.prepared->columns_known();
    execution.rows = TRY(as_described(std::move(execution.rows), *told, exactly));
  }
  std::vector<duckdb::LogicalType> types;
  for (const auto& column : execution.rows->columns()) types.push_back(column.type);
  execution.writer.emplace(types, portal.formats);
  return {};
}

Status Conversation::on_close(const Close& close) {
  if (close.kind == 'P') {
    if (auto found = portals_.find(close.name); found != portals_.end()) portals_.erase(found);
  } else if (auto found = statements_.find(close.name); found != statements_.end()) {
    std::erase_if(portals_,
                  [&](const auto& portal) { return portal.second->statement == found->second; });
    statements_.erase(found);
  }
  out_.close_complete();
  return {};
}

void Conversation::on_sync() {
  skip_to_sync_ = false;
  set_answering(false);
  // A portal lives as long as its transaction, and outside of one that is until Sync.
  if (session_->transaction_state() == sql::TransactionState::idle) portals_.clear();
  out_.ready_for_query(transaction_status());
}

}  // namespace ziwa::protocol::postgres
