#include "protocol/postgres/start_options.h"

#include <gtest/gtest.h>

namespace ziwa::protocol::postgres {
namespace {

using Settings = std::vector<std::pair<std::string, std::string>>;

TEST(StartOptionsTest, EverySpelling) {
  const std::pair<std::string, Settings> examples[] = {
      {"", {}},
      {"  ", {}},
      {"-c a=b", {{"a", "b"}}},
      {"-ca=b", {{"a", "b"}}},
      {"--a=b", {{"a", "b"}}},
      {" -c\tA_b=C  --Some-Name=x=y ", {{"a_b", "C"}, {"some_name", "x=y"}}},
      {R"(-c a=b\ c -c b=\\ --c=\x)", {{"a", "b c"}, {"b", "\\"}, {"c", "x"}}},
      {"-c a= --b=", {{"a", ""}, {"b", ""}}},
      {"-c a.b=1 -c a.b=2", {{"a.b", "1"}, {"a.b", "2"}}},
      {"-c a=b\\", {{"a", "b"}}},
  };
  for (const auto& [text, expected] : examples) {
    auto settings = parse_start_options(text);
    ASSERT_TRUE(settings) << text << ": " << settings.error().to_string();
    EXPECT_EQ(*settings, expected) << text;
  }
}

TEST(StartOptionsTest, WhatIsNoSettingIsRefused) {
  for (const char* text : {"a=b", "-c", "-c a", "-c =b", "--", "--a", "-d 5", "-e", "-c a=b x",
                           "-c 1a=b", "-c a;b=c", "-c a\\ b=c", "-c \"a\"=b", "\xff"}) {
    auto settings = parse_start_options(text);
    ASSERT_FALSE(settings) << text;
    EXPECT_EQ(settings.error().cause(), Cause::syntax_error) << text;
  }
}

}  // namespace
}  // namespace ziwa::protocol::postgres
