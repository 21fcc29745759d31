#include "app/sql_client.h"

#include "app/text_table.h"
#include "protocol/postgres/sqlstate.h"
#include "protocol/postgres/types.h"
#include "protocol/rows/scalar_text.h"
#include "sql/tokenizer.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <unistd.h>

namespace ziwa::app {
namespace {

constexpr size_t kPrintBytes = 1u << 16;

Error error_of(PGconn* connection, const PGresult* result) {
  const char* message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  if (message == nullptr) {  // The connection broke.
    std::string text = PQerrorMessage(connection);
    while (text.ends_with('\n')) text.pop_back();
    return Error(Code::unavailable, "{}", text);
  }
  const char* state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  Code code = state == nullptr ? Code::internal : protocol::postgres::code_of_sqlstate(state);
  Error error(code, "{}", message);
  if (auto cause = state == nullptr ? std::nullopt : protocol::postgres::cause_of_sqlstate(state))
    error = std::move(error).because(*cause);
  if (const char* hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT))
    error = std::move(error).with_hint(hint);
  if (const char* position = PQresultErrorField(result, PG_DIAG_STATEMENT_POSITION)) {
    error = std::move(error).at(static_cast<size_t>(std::max(1, std::atoi(position)) - 1));
  }
  return error;
}

std::vector<SqlColumn> columns_of(const PGresult* result) {
  std::vector<SqlColumn> columns;
  for (int i = 0; i < PQnfields(result); ++i) {
    auto type =
        protocol::postgres::type_of_oid(PQftype(result, i)).value_or(duckdb::LogicalType::VARCHAR);
    const bool list = type.id() == duckdb::LogicalTypeId::LIST;
    if (list) type = duckdb::LogicalType(duckdb::ListType::GetChildType(type));
    columns.push_back({.name = PQfname(result, i),
                       .number = type.IsNumeric(),
                       .boolean = type.id() == duckdb::LogicalTypeId::BOOLEAN,
                       .json = type.IsJSONType(),
                       .list = list});
  }
  return columns;
}

void write_out(std::string& text, bool always) {
  if (!always && text.size() < kPrintBytes) return;
  std::fwrite(text.data(), 1, text.size(), stdout);
  text.clear();
}

/// The number of characters in a UTF-8 text.
size_t characters(std::string_view text) {
  return static_cast<size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

/// A finite number as JSON writes it; NaN and infinities are not.
bool plain_number(std::string_view text) {
  return !text.empty() && (std::isdigit(static_cast<unsigned char>(text.back())) != 0);
}

void append_json_scalar(std::string& out, const SqlColumn& column, std::string_view text) {
  if (column.boolean || column.json || (column.number && plain_number(text))) {
    out += text;
  } else {
    protocol::append_json_string(out, text);
  }
}

/// The item of a list that begins at `at`, and where it ends; nothing: NULL.
std::optional<std::string> next_item(std::string_view text, size_t& at) {
  std::string item;
  if (at < text.size() && text[at] != '"') {
    const size_t end = std::min(text.find_first_of(",}", at), text.size());
    item = text.substr(at, end - at);
    at = end;
    return item == "NULL" ? std::nullopt : std::optional(std::move(item));
  }
  for (++at; at < text.size() && text[at] != '"'; ++at) {
    if (text[at] == '\\' && at + 1 < text.size()) ++at;
    item.push_back(text[at]);
  }
  ++at;
  return item;
}

void append_json_list(std::string& out, const SqlColumn& column, std::string_view text) {
  out += "[";
  for (size_t at = 1; at < text.size() && text[at] != '}'; at += text.substr(at, 1) == ",") {
    if (at > 1) out += ",";
    auto item = next_item(text, at);
    if (item && column.boolean) item = *item == "t" ? "true" : "false";
    if (item) {
      append_json_scalar(out, column, *item);
    } else {
      out += "null";
    }
  }
  out += "]";
}

}  // namespace

void add_sql_address(CLI::App& command, SqlAddress& address) {
  command.add_option("--host", address.host, "Host of the Postgres door")->capture_default_str();
  command.add_option("--port", address.port, "Port of the Postgres door")->capture_default_str();
  command.add_option("--url", address.url,
                     "postgresql://host:port/db, instead of --host and --port");
}

Result<std::unique_ptr<SqlClient>> SqlClient::connect(const SqlAddress& address) {
  std::unique_ptr<SqlClient> client(new SqlClient());
  std::string target = address.url;
  if (target.empty()) {
    target = fmt::format(
        "host='{}' port={} dbname=db user=ziwa application_name=ziwa-sql connect_timeout=10",
        address.host, address.port);
  }
  client->connection_.reset(PQconnectdb(target.c_str()));
  PGconn* connection = client->connection_.get();
  if (PQstatus(connection) != CONNECTION_OK) {
    std::string text = PQerrorMessage(connection);
    while (text.ends_with('\n')) text.pop_back();
    return Error(Code::unavailable, "{}", text)
        .with_hint("start a server with ziwa up, or name its Postgres door with --port");
  }
  client->cancel_.reset(PQgetCancel(connection));
  return client;
}

void SqlClient::interrupt() {
  std::array<char, 256> text;
  if (cancel_) PQcancel(cancel_.get(), text.data(), text.size());
}

Status SqlClient::run(const std::string& sql, const Answer& answer) {
  PGconn* connection = connection_.get();
  if (PQsendQuery(connection, sql.c_str()) != 1)
    return Error(Code::unavailable, "{}", PQerrorMessage(connection));
  PQsetSingleRowMode(connection);
  Status status;
  bool headed = false;
  std::vector<SqlColumn> columns;
  uint64_t rows = 0;
  while (PgResult result{PQgetResult(connection)}) {
    auto kind = PQresultStatus(result.get());
    if (kind == PGRES_SINGLE_TUPLE || kind == PGRES_TUPLES_OK) {
      if (!std::exchange(headed, true)) {
        columns = columns_of(result.get());
        answer.columns(columns);
      }
      std::vector<std::optional<std::string>> row(columns.size());
      for (int r = 0; r < PQntuples(result.get()); ++r, ++rows) {
        for (int i = 0; i < PQnfields(result.get()); ++i) {
          auto& cell = row[static_cast<size_t>(i)];
          cell.reset();
          if (PQgetisnull(result.get(), r, i) == 0) {
            cell.emplace(PQgetvalue(result.get(), r, i),
                         static_cast<size_t>(PQgetlength(result.get(), r, i)));
            const auto& column = columns[static_cast<size_t>(i)];
            if (column.boolean && !column.list) cell = *cell == "t" ? "true" : "false";
          }
        }
        answer.row(row);
      }
    } else if (kind == PGRES_FATAL_ERROR || kind == PGRES_BAD_RESPONSE) {
      if (status) status = error_of(connection, result.get());
    }
    if (kind == PGRES_TUPLES_OK || kind == PGRES_COMMAND_OK) {
      answer.end(PQcmdStatus(result.get()), rows);
      headed = false;
      rows = 0;
    }
  }
  return status;
}

std::string json_line(const std::vector<SqlColumn>& columns,
                      const std::vector<std::optional<std::string>>& row) {
  std::string out = "{";
  for (size_t i = 0; i < columns.size(); ++i) {
    if (i > 0) out += ",";
    protocol::append_json_string(out, columns[i].name);
    out += ":";
    if (!row[i]) {
      out += "null";
    } else if (columns[i].list) {
      append_json_list(out, columns[i], *row[i]);
    } else {
      append_json_scalar(out, columns[i], *row[i]);
    }
  }
  return out + "}";
}

Status SqlPrinter::run(SqlClient& client, const std::string& sql) {
  for (const auto& span : sql::split_statements(sql)) {
    auto status = run_one(client, sql.substr(span.begin, span.end - span.begin));
    if (status) continue;
    Error error = std::move(status).error();
    if (auto position = error.position()) {
      error =
          std::move(error).at(*position + characters(std::string_view(sql).substr(0, span.begin)));
    }
    return error;
  }
  return {};
}

Status SqlPrinter::run_one(SqlClient& client, const std::string& statement) {
  auto begin = std::chrono::steady_clock::now();
  std::vector<SqlColumn> columns;
  std::optional<TextTable> table;
  bool plan = false;  // EXPLAIN: texts of many lines, written as they are.
  std::string out;
  SqlClient::Answer answer;
  answer.columns = [&](const std::vector<SqlColumn>& got) {
    columns = got;
    plan = form_ == SqlForm::table && got.size() == 2 && got[0].name == "explain_key";
    if (plan) return;
    if (form_ == SqlForm::table) {
      std::vector<TextTable::Column> heads;
      for (const auto& column : got)
        heads.push_back({.name = column.name, .right = column.number && !column.list});
      table.emplace(std::move(heads));
    } else if (form_ == SqlForm::csv) {
      std::vector<std::optional<std::string>> names;
      for (const auto& column : got) names.emplace_back(column.name);
      out += csv_line(names) + "\n";
    }
  };
  answer.row = [&](const std::vector<std::optional<std::string>>& row) {
    if (table) {
      table->add(row);
      return;
    }
    if (plan) {
      out += row[1].value_or("");
      if (!out.ends_with('\n')) out += "\n";
      return;
    }
    out += form_ == SqlForm::csv ? csv_line(row) : json_line(columns, row);
    out += "\n";
    write_out(out, false);
  };
  answer.end = [&](const std::string& tag, uint64_t rows) {
    double ms =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
    begin = std::chrono::steady_clock::now();
    if (form_ == SqlForm::table) {
      if (table) out += table->draw(isatty(STDOUT_FILENO) == 1);
      std::string what =
          table ? fmt::format("({} row{})", with_separators(rows), rows == 1 ? "" : "s") : tag;
      out += timing_ ? fmt::format("{}  {:.1f} ms\n", what, ms) : what + "\n";
      table.reset();
    }
    write_out(out, true);
  };
  auto status = client.run(statement, answer);
  write_out(out, true);
  std::fflush(stdout);
  return status;
}

std::string pointed_error(const Error& error, const std::string& sql) {
  std::string out = error.message() + "\n";
  if (error.position()) {
    // The position counts characters; the caret stands below the one it names.
    size_t at = 0;
    for (size_t characters = *error.position(); at < sql.size(); ++at) {
      bool starts = (static_cast<unsigned char>(sql[at]) & 0xC0) != 0x80;
      if (starts && characters-- == 0) break;
    }
    size_t begin = at == 0 ? 0 : sql.rfind('\n', at - 1);
    begin = begin == std::string::npos ? 0 : begin + (sql[begin] == '\n' ? 1 : 0);
    size_t end = std::min(sql.find('\n', at), sql.size());
    out += "  " + sql.substr(begin, end - begin) + "\n";
    out += "  " + std::string(display_width(std::string_view(sql).substr(begin, at - begin)), ' ') +
           "^\n";
  }
  if (!error.hint().empty()) out += "hint: " + error.hint() + "\n";
  return out;
}

bool statement_complete(std::string_view text) {
  auto tokens = sql::tokenize(text);
  return tokens && (tokens->size() == 1 || (*tokens)[tokens->size() - 2].is_symbol(";"));
}

}  // namespace ziwa::app
