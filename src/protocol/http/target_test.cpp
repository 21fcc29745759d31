#include "protocol/http/target.h"

#include <gtest/gtest.h>

namespace ziwa::protocol::http {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

TEST(Target, splits_and_decodes) {
  auto target = parse_target("/v1/a%20b//c?x=1&y=&z&a+b=c%2Bd#frag");
  ASSERT_TRUE(target.has_value());
  EXPECT_EQ(target->path, (std::vector<std::string>{"v1", "a b", "", "c"}));
  EXPECT_EQ(target->parameters, (Pairs{{"x", "1"}, {"y", ""}, {"z", ""}, {"a b", "c+d"}}));
  EXPECT_TRUE(parse_target("/")->path.empty());
}

TEST(Target, refuses_what_is_malformed_or_too_much) {
  EXPECT_EQ(parse_target("http://x/").error().code(), Code::invalid_argument);
  EXPECT_EQ(parse_target("").error().code(), Code::invalid_argument);
  EXPECT_EQ(parse_target("/%zz").error().code(), Code::invalid_argument);
  EXPECT_EQ(parse_target("/%4").error().code(), Code::invalid_argument);
  EXPECT_EQ(parse_target("/%ff").error().code(), Code::invalid_argument);
  EXPECT_EQ(parse_target("/a%00").error().code(), Code::invalid_argument);
  EXPECT_EQ(parse_target("/" + std::string(kTargetBytesMax, 'x')).error().code(), Code::exhausted);
  std::string many = "/?";
  for (size_t i = 0; i <= kParametersMax; ++i) many += "a=1&";
  EXPECT_EQ(parse_target(many).error().code(), Code::exhausted);
}

TEST(Base64, round_trip_without_padding) {
  for (const std::string text : {"", "a", "ab", "abc", "abcd", "\x00\xff\x10"}) {
    EXPECT_EQ(*decode_base64(encode_base64(text)), text);
  }
  EXPECT_EQ(encode_base64("[\"x\"]"), "WyJ4Il0");
  EXPECT_FALSE(decode_base64("a b").has_value());
}

}  // namespace
}  // namespace ziwa::protocol::http
