#include "app/http_get.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>

namespace ziwa::app {

namespace {
constexpr std::chrono::seconds kTimeout{10};
}

Result<std::string> http_get(const std::string& host, uint16_t port, const std::string& path) {
  namespace asio = boost::asio;
  namespace beast = boost::beast;
  boost::system::error_code error;
  asio::io_context io;
  asio::ip::tcp::resolver resolver(io);
  beast::tcp_stream stream(io);
  auto unreachable = [&] {
    return Error(Code::unavailable, "{}:{} does not answer: {}", host, port, error.message())
        .with_hint("start a server with ziwa up, or name its HTTP door with --port");
  };
  auto found = resolver.resolve(host, std::to_string(port), error);
  if (error) return unreachable();
  beast::http::request<beast::http::empty_body> request(beast::http::verb::get, path, 11);
  request.set(beast::http::field::host, host + ":" + std::to_string(port));
  request.set(beast::http::field::connection, "close");
  beast::flat_buffer buffer;
  beast::http::response<beast::http::string_body> response;
  // Timeouts of a tcp_stream work for asynchronous calls only.
  auto then = [&](auto&& next) {
    return [&, next](boost::system::error_code result, auto&&...) {
      error = result;
      if (!error) next();
    };
  };
  stream.expires_after(kTimeout);
  stream.async_connect(found, then([&] {
                         beast::http::async_write(stream, request, then([&] {
                                                    beast::http::async_read(stream, buffer,
                                                                            response, then([] {}));
                                                  }));
                       }));
  io.run();
  if (error.category() == make_error_code(beast::http::error::bad_version).category()) {
    return Error(Code::unavailable, "{}:{} does not speak HTTP", host, port)
        .with_hint("--port takes the port of the HTTP door");
  }
  if (error) return unreachable();
  if (response.result() != beast::http::status::ok) {
    return Error(Code::unavailable, "{}:{}{} answers {}", host, port, path, response.result_int());
  }
  return std::move(response.body());
}

}  // namespace ziwa::app
