#include "base/log.h"
#include "base/overloaded.h"
#include "base/text.h"
#include "duck/instance.h"
#include "protocol/postgres/conversation_internal.h"
#include "protocol/postgres/sqlstate.h"
#include "protocol/postgres/start_options.h"

#include <algorithm>

namespace ziwa::protocol::postgres {
namespace {

constexpr std::string_view kOutOfMemory = "53200";
/// Of each connection, outside of what all share.
constexpr size_t kOwnBytes = 64u << 10;
constexpr size_t kCopyWordsMax = 100'000;

/// "INSERT 0 5", "SELECT 3", "CREATE TABLE".
std::string command_tag(const std::string& command, std::optional<uint64_t> affected,
                        uint64_t sent) {
  if (command == "INSERT") return fmt::format("INSERT 0 {}", affected.value_or(sent));
  if (command == "SELECT") return fmt::format("SELECT {}", affected.value_or(sent));
  bool counts =
      command == "UPDATE" || command == "DELETE" || command == "MERGE" || command == "COPY";
  if (counts) return fmt::format("{} {}", command, affected.value_or(sent));
  return command;
}

/// ROLLBACK [WORK | TRANSACTION] TO ...
bool goes_back_to_savepoint(std::string_view text) {
  auto words = first_words(text, 3);
  if (words.empty() || words[0] != "rollback") return false;
  const bool filled = words.size() > 1 && (words[1] == "work" || words[1] == "transaction");
  const size_t at = filled ? 2 : 1;
  return words.size() > at && words[at] == "to";
}

}  // namespace

Status refuse_copy(std::string_view text) {
  auto head = first_words(text, 1);
  if (head.empty() || head[0] != "copy") return {};
  auto words = first_words(text, kCopyWordsMax);
  bool over_the_wire = std::ranges::any_of(
      words, [](const std::string& word) { return word == "stdin" || word == "stdout"; });
  if (!over_the_wire) return {};
  return Error(Code::unsupported, "COPY through the connection is not supported")
      .with_hint(
          "COPY t FROM 'file.csv' reads a file of the server; INSERT and `ziwa produce` send rows");
}

Error relocate(Error error, const PlainWords& plain) {
  if (plain.added.empty() || !error.position()) return error;
  const size_t position = plain.original(*error.position());
  return std::move(error).at(position);
}

Status check_text(std::string_view text) {
  if (duckdb::Value::StringIsValid(text.data(), text.size())) return {};
  return Error(Code::invalid_argument, "the statement is not valid UTF-8");
}

Conversation::Conversation(Options options, Environment environment)
    : options_(std::move(options)),
      environment_(std::move(environment)),
      memory_(options_.memory_bytes_max, options_.memory.get(), kOwnBytes),
      reader_(options_.limits),
      settings_(options_.server_version) {}

Conversation::~Conversation() = default;

void Conversation::queued() {
  std::lock_guard lock(cancel_mutex_);
  queued_at_ = std::chrono::steady_clock::now();
}

void Conversation::begin_time(std::optional<std::chrono::steady_clock::time_point> queued) {
  timed_out_ = cancel_wanted_ = false;
  begun_ = queued.value_or(std::chrono::steady_clock::now());
}

bool Conversation::time_is_up() const {
  return options_.statement_timeout_ms > 0 &&
         std::chrono::steady_clock::now() - begun_ >=
             std::chrono::milliseconds(options_.statement_timeout_ms);
}

void Conversation::receive(ByteView bytes) {
  if (input_share_.resize(reader_.buffered() + bytes.size())) {
    reader_.feed(bytes);
  } else {
    input_refused_ = true;
  }
}

std::optional<ByteShare> Conversation::keep(size_t bytes) {
  ByteShare share(memory_);
  if (share.resize(bytes)) return share;
  fail(
      Report{.sqlstate = std::string(kOutOfMemory),
             .message = "no memory to keep this: what clients have prepared and sent is at a limit",
             .hint = "close statements and portals; settings postgres.session.memory.max and "
                     "postgres.memory.max"});
  return std::nullopt;
}

void Conversation::check_time() {
  std::lock_guard lock(cancel_mutex_);
  if (!running_ || !session_) return;
  timed_out_ = timed_out_ || time_is_up();
  if (timed_out_ || cancel_wanted_) session_->cancel();
}

void Conversation::abandon() {
  abandoned_ = true;
  cancel();
}

void Conversation::cancel() {
  std::lock_guard lock(cancel_mutex_);
  if (running_ && session_) session_->cancel();
  cancel_pending_ = !running_ && (queued_at_ || answering_);
}

void Conversation::close() {
  active_ = nullptr;
  simple_execution_.reset();
  portals_.clear();
  statements_.clear();
  std::unique_ptr<sql::Session> session;
  {
    std::lock_guard lock(cancel_mutex_);
    session.swap(session_);
  }
  // Destroyed here: its end may block, which must not happen under the lock.
}

void Conversation::shut_down() {
  stopping_ = true;
  cancel();
}

Conversation::Step Conversation::run() {
  const Step next = run_steps();
  // What has not reached its statement by now came too late for it.
  if (next != Step::write || (!active_ && !in_simple_)) set_answering(false);
  return next;
}

void Conversation::set_answering(bool answering) {
  std::lock_guard lock(cancel_mutex_);
  answering_ = answering;
  if (!answering) cancel_pending_ = false;
}

Conversation::Step Conversation::run_steps() {
  while (true) {
    if (stopping_) {
      return fatal(Error(Code::unavailable, "the server is stopping"), kAdminShutdown);
    }
    if (abandoned_) return Step::close;
    if (input_refused_) {
      return fatal(Error(Code::exhausted,
                         "no memory for this message: what clients have sent is "
                         "at a limit")
                       .with_hint("settings postgres.session.memory.max and postgres.memory.max"),
                   kOutOfMemory);
    }
    if (out_.size() >= options_.output_bytes) return Step::write;
    if (auto end = step()) return *end;
  }
}

std::optional<Conversation::Step> Conversation::step() {
  if (active_) {
    pump();
    return std::nullopt;
  }
  if (in_simple_) {
    next_simple();
    return std::nullopt;
  }
  if (!in_startup_ && !greeted_) return greet();
  auto frame = reader_.next();
  if (!frame) return fatal(frame.error(), kProtocolViolation);
  if (!*frame) {
    input_share_.resize(reader_.buffered());
    return Step::read;
  }
  return in_startup_ ? on_startup((*frame)->body) : on_message(**frame);
}

Conversation::Step Conversation::fatal(const Error& error, std::string_view sqlstate) {
  Report report = report_of(error);
  report.severity = "FATAL";
  if (!sqlstate.empty()) report.sqlstate = sqlstate;
  out_.report(report);
  return Step::close;
}

std::optional<Conversation::Step> Conversation::on_startup(ByteView body) {
  auto packet = parse_startup(body);
  if (!packet) return fatal(packet.error(), kProtocolViolation);
  return std::visit(Overloaded{
                        [&](const SslRequest&) -> std::optional<Step> {
                          out_.raw_byte('N');
                          return std::nullopt;
                        },
                        [&](const GssRequest&) -> std::optional<Step> {
                          out_.raw_byte('N');
                          return std::nullopt;
                        },
                        [&](const CancelRequest& cancel) -> std::optional<Step> {
                          environment_.cancel_other(cancel);
                          return Step::close;
                        },
                        [&](const Startup& startup) { return on_start(startup); },
                    },
                    *packet);
}

std::string Conversation::user_of(const Startup& startup) {
  for (const auto& [name, value] : startup.parameters) {
    if (name == "user") return std::string(value);
  }
  return "ziwa";
}

Status Conversation::start_settings(const Startup& startup) {
  for (const auto& [name, value] : startup.parameters) {
    if (name != "options") continue;
    for (auto& [setting, given] : TRY(parse_start_options(value))) {
      auto known = settings_.set_known(setting, given);
      if (!known) return std::move(known.error()).context("start-up options");
      if (!*known) session_settings_.emplace_back(std::move(setting), std::move(given));
    }
  }
  for (const auto& [name, value] : startup.parameters) {
    if (name == "replication" && value != "false" && value != "off" && value != "0") {
      return Error(Code::unsupported, "replication connections are not supported");
    }
    if (name == "search_path") session_settings_.emplace_back(name, value);
    TRY(settings_.start(name, value));
  }
  return {};
}

std::optional<Conversation::Step> Conversation::on_start(const Startup& startup) {
  if (auto applied = start_settings(startup); !applied) return fatal(applied.error());
  user_ = user_of(startup);
  auto session = environment_.open_session(user_);
  if (!session) {
    bool full = session.error().code() == Code::exhausted;
    return fatal(session.error(), full ? kTooManyConnections : std::string_view());
  }
  {
    std::lock_guard lock(cancel_mutex_);
    session_ = std::move(*session);
  }
  in_startup_ = false;
  reader_.end_startup();
  if (session_settings_.empty()) greet();
  return Step::write;  // What follows is SQL, which may wait.
}

Status Conversation::run_in_session(const std::string& statement) {
  return running([&]() -> Status {
    auto rows = TRY(session_->query(statement));
    while (TRY(rows->next()) != nullptr) continue;
    return {};
  });
}

std::optional<Conversation::Step> Conversation::greet() {
  for (const auto& statement : start_statements()) {
    auto set = run_in_session(statement);
    if (!set) return fatal(std::move(set.error()).context("start-up options"));
  }
  settings_.end_startup();
  greeted_ = true;
  out_.authentication_ok();
  for (const auto& [name, value] : settings_.reported()) out_.parameter_status(name, value);
  out_.backend_key_data(options_.process, options_.secret);
  out_.ready_for_query('I');
  return std::nullopt;
}

std::optional<Conversation::Step> Conversation::on_message(const Frame& frame) {
  auto message = parse_message(frame);
  if (!message) return fatal(message.error(), kProtocolViolation);
  if (std::holds_alternative<Terminate>(*message)) return Step::close;
  if (skip_to_sync_ && !std::holds_alternative<Sync>(*message)) return std::nullopt;
  Status status = std::visit(
      Overloaded{
          [&](const Query& query) -> Status {
            on_query(query);
            return {};
          },
          [&](const Parse& parse) { return on_parse(parse); },
          [&](const Bind& bind) { return on_bind(bind); },
          [&](const Describe& describe) { return on_describe(describe); },
          [&](const Execute& execute) { return on_execute(execute); },
          [&](const Close& close) { return on_close(close); },
          [&](const Sync&) -> Status {
            on_sync();
            return {};
          },
          [&](const Flush&) -> Status { return {}; },
          [&](const Terminate&) -> Status { return {}; },
          [&](const Unexpected& other) -> Status {
            // A client that was told "no" to COPY may have sent its data already: Postgres ignores
            // it too.
            if (other.type == 'd' || other.type == 'c' || other.type == 'f') return {};
            Error error(Code::unsupported, "messages of type '{}' are not supported", other.type);
            if (other.type != 'F') return error;
            // The fast path is a query of its own: no Sync follows, and the client waits for this.
            fail(error);
            on_sync();
            return {};
          },
      },
      *message);
  if (!status) fail(status.error());
  return std::nullopt;
}

// ---- simple query

void Conversation::on_query(const Query& query) {
  portals_.erase("");
  statements_.erase("");
  set_answering(true);
  in_simple_ = true;
  simple_next_ = 0;
  simple_text_ = query.sql;
  simple_.clear();
  if (auto valid = check_text(simple_text_); !valid) {
    fail(valid.error());
    return;
  }
  simple_ = sql::Session::split(simple_text_);
  if (simple_.empty()) out_.empty_query_response();
}

void Conversation::next_simple() {
  if (simple_next_ == simple_.size()) {
    end_simple();
    return;
  }
  const auto& statement = simple_[simple_next_++];
  if (auto status = run_simple(statement); !status) {
    fail(report_of(status.error(), statement.text, statement.position, simple_text_));
  }
}

Status Conversation::run_simple(const sql::StatementText& statement) {
  TRY(check_run(statement.text));
  TRY(refuse_copy(statement.text));
  if (out_of_place(statement.text)) return refuse_in_transaction();
  if (auto door = TRY(door_answer(statement.text))) {
    if (door->column) {
      out_.row_description({{.name = *door->column}});
    }
    answer_door(*door);
    return {};
  }
  auto execution = std::make_unique<Execution>();
  PlainWords plain = plain_catalog_words(ClientSettings::simplify(statement.text));
  auto rows = running([&] { return session_->query(plain.text); });
  if (!rows) return relocate(std::move(rows.error()), plain);
  execution->rows = std::move(*rows);
  std::vector<duckdb::LogicalType> types;
  for (const auto& column : execution->rows->columns()) types.push_back(column.type);
  execution->writer.emplace(types, std::vector<int16_t>());
  if (!types.empty()) describe_rows(*execution);
  simple_execution_ = std::move(execution);
  active_ = simple_execution_.get();
  return {};
}

void Conversation::describe_rows(const Execution& execution) {
  std::vector<FieldDescription> fields;
  const auto& columns = execution.rows->columns();
  for (size_t i = 0; i < columns.size(); ++i) {
    fields.push_back(execution.writer->describe(i, columns[i].name));
  }
  out_.row_description(fields);
}

void Conversation::end_simple() {
  in_simple_ = false;
  set_answering(false);
  simple_.clear();
  out_.ready_for_query(transaction_status());
}

// ---- rows

void Conversation::pump() {
  Execution& run = *active_;
  while (true) {
    if (run.rows_max != 0 && run.sent == run.rows_max) {
      out_.portal_suspended();
      active_ = nullptr;
      return;
    }
    if (!run.loaded) {
      auto chunk = running([&] { return run.rows->next(); });
      if (!chunk) return fail(chunk.error());
      if (*chunk == nullptr) {
        run.done = true;
        return finish_active();
      }
      if (run.rows->columns().empty() || (*chunk)->size() == 0) continue;
      if (auto loaded = run.columns.load(**chunk); !loaded) return fail(loaded.error());
      run.loaded = true;
      run.next_row = 0;
    }
    while (run.next_row < run.columns.rows() && (run.rows_max == 0 || run.sent < run.rows_max)) {
      if (auto sent = run.writer->append(out_, run.columns, run.next_row); !sent) {
        return fail(sent.error());
      }
      ++run.next_row;
      ++run.sent;
    }
    run.loaded = run.next_row < run.columns.rows();
    if (out_.size() >= options_.output_bytes) return;
  }
}

void Conversation::finish_active() {
  Execution& run = *active_;
  out_.command_complete(command_tag(run.rows->command(), run.rows->affected(), run.sent));
  active_ = nullptr;
  if (in_simple_) {
    simple_execution_.reset();
  } else {
    run.rows.reset();
  }
}

void Conversation::fail(const Error& error) {
  std::string_view text = in_simple_ ? std::string_view(simple_text_) : std::string_view();
  if (in_simple_ && simple_next_ > 0) {
    const auto& statement = simple_[simple_next_ - 1];
    fail(report_of(error, statement.text, statement.position, text));
  } else {
    fail(report_of(error));
  }
}

Status Conversation::refuse(std::string_view sqlstate, std::string message) {
  fail(Report{.sqlstate = std::string(sqlstate), .message = std::move(message)});
  return {};
}

void Conversation::fail(Report report) {
  // The session knows of its own errors only, and COMMIT must not keep what came before this one.
  session_->fail_transaction();
  out_.report(report);
  active_ = nullptr;
  simple_execution_.reset();
  if (in_simple_) {
    simple_.clear();
    simple_next_ = 0;
  } else {
    skip_to_sync_ = true;
  }
}

// ---- the door's own statements

Result<std::optional<DoorAnswer>> Conversation::door_answer(std::string_view text) {
  auto words = first_words(text, 5);
  if (!words.empty() && words[0] == "deallocate") {
    std::string name = words.size() > 2 && words[1] == "prepare" ? words[2]
                       : words.size() > 1                        ? words[1]
                                                                 : "";
    if (name == "all") {
      portals_.clear();
      statements_.clear();
      return std::optional(DoorAnswer{.command = "DEALLOCATE ALL"});
    }
    auto found = statements_.find(name);
    if (found == statements_.end()) return std::optional<DoorAnswer>();
    std::erase_if(portals_,
                  [&](const auto& portal) { return portal.second->statement == found->second; });
    statements_.erase(found);
    return std::optional(DoorAnswer{.command = "DEALLOCATE"});
  }
  if (auto command = Savepoints::command_of(text)) {
    TRY(savepoints_.apply(text, session_->transaction_state() != sql::TransactionState::idle));
    return std::optional(DoorAnswer{.command = *command});
  }
  if (auto back = back_to_start(words)) {
    TRY(run_in_session(back->first));
    return std::optional(DoorAnswer{.command = back->second});
  }
  // First what may fail: then nothing has changed.
  if (words == std::vector<std::string>{"discard", "all"}) TRY(renew_session());
  if (words == std::vector<std::string>{"reset", "all"}) {
    if (!began_with("search_path")) TRY(run_in_session("RESET search_path"));
    for (const auto& statement : start_statements()) TRY(run_in_session(statement));
  }
  return settings_.answer(text);
}

bool Conversation::began_with(std::string_view name) const {
  return std::ranges::find(session_settings_, name, [](const auto& each) {
           return std::string_view(each.first);
         }) != session_settings_.end();
}

std::vector<std::string> Conversation::start_statements() const {
  std::vector<std::string> statements;
  for (const auto& [name, value] : session_settings_) {
    statements.push_back(fmt::format("SET {} = {}", name, quote_text(value)));
  }
  return statements;
}

/// RESET, or SET ... TO DEFAULT, of a setting of the session that the client began with: what to
/// run for it, and the command.
std::optional<std::pair<std::string, std::string>> Conversation::back_to_start(
    const std::vector<std::string>& words) const {
  const bool reset = words.size() == 2 && words[0] == "reset";
  const bool set = words.size() == 4 && words[0] == "set" && words[3] == "default" &&
                   (words[2] == "=" || words[2] == "to");
  if (!reset && !set) return std::nullopt;
  std::optional<std::pair<std::string, std::string>> back;
  const std::string wanted = words[1] == "schema" ? "search_path" : words[1];
  for (const auto& [name, value] : session_settings_) {
    if (name != wanted) continue;
    back.emplace(fmt::format("SET {} = {}", name, quote_text(value)), reset ? "RESET" : "SET");
  }
  return back;
}

/// What statements of the session made goes with it: temporary tables, the search_path.
Status Conversation::renew_session() {
  auto session = TRY(environment_.open_session(user_));
  for (const auto& statement : start_statements()) {
    auto rows = TRY(session->query(statement));
    while (TRY(rows->next()) != nullptr) continue;
  }
  portals_.clear();
  statements_.clear();
  std::lock_guard lock(cancel_mutex_);
  std::swap(session_, session);
  return {};
}

void Conversation::answer_door(const DoorAnswer& answer) {
  for (const auto& [name, value] : answer.reported) out_.parameter_status(name, value);
  if (answer.column) {
    size_t row = out_.begin_row(1);
    size_t field = out_.open_field();
    out_.buffer().append(answer.value);
    out_.close_field(field);
    out_.end_row(row);
  }
  out_.command_complete(answer.command);
}

Status Conversation::check_transaction(std::string_view text) {
  if (goes_back_to_savepoint(text)) {
    undone_in_part_ = true;
  } else if (session_->transaction_state() != sql::TransactionState::failed) {
    undone_in_part_ = false;
  }
  if (session_->transaction_state() == sql::TransactionState::idle) savepoints_.clear();
  if (session_->transaction_state() != sql::TransactionState::failed) return {};
  std::string simple = ClientSettings::simplify(text);
  if (simple == "ROLLBACK" || simple == "COMMIT") return {};
  return Error(Code::conflict,
               "current transaction is aborted, commands are ignored until ROLLBACK")
      .because(Cause::in_failed_transaction);
}

Status Conversation::check_run(std::string_view text) {
  TRY(check_transaction(text));
  const bool failed = session_->transaction_state() == sql::TransactionState::failed;
  const bool commits = failed && ClientSettings::simplify(text) == "COMMIT";
  return commits && undone_in_part_ ? refuse_commit() : Status();
}

/// A driver whose nested block was undone takes the answer ROLLBACK for success, and the rest of
/// the transaction for committed.
Status Conversation::refuse_commit() {
  TRY(running([&] { return session_->query("ROLLBACK"); }));
  return Error(Code::unsupported,
               "the transaction was undone as a whole: ROLLBACK TO a savepoint is not built")
      .with_hint("run the inner block without a transaction of its own");
}

/// As of Postgres: the answer would be that all is as new, and the transaction goes on.
bool Conversation::out_of_place(std::string_view text) const {
  if (session_->transaction_state() == sql::TransactionState::idle) return false;
  auto words = first_words(text, 2);
  return words.size() == 2 && words[0] == "discard" && words[1] == "all";
}

Status Conversation::refuse_in_transaction() {
  fail(Report{.sqlstate = std::string(kInTransaction),
              .message = "DISCARD ALL cannot run inside a transaction",
              .hint = "COMMIT or ROLLBACK first"});
  return {};
}

char Conversation::transaction_status() const {
  switch (session_->transaction_state()) {
    case sql::TransactionState::idle:
      return 'I';
    case sql::TransactionState::open:
      return 'T';
    case sql::TransactionState::failed:
      return 'E';
  }
  return 'I';
}

}  // namespace ziwa::protocol::postgres
