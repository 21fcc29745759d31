#include "protocol/listen/client_watch.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/write.hpp>
#include <gtest/gtest.h>

#include <optional>

namespace ziwa::protocol {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

class ClientWatchTest : public ::testing::Test {
 protected:
  ClientWatchTest() {
    tcp::acceptor acceptor(io_, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    client_.connect(acceptor.local_endpoint());
    acceptor.accept(server_);
  }
  void run_until(const bool& done) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!done && std::chrono::steady_clock::now() < end)
      io_.run_one_for(std::chrono::milliseconds(100));
    EXPECT_TRUE(done);
  }

  asio::io_context io_;
  tcp::socket client_{io_};
  tcp::socket server_{io_};
};

TEST_F(ClientWatchTest, SeesThatTheClientIsGoneBehindUnreadInput) {
  bool looked = false;
  bool gone = false;
  ClientWatch watch(server_, [&](bool hung_up) {
    looked = true;
    gone = hung_up;
  });
  watch.begin();
  asio::write(client_, asio::buffer("the next request", 16));
  run_until(looked);
  EXPECT_FALSE(gone);
  client_.close();
  run_until(gone);
}

TEST_F(ClientWatchTest, LooksOnlyWhileSomethingRuns) {
  int looks = 0;
  {
    ClientWatch watch(server_, [&](bool) { ++looks; });
    watch.begin();
    watch.end();
    io_.run();  // Nothing is left to do.
    EXPECT_EQ(looks, 0);
    watch.begin();
  }
  io_.restart();
  io_.run();
  EXPECT_EQ(looks, 0);
}

}  // namespace
}  // namespace ziwa::protocol
