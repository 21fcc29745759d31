#include "protocol/listen/listener.h"

#include "base/log.h"

#include <boost/asio/dispatch.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>

namespace ziwa::protocol {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

// How long to wait when the process is out of file descriptors, before accepting again.
constexpr std::chrono::milliseconds kAcceptRetry{100};

/// Shared with the accept handlers and the tokens of open connections, which may outlive the
/// Listener.
struct Acceptor : std::enable_shared_from_this<Acceptor> {
  Acceptor(asio::io_context& io, const Listener::Options& options)
      : acceptor(io), retry(io), connections_max(options.connections_max) {}

  void accept_next() {
    acceptor.async_accept([self = shared_from_this()](error_code error, tcp::socket socket) {
      if (!self->acceptor.is_open()) return;
      if (error) return self->retry_later(error);
      self->hand_over(std::move(socket));
      self->accept_next();
    });
  }

  void retry_later(error_code error) {
    log_warn("listen", "cannot accept a connection", "port={} reason={}", port, error.message());
    retry.expires_after(kAcceptRetry);
    retry.async_wait([self = shared_from_this()](error_code cancelled) {
      if (!cancelled && self->acceptor.is_open()) self->accept_next();
    });
  }

  void hand_over(tcp::socket socket) {
    if (connections.fetch_add(1) >= connections_max) {
      connections.fetch_sub(1);
      log_warn("listen", "connection refused: too many are open", "port={} connections_max={}",
               port, connections_max);
      return;
    }
    std::shared_ptr<void> token(
        this, [self = shared_from_this()](void*) { self->connections.fetch_sub(1); });
    error_code ignored;  // A peer that has gone already shows up at the first read.
    socket.set_option(tcp::no_delay(true), ignored);
    accept(std::move(socket), std::move(token));
  }

  tcp::acceptor acceptor;
  asio::steady_timer retry;
  const int connections_max;
  uint16_t port = 0;
  std::atomic<int> connections{0};
  std::function<void(tcp::socket, std::shared_ptr<void>)> accept;
};

class TcpListener final : public Listener {
 public:
  explicit TcpListener(std::shared_ptr<Acceptor> acceptor) : acceptor_(std::move(acceptor)) {}
  ~TcpListener() override { stop(); }
  uint16_t port() const override { return acceptor_->port; }

  void start(std::function<void(tcp::socket, std::shared_ptr<void>)> accept) override {
    acceptor_->accept = std::move(accept);
    acceptor_->accept_next();
  }

  void stop() override {
    // On the io thread, because the acceptor is not to be used by two at once.
    asio::dispatch(acceptor_->acceptor.get_executor(), [acceptor = acceptor_] {
      error_code ignored;  // Nothing can be done about a failed close.
      acceptor->acceptor.close(ignored);
      acceptor->retry.cancel();
    });
  }

 private:
  std::shared_ptr<Acceptor> acceptor_;
};

Error bind_error(error_code error, const Listener::Options& options,
                 const std::string& setting_name) {
  if (error == asio::error::address_in_use) {
    std::string owner = port_owner(options.port);
    Error taken(Code::already_exists, "port {} in use by {}", options.port,
                owner.empty() ? "another process" : owner);
    return std::move(taken).with_hint(
        fmt::format("choose another with --set {}=PORT (0 picks a free one)", setting_name));
  }
  Error refused =
      errno_error(error.value(), fmt::format("listening on {}:{}", options.address, options.port));
  return std::move(refused).with_hint(
      fmt::format("choose another port with --set {}=PORT", setting_name));
}

}  // namespace

Result<std::unique_ptr<Listener>> Listener::open(asio::io_context& io, const Options& options,
                                                 const std::string& setting_name) {
  error_code error;
  auto address =
      asio::ip::make_address(options.address == "localhost" ? "127.0.0.1" : options.address, error);
  if (error) return Error(Code::invalid_argument, "\"{}\" is not an IP address", options.address);
  if (!address.is_loopback()) {
    return Error(Code::permission,
                 "refusing to listen on {}: only loopback until authentication exists",
                 options.address)
        .with_hint("use 127.0.0.1 or ::1");
  }
  auto acceptor = std::make_shared<Acceptor>(io, options);
  tcp::endpoint endpoint(address, options.port);
  acceptor->acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor->acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor->acceptor.bind(endpoint, error);
  if (!error) acceptor->acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return bind_error(error, options, setting_name);
  acceptor->port = acceptor->acceptor.local_endpoint(error).port();
  if (error) return bind_error(error, options, setting_name);
  return std::make_unique<TcpListener>(std::move(acceptor));
}

}  // namespace ziwa::protocol
