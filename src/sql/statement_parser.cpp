#include "sql/statement_parser.h"

#include "base/settings.h"
#include "base/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

namespace ziwa::sql {
namespace {

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return out;
}

struct Refusal {
  std::string_view verb;
  Code code;
  std::string_view message;
  std::string_view hint;
};

/// Statements that DuckDB's grammar has and no session may run, or that mean nothing here.
constexpr std::array kRefusals = {
    Refusal{"INSTALL", Code::permission, "extensions cannot be installed from a session", ""},
    Refusal{"LOAD", Code::permission, "extensions cannot be loaded from a session", ""},
    Refusal{"EXPORT", Code::permission, "EXPORT DATABASE is not for sessions",
            "COPY (SELECT ...) TO 'file' writes one result"},
    Refusal{"IMPORT", Code::permission, "IMPORT DATABASE is not for sessions",
            "COPY table FROM 'file' loads one file"},
    Refusal{"PREPARE", Code::unsupported, "PREPARE is not built",
            "drivers prepare through their protocol"},
    Refusal{"EXECUTE", Code::unsupported, "EXECUTE is not built",
            "drivers execute through their protocol"},
    Refusal{"DEALLOCATE", Code::unsupported, "DEALLOCATE is not built",
            "drivers close statements through their protocol"},
    Refusal{"CHECKPOINT", Code::unsupported, "CHECKPOINT is not a statement here",
            "CALL ziwa.checkpoint()"},
    Refusal{"VACUUM", Code::unsupported, "VACUUM is not built", ""},
    Refusal{"OPTIMIZE", Code::unsupported, "OPTIMIZE is not built", ""},
    Refusal{"ANALYZE", Code::unsupported, "ANALYZE is not built",
            "statistics are kept by the tables themselves"},
    Refusal{"ALTER", Code::unsupported, "ALTER is not built", "DROP and CREATE the object"},
    Refusal{"TRUNCATE", Code::unsupported, "TRUNCATE is not built",
            "CALL ziwa.delete_records('topic', partition, offset) empties a topic"},
    Refusal{"COMMENT", Code::unsupported, "COMMENT ON is not built", ""},
    Refusal{"GRANT", Code::unsupported, "GRANT is not built", ""},
    Refusal{"REVOKE", Code::unsupported, "REVOKE is not built", ""},
    Refusal{"SAVEPOINT", Code::unsupported, "savepoints are not built", ""},
    Refusal{"RELEASE", Code::unsupported, "savepoints are not built", ""},
    Refusal{"MERGE", Code::unsupported, "MERGE is not built", "INSERT appends rows"},
};

/// Settings of DuckDB that a session may change for itself.
constexpr std::array<std::string_view, 3> kSessionSettings = {"TIMEZONE", "SEARCH_PATH", "SCHEMA"};

bool is_session_setting(const std::string& name) {
  return std::find(kSessionSettings.begin(), kSessionSettings.end(), name) !=
         kSessionSettings.end();
}

/// SET [LOCAL|SESSION] name, SET TIME ZONE, SET VARIABLE x, RESET name: only what concerns the
/// session alone.
Status check_setting(TokenCursor cursor, bool reset) {
  cursor.next();
  if (!cursor.accept("LOCAL") && !cursor.accept("SESSION")) {
    if (cursor.peek().is("GLOBAL")) {
      return Error(Code::permission, "engine settings are for the administrator")
          .with_hint("start the server with --set name=value")
          .at(cursor.peek().position);
    }
  }
  if (cursor.peek().is("VARIABLE") || (cursor.peek().is("TIME") && cursor.peek(1).is("ZONE")))
    return {};
  if (reset && cursor.peek().is("ALL")) {
    return Error(Code::unsupported, "RESET ALL is not built")
        .with_hint("RESET search_path")
        .at(cursor.peek().position);
  }
  if (cursor.done()) return cursor.unexpected("a setting");
  std::string name = upper(cursor.peek().value());
  if (is_session_setting(name)) return {};
  return Error(Code::permission, "setting \"{}\" is for the administrator", cursor.peek().value())
      .with_hint("a session may set search_path and schema")
      .at(cursor.peek().position);
}

/// PRAGMAs that only look.
constexpr std::array<std::string_view, 6> kPragmas = {"TABLE_INFO",    "SHOW",    "SHOW_TABLES",
                                                      "DATABASE_LIST", "VERSION", "PLATFORM"};

Status check_pragma(const TokenCursor& cursor) {
  const Token& name = cursor.peek(1);
  for (std::string_view known : kPragmas) {
    if (name.is(known) && !cursor.peek(2).is_symbol("=")) return {};
  }
  return Error(Code::permission, "PRAGMA {} is for the administrator", name.text)
      .with_hint("a session may use PRAGMA table_info('t') and show_tables")
      .at(name.position);
}

Status check_allowed(const TokenCursor& cursor, const std::string& verb) {
  for (const Refusal& refusal : kRefusals) {
    if (verb != refusal.verb) continue;
    return Error(refusal.code, "{}", refusal.message)
        .with_hint(std::string(refusal.hint))
        .at(cursor.peek().position);
  }
  if (verb == "PRAGMA") return check_pragma(cursor);
  if (verb == "SET" || verb == "RESET") return check_setting(cursor, verb == "RESET");
  return {};
}

Result<catalog::Kind> parse_kind(TokenCursor& cursor) {
  if (cursor.accept("TOPIC")) return catalog::Kind::topic;
  if (cursor.accept("TABLE")) return catalog::Kind::table;
  if (cursor.accept("SINK")) return catalog::Kind::sink;
  if (cursor.accept("MATERIALIZED", "VIEW")) return catalog::Kind::view;
  return cursor.unexpected("TOPIC, TABLE, MATERIALIZED VIEW or SINK");
}

Result<Statement> parse_drop(TokenCursor& cursor) {
  Drop drop;
  size_t position = cursor.peek().position;
  cursor.next();
  if (cursor.peek().is("VIEW") || cursor.peek().is("MACRO") || cursor.peek().is("FUNCTION")) {
    return Foreign{"DROP", {}};  // temporary ones of the session
  }
  if (cursor.peek().is("SCHEMA")) {
    return Error(Code::unsupported, "DROP SCHEMA is not built")
        .with_hint("a schema is there while it holds objects")
        .at(position);
  }
  drop.kind = TRY(parse_kind(cursor));
  drop.if_exists = cursor.accept("IF", "EXISTS");
  drop.name = TRY(cursor.qualified_name("a name"));
  drop.cascade = cursor.accept("CASCADE");
  if (!drop.cascade) cursor.accept("RESTRICT");
  TRY(cursor.expect_end());
  return drop;
}

struct Show {
  std::string_view word;
  std::string_view query;
};
constexpr std::array kShows = {
    Show{
        "TOPICS",
        "SELECT schema, name, partitions, format, records, bytes FROM db.ziwa.topics ORDER BY ALL"},
    Show{"TABLES",
         "SELECT schema, name, version, files, rows, bytes FROM db.ziwa.tables ORDER BY ALL"},
    Show{"VIEWS",
         "SELECT schema, name, state, rows, lag, watermark FROM db.ziwa.views ORDER BY ALL"},
    Show{"SINKS",
         "SELECT schema, name, state, from_object, into_table, rows FROM db.ziwa.sinks ORDER BY "
         "ALL"},
};

/// The whole path in the words of SET, so that it can be put back.
constexpr std::string_view kShowSearchPath =
    "SELECT array_to_string([CASE WHEN regexp_full_match(name, '[a-z_][a-z0-9_]*') THEN name "
    "ELSE '\"' || replace(name, '\"', '\"\"') || '\"' END "
    "FOR name IN current_schemas(false)], ', ') AS search_path";

Result<Statement> parse_show(TokenCursor& cursor) {
  cursor.next();
  if (cursor.accept("SEARCH_PATH")) {
    TRY(cursor.expect_end());
    return Foreign{"SHOW", std::string(kShowSearchPath)};
  }
  bool materialized = cursor.accept("MATERIALIZED");
  for (const Show& show : kShows) {
    if (!cursor.accept(show.word)) continue;
    if (materialized && show.word != "VIEWS") break;
    TRY(cursor.expect_end());
    return Foreign{"SHOW", std::string(show.query)};
  }
  return Foreign{"SHOW", {}};
}

/// Names with commas between them, up to the end, as DuckDB reads them in a text: quoted, without
/// blanks. A text that is not alone is a name.
Result<std::string> parse_path(TokenCursor& cursor) {
  std::string path;
  do {
    if (!path.empty()) path += ',';
    if (cursor.peek().kind == TokenKind::string) {
      path += quote_name(cursor.next().value());
      continue;
    }
    do {
      const bool folds = cursor.peek().kind == TokenKind::word;
      const std::string name = TRY(cursor.identifier("a schema"));
      if (!path.empty() && !path.ends_with(',')) path += '.';
      path += quote_name(folds ? lower(name) : name);
    } while (cursor.accept_symbol("."));
  } while (cursor.accept_symbol(","));
  TRY(cursor.expect_end());
  return path;
}

/// SET search_path {TO | =} {name, ... | 'name, ...'}: DuckDB takes one text only, and no blanks in
/// it. All else is DuckDB's.
Result<Statement> parse_set(TokenCursor& cursor) {
  Foreign as_it_is{"SET", {}};
  cursor.next();
  const std::string scope = cursor.peek().is("LOCAL") ? "LOCAL " : "";
  if (!cursor.accept("LOCAL")) cursor.accept("SESSION");
  if (upper(cursor.next().value()) != "SEARCH_PATH") return as_it_is;
  if (!cursor.accept("TO") && !cursor.accept_symbol("=")) return as_it_is;
  if (cursor.peek().is("DEFAULT")) return as_it_is;
  std::string path;
  if (cursor.peek().kind == TokenKind::string && cursor.peek(1).kind == TokenKind::end) {
    const std::string text = cursor.peek().value();
    auto tokens = tokenize(text);
    if (!tokens) return as_it_is;
    TokenCursor names(text, *tokens);
    auto parsed = parse_path(names);
    if (!parsed) return as_it_is;  // Also of an empty one.
    path = std::move(*parsed);
  } else {
    path = TRY(parse_path(cursor));
  }
  return Foreign{"SET", fmt::format("SET {}search_path = {}", scope, quote_text(path))};
}

Result<Call::Argument> parse_argument(TokenCursor& cursor) {
  Call::Argument argument;
  argument.position = cursor.peek().position;
  std::string sign = cursor.accept_symbol("-") ? "-" : "";
  const Token& token = cursor.peek();
  if (token.kind == TokenKind::string && sign.empty()) {
    argument.is_text = true;
  } else if (token.kind != TokenKind::number) {
    return cursor.unexpected("a number or 'text'");
  }
  argument.value = sign + cursor.next().value();
  return argument;
}

Result<Statement> parse_call(TokenCursor& cursor) {
  if (!cursor.peek(1).is("ZIWA")) {
    return Error(Code::permission, "CALL {} is for the administrator", cursor.peek(1).text)
        .with_hint("a session may CALL the functions of ziwa")
        .at(cursor.peek(1).position);
  }
  cursor.next();
  cursor.next();
  TRY(cursor.expect_symbol("."));
  Call call;
  call.position = cursor.peek().position;
  call.function = lower(TRY(cursor.identifier("a function")));
  TRY(cursor.expect_symbol("("));
  while (!cursor.accept_symbol(")")) {
    if (!call.arguments.empty()) TRY(cursor.expect_symbol(","));
    call.arguments.push_back(TRY(parse_argument(cursor)));
  }
  TRY(cursor.expect_end());
  return call;
}

/// DELETE FROM topic WHERE _offset < n [AND _partition = p], or <= n; any other DELETE is DuckDB's
/// to judge.
Result<Statement> parse_delete(TokenCursor& cursor) {
  Foreign other{"DELETE", {}};
  TokenCursor ahead = cursor;
  ahead.next();
  if (!ahead.accept("FROM")) return other;
  auto topic = ahead.qualified_name("a topic");
  if (!topic || !ahead.accept("WHERE") || !ahead.accept("_OFFSET")) return other;
  if (!ahead.accept_symbol("<")) return other;
  const bool through = ahead.accept_symbol("=");
  DeleteRecords records;
  records.topic = std::move(*topic);
  const int64_t offset = TRY(ahead.integer("an offset"));
  const bool last = offset == std::numeric_limits<int64_t>::max();
  records.before = std::max<int64_t>(0, offset + (through && !last ? 1 : 0));
  if (ahead.accept("AND")) {
    TRY(ahead.expect("_PARTITION"));
    TRY(ahead.expect_symbol("="));
    const size_t position = ahead.peek().position;
    const int64_t partition = TRY(ahead.integer("a partition"));
    if (partition < 0 || partition > std::numeric_limits<int32_t>::max())
      return Error(Code::invalid_argument, "{} is not a partition", partition)
          .because(Cause::invalid_value)
          .at(position);
    records.partition = static_cast<int32_t>(partition);
  }
  TRY(ahead.expect_end());
  return records;
}

Result<Statement> parse_explain(TokenCursor& cursor) {
  if (!cursor.peek(1).is("STREAM")) return Foreign{"EXPLAIN", {}};
  cursor.next();
  cursor.next();
  if (cursor.done()) return cursor.unexpected("a SELECT");
  if (cursor.accept("MATERIALIZED", "VIEW") || cursor.accept("VIEW")) {
    ExplainStream explain{.view = TRY(cursor.qualified_name("materialized view"))};
    TRY(cursor.expect_end());
    return explain;
  }
  ExplainStream explain{.query = cursor.rest()};
  explain.on_window_close = TRY(strip_emit(explain.query));
  return explain;
}

/// BEGIN [TRANSACTION | WORK] [ISOLATION LEVEL ... | READ ONLY | READ WRITE | [NOT] DEFERRABLE],
/// ...: every level is given, since a transaction reads one epoch.
Result<Statement> parse_begin(TokenCursor& cursor) {
  TransactionControl begin;
  bool start = cursor.next().is("START");
  if (start && !cursor.peek().is("TRANSACTION")) return cursor.unexpected("TRANSACTION");
  if (!cursor.accept("TRANSACTION")) cursor.accept("WORK");
  while (!cursor.done()) {
    if (cursor.accept("READ", "ONLY")) {
      begin.read_only = true;
    } else if (cursor.accept("ISOLATION", "LEVEL")) {
      bool known = cursor.accept("SERIALIZABLE") || cursor.accept("REPEATABLE", "READ") ||
                   cursor.accept("READ", "COMMITTED") || cursor.accept("READ", "UNCOMMITTED");
      if (!known) return cursor.unexpected("an isolation level");
    } else if (!cursor.accept("READ", "WRITE") && !cursor.accept("NOT", "DEFERRABLE") &&
               !cursor.accept("DEFERRABLE") && !cursor.accept_symbol(",")) {
      return cursor.unexpected("the end of the statement");
    }
  }
  return begin;
}

/// COMMIT | END | ROLLBACK | ABORT [TRANSACTION | WORK]
Result<Statement> parse_end(TokenCursor& cursor, TransactionControl::Verb verb) {
  cursor.next();
  if (!cursor.accept("TRANSACTION")) cursor.accept("WORK");
  if (cursor.peek().is("TO") || cursor.peek().is("PREPARED") || cursor.peek().is("AND")) {
    return Error(Code::unsupported, "savepoints, chained and prepared transactions are not built")
        .at(cursor.peek().position);
  }
  TRY(cursor.expect_end());
  return TransactionControl{verb};
}

Result<Statement> parse_verb(TokenCursor& cursor, const std::string& verb) {
  using Verb = TransactionControl::Verb;
  if (verb == "CREATE") {
    cursor.next();
    return parse_create(cursor);
  }
  if (verb == "DROP") return parse_drop(cursor);
  if (verb == "SHOW") return parse_show(cursor);
  if (verb == "SET") return parse_set(cursor);
  if (verb == "CALL") return parse_call(cursor);
  if (verb == "DELETE") return parse_delete(cursor);
  if (verb == "EXPLAIN") return parse_explain(cursor);
  if (verb == "BEGIN" || verb == "START") return parse_begin(cursor);
  if (verb == "COMMIT" || verb == "END") return parse_end(cursor, Verb::commit);
  if (verb == "ROLLBACK" || verb == "ABORT") return parse_end(cursor, Verb::rollback);
  return Foreign{verb, {}};
}

}  // namespace

const Token& TokenCursor::peek(size_t ahead) const {
  return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
}

const Token& TokenCursor::next() {
  const Token& token = peek();
  if (at_ + 1 < tokens_.size()) ++at_;
  return token;
}

bool TokenCursor::accept(std::string_view keyword) {
  if (!peek().is(keyword)) return false;
  next();
  return true;
}

bool TokenCursor::accept(std::string_view first, std::string_view second) {
  if (!peek().is(first) || !peek(1).is(second)) return false;
  next();
  next();
  return true;
}

bool TokenCursor::accept_symbol(std::string_view symbol) {
  if (!peek().is_symbol(symbol)) return false;
  next();
  return true;
}

Error TokenCursor::unexpected(std::string_view expected) const {
  const Token& token = peek();
  if (token.kind == TokenKind::end) {
    return Error(Code::invalid_argument, "the statement ends where {} is expected", expected)
        .because(Cause::syntax_error)
        .at(token.position);
  }
  return Error(Code::invalid_argument, "expected {}, found {}", expected, token.text)
      .because(Cause::syntax_error)
      .at(token.position);
}

Status TokenCursor::expect(std::string_view keyword) {
  if (!accept(keyword)) return unexpected(keyword);
  return {};
}

Status TokenCursor::expect_symbol(std::string_view symbol) {
  if (!accept_symbol(symbol)) return unexpected(fmt::format("\"{}\"", symbol));
  return {};
}

Status TokenCursor::expect_end() {
  if (!done()) return unexpected("the end of the statement");
  return {};
}

Result<std::string> TokenCursor::identifier(std::string_view what) {
  const Token& token = peek();
  if (token.kind != TokenKind::word && token.kind != TokenKind::quoted) return unexpected(what);
  std::string name = next().value();
  if (name.empty())
    return Error(Code::invalid_argument, "a name cannot be empty")
        .because(Cause::syntax_error)
        .at(token.position);
  return name;
}

Result<QualifiedName> TokenCursor::qualified_name(std::string_view what) {
  QualifiedName name;
  name.position = peek().position;
  std::vector<std::string> parts;
  do {
    parts.push_back(TRY(identifier(what)));
  } while (accept_symbol("."));
  if (parts.size() > 3 || (parts.size() == 3 && upper(parts[0]) != "DB")) {
    return Error(Code::invalid_argument, "names have the form schema.name")
        .because(Cause::syntax_error)
        .with_hint("the only database is db")
        .at(name.position);
  }
  name.name = parts.back();
  if (parts.size() > 1) name.schema = parts[parts.size() - 2];
  return name;
}

Result<int64_t> TokenCursor::integer(std::string_view what) {
  size_t position = peek().position;
  std::string text = accept_symbol("-") ? "-" : "";
  if (peek().kind != TokenKind::number) return unexpected(what);
  text += next().text;
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    return Error(Code::invalid_argument, "{} is not a whole number", text)
        .because(Cause::syntax_error)
        .at(position);
  }
  return value;
}

TextSpan TokenCursor::rest() const {
  size_t begin = peek().position;
  size_t end = tokens_.size() > 1 ? tokens_[tokens_.size() - 2].end() : begin;
  return {std::string(sql_.substr(begin, std::max(end, begin) - begin)), begin};
}

TextSpan TokenCursor::since(size_t first) const {
  size_t begin = tokens_[first].position;
  size_t end = at_ > first ? tokens_[at_ - 1].end() : begin;
  return {std::string(sql_.substr(begin, end - begin)), begin};
}

Result<Statement> parse_statement(std::string_view sql) {
  if (sql.size() > kStatementBytesMax) {
    return Error(Code::exhausted, "the statement has {} bytes, more than {}", sql.size(),
                 kStatementBytesMax)
        .with_hint("COPY loads large data");
  }
  if (sql.find('\0') != std::string_view::npos) {
    return Error(Code::invalid_argument, "a statement cannot hold a zero byte")
        .because(Cause::syntax_error)
        .at(sql.find('\0'));
  }
  std::vector<Token> tokens = TRY(tokenize(sql));
  TokenCursor cursor(sql, tokens);
  std::string verb = upper(cursor.peek().text);
  TRY(check_allowed(cursor, verb));
  return parse_verb(cursor, verb);
}

}  // namespace ziwa::sql
