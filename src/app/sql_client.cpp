#include "app/sql_client.h"

#include "app/text_table.h"
#include "protocol/postgres/sqlstate.h"
#include "protocol/rows/scalar_text.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <unistd.h>

namespace ziwa::app {
namespace {

constexpr std::array<Oid, 7> kNumberOids = {20, 21, 23, 26, 700, 701, 1700};
constexpr Oid kBoolOid = 16;
constexpr std::array<Oid, 2> kJsonOids = {114, 3802};
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
    Oid type = PQftype(result, i);
    columns.push_back({.name = PQfname(result, i),
                       .number = std::ranges::find(kNumberOids, type) != kNumberOids.end(),
                       .boolean = type == kBoolOid,
                       .json = std::ranges::find(kJsonOids, type) != kJsonOids.end()});
  }
  return columns;
}

void write_out(std::string& text, bool always) {
  if (!always && text.size() < kPrintBytes) return;
  std::fwrite(text.data(), 1, text.size(), stdout);
  text.clear();
}

/// A finite number as JSON writes it; NaN and infinities are not.
bool plain_number(std::string_view text) {
  return !text.empty() && (std::isdigit(static_cast<unsigned char>(text.back())) != 0);
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
            if (columns[static_cast<size_t>(i)].boolean) cell = *cell == "t" ? "true" : "false";
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
    } else if (columns[i].boolean) {
      out += *row[i];
    } else if (columns[i].json || (columns[i].number && plain_number(*row[i]))) {
      out += *row[i];
    } else {
      protocol::append_json_string(out, *row[i]);
    }
  }
  return out + "}";
}

Status SqlPrinter::run(SqlClient& client, const std::string& sql) {
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
      for (const auto& column : got) heads.push_back({.name = column.name, .right = column.number});
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
  auto status = client.run(sql, answer);
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
  bool open = false;  // Something stands after the last semicolon.
  for (size_t i = 0; i < text.size();) {
    char c = text[i];
    std::string_view close;
    size_t skip = 1;
    if (text.substr(i, 2) == "--") {
      close = "\n";
    } else if (text.substr(i, 2) == "/*") {
      close = "*/";
      skip = 2;
    } else if (c == '\'' || c == '"') {
      close = text.substr(i, 1);
    } else if (c == '$') {
      size_t tag_end = i + 1;
      while (tag_end < text.size() &&
             (std::isalnum(static_cast<unsigned char>(text[tag_end])) || text[tag_end] == '_')) {
        ++tag_end;
      }
      bool tag = tag_end < text.size() && text[tag_end] == '$' &&
                 !std::isdigit(static_cast<unsigned char>(text[i + 1]));
      if (tag) {
        close = text.substr(i, tag_end - i + 1);
        skip = close.size();
      }
    }
    if (close.empty()) {
      if (c == ';') {
        open = false;
      } else if (!std::isspace(static_cast<unsigned char>(c))) {
        open = true;
      }
      ++i;
      continue;
    }
    bool comment = close == "\n" || close == "*/";
    if (!comment) open = true;
    size_t end = text.find(close, i + skip);
    if (end == std::string_view::npos) return close == "\n" && !open;
    i = end + close.size();
  }
  return !open;
}

}  // namespace ziwa::app
