#pragma once

#include "base/result.h"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <string>

namespace ziwa::protocol {

/// Accepts TCP connections on loopback and hands them over. Runs on one io_context.
class Listener {
 public:
  struct Options {
    std::string address = "127.0.0.1";
    uint16_t port = 0;  ///< 0: any free one.
    int connections_max = 1024;
  };
  /// Errors: already_exists "port 5432 in use by postgres (pid 123)" with the hint that avoids it;
  /// permission off loopback.
  static Result<std::unique_ptr<Listener>> open(boost::asio::io_context& io, const Options& options,
                                                const std::string& setting_name);
  virtual ~Listener() = default;
  virtual uint16_t port() const = 0;
  /// `accept` is called on the io thread with each connection; above connections_max the socket is
  /// closed at once. The connection counts until the returned token (second argument) is destroyed.
  virtual void start(
      std::function<void(boost::asio::ip::tcp::socket, std::shared_ptr<void> token)> accept) = 0;
  virtual void stop() = 0;
};

/// "postgres (pid 123)" for the process that listens on the port, or empty. Reads /proc.
std::string port_owner(uint16_t port);

}  // namespace ziwa::protocol
