#pragma once

#include "app/command.h"
#include "base/result.h"

#include <libpq-fe.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ziwa::app {

/// Deleters of libpq's handles.
struct PgDelete {
  void operator()(PGconn* connection) const { PQfinish(connection); }
  void operator()(PGresult* result) const { PQclear(result); }
  void operator()(PGcancel* cancel) const { PQfreeCancel(cancel); }
};
using PgResult = std::unique_ptr<PGresult, PgDelete>;

/// Where a server's Postgres door is.
struct SqlAddress {
  std::string host = "127.0.0.1";
  int port = 5432;
  std::string url;  ///< postgresql://..., instead of host and port.
};
void add_sql_address(CLI::App& command, SqlAddress& address);

/// One column of an answer.
struct SqlColumn {
  std::string name;
  bool number = false;   ///< Drawn at the right; plain in JSON.
  bool boolean = false;  ///< Comes as "true" or "false".
  bool json = false;     ///< Its text is JSON already.
  bool list = false;     ///< A list as Postgres writes it, {1,NULL,"a b"}, of what the others say.
};

/// A connection to the Postgres door through libpq. One thread; interrupt() from a signal handler.
class SqlClient {
 public:
  /// Errors: unavailable when nobody answers.
  static Result<std::unique_ptr<SqlClient>> connect(const SqlAddress& address);

  struct Answer {
    std::function<void(const std::vector<SqlColumn>&)> columns;
    std::function<void(const std::vector<std::optional<std::string>>&)> row;
    /// Ends one statement: its command tag and the number of rows sent.
    std::function<void(const std::string& tag, uint64_t rows)> end;
  };
  /// Runs one or several statements, row by row. Errors: what the server reports, with its hint and
  /// position.
  Status run(const std::string& sql, const Answer& answer);
  /// Asks the server to stop the running statement.
  void interrupt();

 private:
  SqlClient() = default;
  std::unique_ptr<PGconn, PgDelete> connection_;
  std::unique_ptr<PGcancel, PgDelete> cancel_;
};

/// How an answer is written: drawn, JSON objects or CSV.
enum class SqlForm : unsigned char { table, json, csv };

/// Prints the answers of statements to stdout.
class SqlPrinter {
 public:
  SqlPrinter(SqlForm form, bool timing) : form_(form), timing_(timing) {}
  /// Runs the statements of `sql` one by one, up to the first error, and prints what comes. Errors
  /// as SqlClient::run, with the position in `sql`.
  Status run(SqlClient& client, const std::string& sql);
  void set_timing(bool timing) { timing_ = timing; }
  bool timing() const { return timing_; }

 private:
  Status run_one(SqlClient& client, const std::string& statement);

  SqlForm form_;
  bool timing_;
};

/// One row as a JSON object: numbers, booleans and JSON columns plain, lists as arrays, the rest as
/// strings.
std::string json_line(const std::vector<SqlColumn>& columns,
                      const std::vector<std::optional<std::string>>& row);

/// An error with the line of `sql` it points to and a caret below.
std::string pointed_error(const Error& error, const std::string& sql);

/// The prompt: history, several lines until a semicolon, \q \d \timing \?. Returns the exit code.
int run_sql_shell(SqlClient& client, SqlPrinter& printer);

/// True when `text` ends in a statement that a semicolon closes, or holds none.
bool statement_complete(std::string_view text);

}  // namespace ziwa::app
