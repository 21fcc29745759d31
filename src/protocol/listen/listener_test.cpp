#include "protocol/listen/listener.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/read.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <unistd.h>
#include <vector>

namespace ziwa::protocol {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using testing::HasSubstr;

tcp::socket connect_to(asio::io_context& io, uint16_t port) {
  tcp::socket socket(io);
  socket.connect(tcp::endpoint(asio::ip::make_address("127.0.0.1"), port));
  return socket;
}

TEST(ListenerTest, PicksAFreePortAndHandsConnectionsOver) {
  asio::io_context io;
  auto listener = Listener::open(io, {}, "doors.x.port");
  ASSERT_TRUE(listener) << listener.error().to_string();
  EXPECT_GT((*listener)->port(), 0);
  int accepted = 0;
  (*listener)->start([&](tcp::socket socket, std::shared_ptr<void>) {
    EXPECT_TRUE(socket.is_open());
    ++accepted;
  });
  tcp::socket client = connect_to(io, (*listener)->port());
  io.run_for(std::chrono::milliseconds(200));
  EXPECT_EQ(accepted, 1);
}

TEST(ListenerTest, NamesTheOwnerOfATakenPort) {
  asio::io_context io;
  auto first = Listener::open(io, {}, "doors.x.port");
  ASSERT_TRUE(first);
  auto second = Listener::open(io, {.port = (*first)->port()}, "doors.x.port");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), Code::already_exists);
  EXPECT_THAT(second.error().message(), HasSubstr(fmt::format("(pid {})", ::getpid())));
  EXPECT_THAT(second.error().hint(), HasSubstr("--set doors.x.port="));
}

TEST(ListenerTest, RefusesToLeaveLoopback) {
  asio::io_context io;
  auto listener = Listener::open(io, {.address = "0.0.0.0"}, "doors.x.port");
  ASSERT_FALSE(listener);
  EXPECT_EQ(listener.error().code(), Code::permission);
  auto nonsense = Listener::open(io, {.address = "nowhere"}, "doors.x.port");
  ASSERT_FALSE(nonsense);
  EXPECT_EQ(nonsense.error().code(), Code::invalid_argument);
}

TEST(ListenerTest, ClosesConnectionsAboveTheLimitUntilATokenIsReturned) {
  asio::io_context io;
  auto listener = Listener::open(io, {.connections_max = 1}, "doors.x.port");
  ASSERT_TRUE(listener);
  std::vector<std::pair<tcp::socket, std::shared_ptr<void>>> open;
  (*listener)->start([&](tcp::socket socket, std::shared_ptr<void> token) {
    open.emplace_back(std::move(socket), std::move(token));
  });
  tcp::socket first = connect_to(io, (*listener)->port());
  tcp::socket second = connect_to(io, (*listener)->port());
  io.run_for(std::chrono::milliseconds(100));
  ASSERT_EQ(open.size(), 1u);
  char byte = 0;
  boost::system::error_code error;
  asio::read(second, asio::buffer(&byte, 1), error);
  EXPECT_TRUE(error);

  open.clear();
  tcp::socket third = connect_to(io, (*listener)->port());
  io.restart();
  io.run_for(std::chrono::milliseconds(100));
  EXPECT_EQ(open.size(), 1u);
}

TEST(ListenerTest, StopFreesThePort) {
  asio::io_context io;
  auto listener = Listener::open(io, {}, "doors.x.port");
  ASSERT_TRUE(listener);
  uint16_t port = (*listener)->port();
  (*listener)->start([](tcp::socket, std::shared_ptr<void>) {});
  (*listener)->stop();
  io.run();  // Returns because nothing waits any more.
  EXPECT_EQ(port_owner(port), "");
  EXPECT_TRUE(Listener::open(io, {.port = port}, "doors.x.port"));
}

}  // namespace
}  // namespace ziwa::protocol
