#pragma once

#include "base/metrics.h"
#include "base/thread_pool.h"
#include "sql/database.h"
#include "stream/engine.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <functional>
#include <memory>
#include <string>

namespace ziwa::protocol::http {

/// The HTTP door: GET /v1/... reads views and tables, POST /v1/sql runs one statement, and
/// /healthz, /metrics and /status are for operators. Docs: docs/http.md.
class Door {
 public:
  struct Options {
    uint32_t header_bytes_max = 16u << 10;
    uint64_t body_bytes_max = 1u << 20;
    uint64_t rows_max = 100'000;           ///< Of one answer.
    int64_t request_timeout_ms = 30'000;   ///< To send a request, and to take its answer.
    int64_t idle_timeout_ms = 120'000;     ///< Between requests.
    int64_t statement_timeout_ms = 0;      ///< sql.statement.timeout; 0: none.
    size_t memory_bytes_max = 256u << 20;  ///< Bodies of requests of all connections.
  };
  struct Dependencies {
    boost::asio::io_context& io;
    ThreadPool& pool;    ///< Runs SQL.
    ThreadPool& health;  ///< Runs /status and /metrics, which must answer when all of SQL is busy.
    sql::Database& database;
    stream::Engine& engine;
    Metrics& metrics;
    std::function<std::string()> status;  ///< /status: JSON; called on `health`.
  };
  Door(Dependencies dependencies, Options options);
  ~Door();
  /// Takes over a connection; on the io thread. `token` is let go when it ends.
  void accept(boost::asio::ip::tcp::socket socket, std::shared_ptr<void> token);
  /// Cancels what runs, answers that, then hangs up; idle connections at once. Any thread; returns
  /// at once: connections() falls to 0 soon, and the io loop must run until then.
  void stop();
  size_t connections() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace ziwa::protocol::http
