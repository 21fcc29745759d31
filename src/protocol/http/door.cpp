#include "protocol/http/door.h"

#include "base/log.h"
#include "base/metric_table.h"
#include "protocol/http/errors.h"
#include "protocol/http/origin.h"
#include "protocol/http/rest.h"
#include "protocol/listen/byte_budget.h"
#include "protocol/listen/client_watch.h"
#include "protocol/listen/run_on.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>

#include <atomic>
#include <chrono>
#include <mutex>
#include <set>

namespace ziwa::protocol::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace bhttp = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using Request = bhttp::request<bhttp::string_body>;

// How often the epoch is looked at while requests wait for one, by one timer for all of them: far
// below what a person or a test notices.
constexpr std::chrono::milliseconds kEpochPoll{2};
constexpr size_t kFirstReadBytes = 4096;

struct Connection {
  Connection(tcp::socket socket, std::shared_ptr<void> held)
      : stream(std::move(socket)), token(std::move(held)) {}
  beast::tcp_stream stream;
  std::shared_ptr<void> token;
  bool idle = true;  ///< Waits for the next request; io thread only.
};

/// A request that waits for an epoch. Lives in its coroutine.
struct EpochWaiter {
  EpochWaiter(asio::io_context& io, Epoch wanted) : timer(io), epoch(wanted) {}
  asio::steady_timer timer;
  Epoch epoch;
  bool gone = false;
};

std::string_view view(beast::string_view text) { return {text.data(), text.size()}; }

std::optional<std::string_view> header(const Request& request, bhttp::field name) {
  auto found = request.find(name);
  if (found == request.end()) return std::nullopt;
  return view(found->value());
}

Response not_allowed(std::string_view allowed) {
  Response response{.status = 405,
                    .body = error_json(Error(Code::invalid_argument, "only {} here", allowed))};
  response.headers.emplace_back("Allow", allowed);
  return response;
}

}  // namespace

struct Door::State : std::enable_shared_from_this<State> {
  State(Dependencies given, Options chosen)
      : dependencies(std::move(given)),
        options(chosen),
        rest(dependencies.database, dependencies.engine, {.rows_max = options.rows_max}),
        memory(options.memory_bytes_max),
        epoch_poll(dependencies.io),
        requests(dependencies.metrics.counter(metric::http_requests_total)) {}

  asio::awaitable<void> serve(std::shared_ptr<Connection> connection);
  asio::awaitable<bool> serve_one(Connection& connection, beast::flat_buffer& buffer);
  asio::awaitable<error_code> read_body(Connection& connection, beast::flat_buffer& buffer,
                                        bhttp::request_parser<bhttp::string_body>& parser,
                                        ByteShare& share);
  asio::awaitable<Response> answer(Connection& connection, const Request& request);
  asio::awaitable<Response> answer_rows(Connection& connection, const Request& request,
                                        const Target& target);
  asio::awaitable<Response> answer_sql(Connection& connection, const Request& request);
  /// Runs a statement on the pool, until its client goes away or its time is up.
  template <typename Work>
  asio::awaitable<Response> run_statement(Connection& connection, Work work);
  asio::awaitable<Status> wait_for(Connection& connection, Epoch epoch, int64_t wait_ms);
  void poll_epoch();
  asio::awaitable<bool> send(Connection& connection, const Request& request, Response response,
                             bool keep_alive);

  Dependencies dependencies;
  Options options;
  Rest rest;
  ByteBudget memory;
  asio::steady_timer epoch_poll;
  std::set<EpochWaiter*> epoch_waiters;  ///< io thread only; while there are any, the timer runs.
  Counter& requests;
  std::atomic<bool> stopping = false;
  mutable std::mutex mutex;
  std::set<std::shared_ptr<Connection>> open;  ///< Guarded by mutex.
};

asio::awaitable<void> Door::State::serve(std::shared_ptr<Connection> connection) {
  beast::flat_buffer buffer(options.header_bytes_max + options.body_bytes_max);
  while (!stopping && co_await serve_one(*connection, buffer)) {
  }
  error_code ignored;  // The peer may have gone already.
  connection->stream.socket().shutdown(tcp::socket::shutdown_both, ignored);
  std::lock_guard lock(mutex);
  open.erase(connection);
}

/// As bhttp::async_read, but the body counts as it arrives. no_memory: all clients together hold
/// too much.
asio::awaitable<error_code> Door::State::read_body(
    Connection& connection, beast::flat_buffer& buffer,
    bhttp::request_parser<bhttp::string_body>& parser, ByteShare& share) {
  error_code error;
  parser.eager(true);
  while (!parser.is_done() && !error) {
    co_await bhttp::async_read_some(connection.stream, buffer, parser,
                                    asio::redirect_error(asio::use_awaitable, error));
    if (!share.resize(parser.get().body().size())) error = asio::error::no_memory;
  }
  co_return error;
}

asio::awaitable<bool> Door::State::serve_one(Connection& connection, beast::flat_buffer& buffer) {
  bhttp::request_parser<bhttp::string_body> parser;
  ByteShare share(memory);  // Until the answer is sent.
  parser.header_limit(options.header_bytes_max);
  parser.body_limit(options.body_bytes_max);
  error_code error;
  connection.idle = true;
  if (buffer.size() == 0) {
    connection.stream.expires_after(std::chrono::milliseconds(options.idle_timeout_ms));
    size_t got = co_await connection.stream.async_read_some(
        buffer.prepare(kFirstReadBytes), asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return false;
    buffer.commit(got);
  }
  // A request that has begun has a time limit as a whole, however slowly its bytes drip in.
  connection.idle = false;
  connection.stream.expires_after(std::chrono::milliseconds(options.request_timeout_ms));
  co_await bhttp::async_read_header(connection.stream, buffer, parser,
                                    asio::redirect_error(asio::use_awaitable, error));
  if (!error) {
    error = co_await read_body(connection, buffer, parser, share);
  }
  if (error == asio::error::no_memory) {
    requests.add();
    Response response = error_response(
        Error(Code::exhausted, "requests of all clients hold {} bytes", memory.used())
            .with_hint("try again later; setting http.memory.max"));
    response.status = 503;
    co_return co_await send(connection, parser.get(), std::move(response), false);
  }
  bool unreadable = error.category() == bhttp::make_error_code(bhttp::error::bad_method).category();
  if (error && (!unreadable || error == bhttp::error::end_of_stream ||
                error == bhttp::error::partial_message)) {
    co_return false;
  }
  requests.add();
  if (error) {
    bool large = error == bhttp::error::header_limit || error == bhttp::error::body_limit;
    bool body = error == bhttp::error::body_limit;
    Response response = error_response(
        large ? Error(Code::invalid_argument, "the request's {} has more than {} bytes",
                      body ? "body" : "header",
                      body ? options.body_bytes_max : options.header_bytes_max)
                    .with_hint(body ? "setting http.request.bytes.max"
                                    : "setting http.header.bytes.max")
              : Error(Code::invalid_argument, "this is not an HTTP request: {}", error.message()));
    if (large) response.status = body ? 413 : 431;
    co_return co_await send(connection, parser.get(), std::move(response), false);
  }
  Request request = parser.release();
  connection.stream
      .expires_never();  // The answer takes the time it takes; only sending it is timed.
  Response response = co_await answer(connection, request);
  bool keep_alive = request.keep_alive() && !stopping;
  co_return co_await send(connection, request, std::move(response), keep_alive);
}

asio::awaitable<Response> Door::State::answer(Connection& connection, const Request& request) {
  Status allowed =
      check_origin(header(request, bhttp::field::host), header(request, bhttp::field::origin));
  if (!allowed) co_return error_response(allowed.error());
  auto target = parse_target(view(request.target()));
  if (!target) co_return error_response(target.error());
  const auto& path = target->path;
  bool reads = request.method() == bhttp::verb::get || request.method() == bhttp::verb::head;

  if (path.size() == 2 && path[0] == "v1" && path[1] == "sql" &&
      request.method() == bhttp::verb::post) {
    co_return co_await answer_sql(connection, request);
  }
  if (!reads) co_return not_allowed("GET");
  if (path.size() == 1 && path[0] == "healthz") {
    co_return Response{.content_type = "text/plain", .body = "ok\n"};
  }
  if (path.size() == 1 && (path[0] == "metrics" || path[0] == "status")) {
    bool metrics = path[0] == "metrics";
    auto body = co_await run_on(dependencies.health, [this, metrics]() -> Result<std::string> {
      return metrics ? dependencies.metrics.render() : dependencies.status();
    });
    if (!body) co_return error_response(body.error());
    co_return Response{.content_type = metrics ? "text/plain; version=0.0.4" : "application/json",
                       .body = std::move(*body)};
  }
  if (!path.empty() && path[0] == "v1")
    co_return co_await answer_rows(connection, request, *target);
  co_return error_response(Error(Code::not_found, "nothing is at this path")
                               .with_hint("try /status, /metrics or /v1/<view>"));
}

template <typename Work>
asio::awaitable<Response> Door::State::run_statement(Connection& connection, Work work) {
  RestStatement statement;
  const auto begun = std::chrono::steady_clock::now();
  const std::chrono::milliseconds time_max(options.statement_timeout_ms);
  ClientWatch watch(connection.stream.socket(), [&](bool gone) {
    if (gone) statement.end(Error(Code::cancelled, "the client hung up"));
    if (time_max.count() > 0 && std::chrono::steady_clock::now() - begun >= time_max) {
      statement.end(
          Error(Code::cancelled, "the statement was cancelled after {} ms", time_max.count())
              .with_hint("setting sql.statement.timeout"));
    }
  });
  watch.begin();
  auto answered =
      co_await run_on(dependencies.pool, [&]() -> Result<Response> { return work(statement); });
  co_return answered ? std::move(*answered) : error_response(answered.error());
}

asio::awaitable<Response> Door::State::answer_rows(Connection& connection, const Request& request,
                                                   const Target& target) {
  auto query = parse_rest_query(target, options.rows_max);
  if (!query) co_return error_response(query.error());
  if (query->min_epoch) {
    Status reached = co_await wait_for(connection, Epoch(*query->min_epoch), query->wait_ms);
    if (!reached) co_return error_response(reached.error());
  }
  std::optional<std::string> known;
  if (auto tag = header(request, bhttp::field::if_none_match)) known = *tag;
  std::vector<std::string> path(target.path.begin() + 1, target.path.end());
  co_return co_await run_statement(connection, [&](RestStatement& statement) {
    return rest.read(path, *query, target, known, statement);
  });
}

asio::awaitable<Response> Door::State::answer_sql(Connection& connection, const Request& request) {
  // A page of another site cannot send this type without asking first, and we never say yes.
  auto type = header(request, bhttp::field::content_type);
  if (!type || !type->starts_with("application/json")) {
    Response response = error_response(
        Error(Code::invalid_argument, "send the statement as Content-Type: application/json"));
    response.status = 415;
    co_return response;
  }
  co_return co_await run_statement(
      connection, [&](RestStatement& statement) { return rest.run(request.body(), statement); });
}

asio::awaitable<Status> Door::State::wait_for(Connection& connection, Epoch epoch,
                                              int64_t wait_ms) {
  auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(wait_ms);
  EpochWaiter waiter(dependencies.io, epoch);
  ClientWatch watch(connection.stream.socket(), [&](bool gone) {
    waiter.gone = gone;
    if (gone) waiter.timer.cancel();
  });
  watch.begin();
  while (rest.epoch() < epoch) {
    if (waiter.gone) co_return Error(Code::cancelled, "the client hung up");
    if (std::chrono::steady_clock::now() >= deadline || stopping) {
      co_return Error(Code::unavailable, "epoch {} is not there after {} ms; readers see {}", epoch,
                      wait_ms, rest.epoch());
    }
    if (epoch_waiters.empty()) poll_epoch();
    epoch_waiters.insert(&waiter);
    error_code ignored;  // Cancelled: the epoch is there, or the wait has ended.
    waiter.timer.expires_at(deadline);
    co_await waiter.timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    epoch_waiters.erase(&waiter);
  }
  co_return Status();
}

void Door::State::poll_epoch() {
  epoch_poll.expires_after(kEpochPoll);
  epoch_poll.async_wait([self = shared_from_this()](error_code cancelled) {
    if (cancelled) return;
    const Epoch epoch = self->rest.epoch();
    for (EpochWaiter* waiter : self->epoch_waiters) {
      if (epoch >= waiter->epoch || self->stopping) waiter->timer.cancel();
    }
    if (!self->epoch_waiters.empty()) self->poll_epoch();
  });
}

asio::awaitable<bool> Door::State::send(Connection& connection, const Request& request,
                                        Response response, bool keep_alive) {
  bhttp::response<bhttp::string_body> message;
  message.result(response.status);
  message.version(request.version() == 10 ? 10 : 11);
  message.set(bhttp::field::server, "Ziwa");
  message.set("X-Content-Type-Options", "nosniff");
  if (response.status != 304) message.set(bhttp::field::content_type, response.content_type);
  for (const auto& [name, value] : response.headers) message.set(name, value);
  message.keep_alive(keep_alive);
  if (request.method() == bhttp::verb::head) {
    message.content_length(response.body.size());
  } else {
    message.body() = std::move(response.body);
    if (response.status != 304) message.prepare_payload();
  }
  error_code error;
  connection.stream.expires_after(std::chrono::milliseconds(options.request_timeout_ms));
  bhttp::response_serializer<bhttp::string_body> serializer(message);
  if (request.method() == bhttp::verb::head) {
    co_await bhttp::async_write_header(connection.stream, serializer,
                                       asio::redirect_error(asio::use_awaitable, error));
  } else {
    co_await bhttp::async_write(connection.stream, serializer,
                                asio::redirect_error(asio::use_awaitable, error));
  }
  co_return !error && keep_alive;
}

Door::Door(Dependencies dependencies, Options options)
    : state_(std::make_shared<State>(std::move(dependencies), options)) {}

Door::~Door() = default;

void Door::accept(tcp::socket socket, std::shared_ptr<void> token) {
  if (state_->stopping) return;
  auto connection = std::make_shared<Connection>(std::move(socket), std::move(token));
  {
    std::lock_guard lock(state_->mutex);
    state_->open.insert(connection);
  }
  asio::co_spawn(
      state_->dependencies.io, [state = state_, connection] { return state->serve(connection); },
      asio::detached);
}

void Door::stop() {
  state_->stopping = true;
  state_->rest.cancel_all();
  asio::post(state_->dependencies.io, [state = state_] {
    std::lock_guard lock(state->mutex);
    for (const auto& connection : state->open) {
      if (connection->idle) connection->stream.cancel();
    }
  });
}

size_t Door::connections() const {
  std::lock_guard lock(state_->mutex);
  return state_->open.size();
}

}  // namespace ziwa::protocol::http
