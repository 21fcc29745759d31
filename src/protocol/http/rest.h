#pragma once

#include "base/result.h"
#include "protocol/http/rest_query.h"
#include "protocol/http/target.h"
#include "sql/database.h"
#include "stream/engine.h"

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

namespace ziwa::protocol::http {

/// An answer without its connection.
struct Response {
  unsigned status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
};
Response error_response(const Error& error);

/// The statement of one request, for whoever may have to end it. Any thread.
class RestStatement {
 public:
  /// Ends the statement with this error, whether it runs or has yet to begin. Call it again until
  /// the answer is there: it may have been between two steps.
  void end(const Error& why);

 private:
  friend class Rest;
  std::mutex mutex_;
  std::optional<Error> why_;         ///< Guarded by mutex_.
  sql::Session* session_ = nullptr;  ///< Guarded by mutex_: what runs.
};

/// Reads of views and tables, and single statements, as JSON. Any thread; read() and run() block on
/// SQL.
class Rest {
 public:
  struct Options {
    size_t sessions_kept = 8;
    size_t body_bytes_max = 64u << 20;  ///< Of one answer.
    uint64_t rows_max = 100'000;
  };
  Rest(sql::Database& database, stream::Engine& engine, Options options);
  ~Rest();

  /// GET /v1/{schema?}/{relation}: `path` is without "v1". `if_none_match` is the header as it
  /// came. 304 when it names the version that a statement would read now; otherwise
  /// {"rows":[...],"next":cursor}, or "more":true where there are no cursors, with Ziwa-Epoch, for
  /// views and tables an ETag (of a view: the epoch of its last net change), and a Link to the next
  /// rows. Errors: not_found, invalid_argument, exhausted (answer too large).
  Result<Response> read(const std::vector<std::string>& path, const RestQuery& query,
                        const Target& target, std::optional<std::string> if_none_match,
                        RestStatement& statement);
  /// POST /v1/sql: `body` is {"sql":"...","parameters":[...]}; one statement, in a session of its
  /// own. What the statement itself says is wrong is an answer, with its position.
  Result<Response> run(std::string_view body, RestStatement& statement);
  /// The server stops: cancels what runs, and what begins from now on.
  void cancel_all();
  /// The epoch that readers see now; does not block.
  Epoch epoch() const { return engine_.published()->epoch; }

 private:
  struct Answer;
  /// Runs `work` while `statement` and cancel_all() can end what the session does.
  template <typename Work>
  auto run_registered(sql::Session& session, RestStatement& statement, Work work)
      -> std::invoke_result_t<Work>;
  /// The read of a relation, with the filters' values as values of the columns' types.
  Result<std::unique_ptr<sql::Prepared>> prepare_read(sql::Session& session,
                                                      const Relation& relation, RestQuery query,
                                                      RestSql& sql);
  Result<Answer> execute(sql::Session& session, sql::Prepared& prepared, const RestSql& sql);
  Result<std::unique_ptr<sql::Session>> take_session();
  void give_back(std::unique_ptr<sql::Session> session);

  sql::Database& database_;
  stream::Engine& engine_;
  Options options_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<sql::Session>> idle_;  ///< Guarded by mutex_.
  std::set<sql::Session*> running_;                  ///< Guarded by mutex_.
  bool stopping_ = false;                            ///< Guarded by mutex_.
};

}  // namespace ziwa::protocol::http
