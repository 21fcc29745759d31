#include "protocol/kafka/session.h"

#include "base/log.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

namespace ziwa::kafka {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr size_t kPieceBytes = 256u << 10;
constexpr int64_t kWatchEveryMs = 5'000;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

std::string describe_peer(const asio::ip::tcp::socket& socket, bool with_port) {
  error_code error;
  auto endpoint = socket.remote_endpoint(error);
  if (error) return "unknown";
  std::string host = endpoint.address().to_string();
  return with_port ? fmt::format("{}:{}", host, endpoint.port()) : host;
}

}  // namespace

/// The two coroutines of a session; each keeps it alive.
struct SessionLoops {
  static asio::awaitable<void> read(std::shared_ptr<Session> session) {
    while (session->open_) {
      std::span<std::byte> space = session->connection_.space();
      if (space.empty()) {
        session->may_read_.expires_at(asio::steady_timer::time_point::max());
        co_await session->may_read_.async_wait(kAwait);
        continue;
      }
      auto [error, count] = co_await session->socket_.async_read_some(
          asio::buffer(space.data(), space.size()), kAwait);
      if (error) co_return session->close();
      session->received(count);
    }
  }

  static asio::awaitable<void> write(std::shared_ptr<Session> session) {
    while (session->open_) {
      std::vector<Bytes> due = session->connection_.take_output();
      if (due.empty()) {
        session->may_write_.expires_at(asio::steady_timer::time_point::max());
        co_await session->may_write_.async_wait(kAwait);
        continue;
      }
      std::vector<asio::const_buffer> buffers;
      for (const auto& bytes : due) buffers.emplace_back(bytes.data(), bytes.size());
      // Each piece that goes out shows that the client is reading.
      auto moving = [session](error_code failed, size_t) -> size_t {
        session->last_move_ms_ = session->now_ms();
        return failed ? 0 : kPieceBytes;
      };
      session->writing_ = true;
      auto [error, count] = co_await asio::async_write(session->socket_, buffers, moving, kAwait);
      session->writing_ = false;
      if (error) co_return session->close();
      session->sent(count);
    }
  }
};

Session::Session(asio::ip::tcp::socket socket, std::shared_ptr<void> token,
                 std::shared_ptr<Broker> broker, const Limits& limits, Counter& bytes_in,
                 Counter& bytes_out)
    : socket_(std::move(socket)),
      token_(std::move(token)),
      broker_(std::move(broker)),
      limits_(limits),
      bytes_in_(bytes_in),
      bytes_out_(bytes_out),
      connection_(limits_.connection, broker_->memory()),
      peer_(describe_peer(socket_, true)),
      client_host_("/" + describe_peer(socket_, false)),
      may_read_(socket_.get_executor()),
      may_write_(socket_.get_executor()),
      watchdog_(socket_.get_executor()) {}

void Session::start() {
  last_move_ms_ = now_ms();
  asio::co_spawn(socket_.get_executor(), SessionLoops::read(shared_from_this()), asio::detached);
  asio::co_spawn(socket_.get_executor(), SessionLoops::write(shared_from_this()), asio::detached);
  watch();
}

int64_t Session::now_ms() const { return broker_->clock().monotonic_ns() / 1'000'000; }

void Session::close() {
  if (!open_) return;
  open_ = false;
  error_code ignored;  // The peer may be gone already.
  socket_.shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
  socket_.close(ignored);
  may_read_.cancel();
  may_write_.cancel();
  watchdog_.cancel();
  memory_wait_.reset();
  token_.reset();
}

void Session::fail(const std::string& reason) {
  log_warn("kafka", "connection closed", "peer={} reason={}", peer_, reason);
  close();
}

void Session::received(size_t count) {
  last_move_ms_ = now_ms();
  bytes_in_.add(static_cast<double>(count));
  if (Status status = connection_.received(count); !status) return fail(status.error().message());
  work();
}

void Session::sent(size_t count) {
  last_move_ms_ = now_ms();
  bytes_out_.add(static_cast<double>(count));
  connection_.sent(count);
  schedule_work();  // Room again for input that was held back.
}

void Session::work() {
  while (open_) {
    auto request = connection_.next();
    if (!request) break;
    const uint64_t sequence = request->sequence;
    broker_->handle(std::move(*request), client_host_,
                    [weak = weak_from_this(), sequence](Outcome outcome) {
                      if (auto self = weak.lock()) self->respond(sequence, std::move(outcome));
                    });
  }
  if (open_ && connection_.waits_for_memory() && !memory_wait_) wait_for_memory();
}

/// Looks for more to do, but later: handlers may answer while they are being called, and groups
/// while they change.
void Session::schedule_work() {
  if (work_scheduled_ || !open_) return;
  work_scheduled_ = true;
  asio::post(socket_.get_executor(), [self = shared_from_this()] {
    self->work_scheduled_ = false;
    if (!self->open_) return;
    if (Status status = self->connection_.resume(); !status)
      return self->fail(status.error().message());
    self->work();
    self->may_read_.cancel();
  });
}

void Session::respond(uint64_t sequence, Outcome outcome) {
  if (!open_) return;
  if (!outcome.close_reason.empty()) return fail(outcome.close_reason);
  connection_.answer(sequence, std::move(outcome.response));
  if (connection_.has_output()) may_write_.cancel();
  schedule_work();
}

void Session::wait_for_memory() {
  memory_wait_ = broker_->memory().wait([weak = weak_from_this()] {
    auto self = weak.lock();
    if (!self) return;
    self->memory_wait_.reset();
    self->schedule_work();
  });
}

std::optional<std::string> Session::overdue() {
  const int64_t now = now_ms();
  const int64_t quiet_ms = now - last_move_ms_;
  // While it waits for memory of ours it is not the client that is slow.
  const bool reading = connection_.mid_request() && connection_.wants_input();
  if (quiet_ms >= limits_.stall_ms && (writing_ || reading))
    return fmt::format("nothing moved for {} ms in the middle of a message", quiet_ms);
  if (!reading) {
    arriving_since_ms_.reset();
  } else if (!arriving_since_ms_ || arriving_ != connection_.requests()) {
    arriving_ = connection_.requests();
    arriving_since_ms_ = now;
  } else if (now - *arriving_since_ms_ >= limits_.request_ms) {
    return fmt::format("a request was not whole after {} ms (kafka.request.timeout)",
                       now - *arriving_since_ms_);
  }
  return std::nullopt;
}

/// Ends connections that are idle, or stuck in the middle of a request or an answer.
void Session::watch() {
  const int64_t shortest = std::min({limits_.idle_ms, limits_.stall_ms, limits_.request_ms});
  watchdog_.expires_after(
      std::chrono::milliseconds(std::clamp<int64_t>(shortest / 4, 1, kWatchEveryMs)));
  watchdog_.async_wait([weak = weak_from_this()](error_code cancelled) {
    auto self = weak.lock();
    if (cancelled || !self || !self->open_) return;
    if (auto reason = self->overdue()) return self->fail(*reason);
    const int64_t quiet_ms = self->now_ms() - self->last_move_ms_;
    if (quiet_ms >= self->limits_.idle_ms && self->connection_.idle()) return self->close();
    self->watch();
  });
}

}  // namespace ziwa::kafka
