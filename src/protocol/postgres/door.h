#pragma once

#include "base/metrics.h"
#include "base/thread_pool.h"
#include "protocol/postgres/messages.h"
#include "sql/database.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <memory>
#include <string>

namespace ziwa::protocol::postgres {

/// The Postgres door: a coroutine per connection that moves bytes, and a Conversation that runs on
/// the pool.
class Door {
 public:
  struct Options {
    MessageLimits limits;
    std::string server_version;  ///< "15.0 (Ziwa 0.1.0)"
    int64_t startup_timeout_ms = 10'000;
    int64_t message_timeout_ms = 60'000;  ///< From the first byte of a message to its last.
    int64_t statement_timeout_ms = 0;     ///< 0: none.
    /// What clients have sent and is kept: half messages, prepared statements, parameters.
    size_t memory_bytes_max = 512u << 20;
    size_t session_memory_bytes_max = 256u << 20;  ///< The same of one connection.
  };
  struct Dependencies {
    boost::asio::io_context& io;
    ThreadPool& pool;  ///< Runs SQL; one job per connection at a time.
    /// For start-ups and cancel requests: they must not wait for the statements of others.
    ThreadPool& starts;
    sql::Database& database;
    Metrics& metrics;
  };
  Door(Dependencies dependencies, Options options);
  ~Door();
  /// Takes over a connection; on the io thread. `token` is let go when it ends.
  void accept(boost::asio::ip::tcp::socket socket, std::shared_ptr<void> token);
  /// Cancels what runs, tells every client that the server stops and hangs up. Any thread; returns
  /// at once: connections() falls to 0 soon, and the io loop must run until then.
  void stop();
  size_t connections() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace ziwa::protocol::postgres
