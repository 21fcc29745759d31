#include "protocol/http/origin.h"

#include <gtest/gtest.h>

namespace ziwa::protocol::http {
namespace {

TEST(Origin, this_machine_is_welcome) {
  for (auto* host : {"localhost", "localhost:8080", "127.0.0.1:1", "127.0.0.2:8080", "[::1]",
                     "[::1]:8080", "LOCALHOST"}) {
    EXPECT_TRUE(check_origin(host, std::nullopt).has_value()) << host;
  }
  EXPECT_TRUE(check_origin("localhost:1", "http://localhost:3000").has_value());
  EXPECT_TRUE(check_origin("localhost:1", "https://127.0.0.1").has_value());
}

TEST(Origin, others_are_not) {
  for (auto* host : {"evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1",
                     "localhost:x", "localhost:", "[::1", "", "evil.example:8080"}) {
    EXPECT_EQ(check_origin(host, std::nullopt).error().code(), Code::permission) << host;
  }
  EXPECT_EQ(check_origin(std::nullopt, std::nullopt).error().code(), Code::invalid_argument);
  for (auto* origin : {"http://evil.example", "null", "file://localhost",
                       "http://localhost@evil.example", "http://localhost.evil.example"}) {
    EXPECT_EQ(check_origin("localhost", origin).error().code(), Code::permission) << origin;
  }
}

}  // namespace
}  // namespace ziwa::protocol::http
