#pragma once

#include <boost/asio/ip/tcp.hpp>

#include <functional>
#include <memory>

namespace ziwa::protocol {

/// Looks at a connection twice a second while a statement runs for it, when nothing reads from the
/// socket. On the socket's executor, all of it.
class ClientWatch {
 public:
  /// `gone`: the client has closed its end, or at least its sending half. Called again and again
  /// until end().
  using Tick = std::function<void(bool gone)>;
  /// `socket` must outlive this.
  ClientWatch(boost::asio::ip::tcp::socket& socket, Tick tick);
  ~ClientWatch();
  ClientWatch(const ClientWatch&) = delete;
  ClientWatch& operator=(const ClientWatch&) = delete;
  void begin();
  void end();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace ziwa::protocol
