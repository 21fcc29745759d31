#include "protocol/postgres/door.h"

#include "base/log.h"
#include "base/metric_table.h"
#include "protocol/listen/client_watch.h"
#include "protocol/listen/run_on.h"
#include "protocol/postgres/conversation.h"
#include "protocol/postgres/sqlstate.h"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <optional>
#include <random>

namespace ziwa::protocol::postgres {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr size_t kReadBytes = 16 * 1024;
// A client that does not take what it asked for is dropped, so that a stopping server need not wait
// for it.
constexpr std::chrono::seconds kStopGrace{5};

/// One client. Lives until its coroutine ends.
struct Connection {
  Connection(tcp::socket taken, std::shared_ptr<void> held)
      : socket(std::move(taken)),
        timer(socket.get_executor()),
        message_timer(socket.get_executor()),
        token(std::move(held)) {}
  tcp::socket socket;
  asio::steady_timer timer;  ///< Of the start-up, then of the end.
  asio::steady_timer message_timer;
  /// When the message that is arriving must be whole; io thread only.
  std::optional<std::chrono::steady_clock::time_point> message_due;
  uint64_t message = 0;  ///< Its number.
  bool reading = false;  ///< Waits for the client; io thread only.
  std::shared_ptr<void> token;
  std::unique_ptr<Conversation> conversation;
  int32_t process = 0;
  int32_t secret = 0;
};

}  // namespace

struct Door::State : std::enable_shared_from_this<State> {
  State(Dependencies given, Options chosen)
      : dependencies(given),
        options(std::move(chosen)),
        memory(std::make_shared<ByteBudget>(options.memory_bytes_max)),
        accepted(given.metrics.counter(metric::postgres_connections_total)) {}

  /// Gives it a process number and a secret.
  void name(Connection& connection);
  void add(const std::shared_ptr<Connection>& connection);
  void remove(const Connection& connection);
  void cancel(const CancelRequest& request);
  asio::awaitable<void> serve(std::shared_ptr<Connection> connection);
  asio::awaitable<void> converse(const std::shared_ptr<Connection>& held);
  void time_message(const std::shared_ptr<Connection>& connection);
  void start_timer(const std::shared_ptr<Connection>& connection);

  Dependencies dependencies;
  Options options;
  std::shared_ptr<ByteBudget> memory;
  Counter& accepted;
  std::atomic<bool> stopping = false;
  mutable std::mutex mutex;
  std::map<int32_t, std::shared_ptr<Connection>> open;  ///< By process number; guarded by mutex.
  int32_t last_process = 0;                             ///< Guarded by mutex.
};

void Door::State::name(Connection& connection) {
  std::lock_guard lock(mutex);
  do {
    last_process = last_process == std::numeric_limits<int32_t>::max() ? 1 : last_process + 1;
  } while (open.contains(last_process));
  connection.process = last_process;
  // All that keeps one client from cancelling another's query: it must not be guessable.
  connection.secret = static_cast<int32_t>(std::random_device()());
}

void Door::State::add(const std::shared_ptr<Connection>& connection) {
  std::lock_guard lock(mutex);
  open.emplace(connection->process, connection);
}

void Door::State::remove(const Connection& connection) {
  std::lock_guard lock(mutex);
  open.erase(connection.process);
}

void Door::State::cancel(const CancelRequest& request) {
  std::shared_ptr<Connection> target;
  {
    std::lock_guard lock(mutex);
    auto found = open.find(request.process);
    if (found != open.end() && found->second->secret == request.secret) target = found->second;
  }
  if (target) target->conversation->cancel();
}

void Door::State::start_timer(const std::shared_ptr<Connection>& connection) {
  connection->timer.expires_after(std::chrono::milliseconds(options.startup_timeout_ms));
  connection->timer.async_wait([connection](error_code error) {
    error_code ignored;  // The coroutine sees the closed socket.
    if (!error && !connection->conversation->started()) connection->socket.close(ignored);
  });
}

asio::awaitable<void> Door::State::serve(std::shared_ptr<Connection> connection) {
  start_timer(connection);
  co_await converse(connection);
  connection->timer.cancel();
  connection->message_timer.cancel();
  error_code ignored;  // The peer may have gone already.
  connection->socket.shutdown(tcp::socket::shutdown_both, ignored);
  // Closing a session ends its transaction, which may wait for the disk: not on the loop.
  Status closed = co_await run_on(dependencies.pool, [connection]() -> Status {
    connection->conversation->close();
    return {};
  });
  closed.ignore("a pool that has stopped leaves the session to the connection's end, below");
  remove(*connection);
}

/// A message that has begun must be whole in time; between messages a client may be as slow as it
/// likes.
void Door::State::time_message(const std::shared_ptr<Connection>& connection) {
  const Conversation& conversation = *connection->conversation;
  if (!conversation.started() || !conversation.mid_message()) {
    connection->message_due.reset();
    return;
  }
  if (!connection->message_due || connection->message != conversation.messages()) {
    connection->message = conversation.messages();
    connection->message_due =
        std::chrono::steady_clock::now() + std::chrono::milliseconds(options.message_timeout_ms);
  }
  connection->message_timer.expires_at(*connection->message_due);
  connection->message_timer.async_wait([connection](error_code cancelled) {
    if (cancelled || !connection->reading || !connection->message_due ||
        std::chrono::steady_clock::now() < *connection->message_due) {
      return;
    }
    log_warn("postgres", "connection closed",
             "reason=a message was not whole in time (postgres.message.timeout)");
    error_code ignored;  // The coroutine sees the closed socket.
    connection->socket.close(ignored);
  });
}

asio::awaitable<void> Door::State::converse(const std::shared_ptr<Connection>& held) {
  Connection& connection = *held;
  ClientWatch watch(connection.socket, [&connection](bool gone) {
    if (gone) {
      connection.conversation->abandon();
    } else {
      connection.conversation->check_time();
    }
  });
  std::array<char, kReadBytes> input;
  auto step = Conversation::Step::read;
  while (step != Conversation::Step::close) {
    error_code error;
    if (step == Conversation::Step::read) {
      time_message(held);
      connection.reading = true;
      size_t size = co_await connection.socket.async_read_some(
          asio::buffer(input), asio::redirect_error(asio::use_awaitable, error));
      connection.reading = false;
      if (error && !stopping) co_return;
      connection.conversation->receive(as_bytes(std::string_view(input.data(), size)));
    }
    watch.begin();
    connection.conversation->queued();
    ThreadPool& pool = connection.conversation->started() ? dependencies.pool : dependencies.starts;
    auto ran = co_await run_on(pool, [&connection]() -> Result<Conversation::Step> {
      return connection.conversation->run();
    });
    watch.end();
    std::string output = connection.conversation->take_output();
    if (!ran) {
      log_warn("postgres", "connection closed", "reason={}", ran.error().message());
      MessageWriter writer;
      Report report = report_of(ran.error());
      report.severity = "FATAL";
      report.sqlstate = kTooManyConnections;
      writer.report(report);
      output += writer.take();
    }
    co_await asio::async_write(connection.socket, asio::buffer(output),
                               asio::redirect_error(asio::use_awaitable, error));
    if (error || !ran) co_return;
    step = *ran;
  }
}

Door::Door(Dependencies dependencies, Options options)
    : state_(std::make_shared<State>(dependencies, std::move(options))) {}

Door::~Door() = default;

void Door::accept(tcp::socket socket, std::shared_ptr<void> token) {
  if (state_->stopping) return;
  auto connection = std::make_shared<Connection>(std::move(socket), std::move(token));
  state_->name(*connection);
  state_->accepted.add();
  connection->conversation = std::make_unique<Conversation>(
      Conversation::Options{.limits = state_->options.limits,
                            .memory_bytes_max = state_->options.session_memory_bytes_max,
                            .memory = state_->memory,
                            .statement_timeout_ms = state_->options.statement_timeout_ms,
                            .server_version = state_->options.server_version,
                            .process = connection->process,
                            .secret = connection->secret},
      Conversation::Environment{
          .open_session =
              [state = state_](const std::string& user) {
                return state->dependencies.database.session(user);
              },
          .cancel_other =
              [state = state_.get()](const CancelRequest& request) { state->cancel(request); }});
  state_->add(connection);
  asio::co_spawn(
      state_->dependencies.io, [state = state_, connection] { return state->serve(connection); },
      asio::detached);
}

void Door::stop() {
  state_->stopping = true;
  asio::post(state_->dependencies.io, [state = state_] {
    std::lock_guard lock(state->mutex);
    for (const auto& [process, connection] : state->open) {
      connection->conversation->shut_down();
      error_code ignored;  // Wakes the read of an idle client; a busy one ends by itself.
      connection->socket.cancel(ignored);
      connection->timer.expires_after(kStopGrace);
      connection->timer.async_wait([connection](error_code error) {
        error_code closed;
        if (!error) connection->socket.close(closed);
      });
    }
  });
}

size_t Door::connections() const {
  std::lock_guard lock(state_->mutex);
  return state_->open.size();
}

}  // namespace ziwa::protocol::postgres
