#include "base/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ziwa {
namespace {

using ::testing::HasSubstr;

TEST(Settings, DefaultsAreThere) {
  Settings settings;
  EXPECT_EQ(settings.integer("doors.kafka.port"), 9092);
  EXPECT_EQ(settings.integer("stream.checkpoint.interval"), 1000);
  EXPECT_EQ(settings.integer("kafka.request.bytes.max"), 100 << 20);
  EXPECT_EQ(settings.text("log.flush"), "always");
  EXPECT_FALSE(settings.boolean("log.json"));
  EXPECT_EQ(settings.source("log.json"), "default");
  EXPECT_GE(Settings::specs().size(), 20u);
}

TEST(Settings, LaterSourcesWin) {
  Settings settings;
  ASSERT_TRUE(settings.load_yaml(
      "doors:\n  kafka:\n    port: 1000\n  http.port: 2000\nsql:\n  files: [/a, /b]\n",
      "server.yaml"));
  ASSERT_TRUE(settings.load_environment({{"ZIWA_DOORS_HTTP_PORT", "3000"}, {"HOME", "/root"}}));
  ASSERT_TRUE(settings.set("log.level", "debug", "--set"));
  EXPECT_EQ(settings.integer("doors.kafka.port"), 1000);
  EXPECT_EQ(settings.source("doors.kafka.port"), "server.yaml");
  EXPECT_EQ(settings.integer("doors.http.port"), 3000);
  EXPECT_EQ(settings.source("doors.http.port"), "ZIWA_DOORS_HTTP_PORT");
  EXPECT_EQ(settings.text("sql.files"), "/a,/b");
  EXPECT_EQ(settings.text("log.level"), "debug");
}

TEST(Settings, AnUnknownNameIsAnErrorWithASuggestionAndALine) {
  Settings settings;
  auto yaml = settings.load_yaml("log:\n  level: info\n  flsh: os\n", "server.yaml");
  ASSERT_FALSE(yaml);
  EXPECT_EQ(yaml.error().message(), "server.yaml:3: unknown setting \"log.flsh\"");
  EXPECT_EQ(yaml.error().hint(), "did you mean \"log.flush\"?");
  auto flag = settings.set("doors.kafka.prt", "1", "--set");
  ASSERT_FALSE(flag);
  EXPECT_EQ(flag.error().hint(), "did you mean \"doors.kafka.port\"?");
  auto variable = settings.load_environment({{"ZIWA_LOG_LEVLE", "info"}});
  ASSERT_FALSE(variable);
  EXPECT_EQ(variable.error().hint(), "did you mean \"ZIWA_LOG_LEVEL\"?");
  auto far = settings.set("quite.something.else", "1", "--set");
  EXPECT_EQ(far.error().hint(), "");
}

TEST(Settings, AMapOfNoSettingsIsAnError) {
  Settings settings;
  auto wrong = settings.load_yaml("doors:\n  htp: {port: 1}\n", "server.yaml");
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().message(), "server.yaml:2: unknown setting \"doors.htp\"");
  EXPECT_EQ(wrong.error().hint(), "did you mean \"doors.http\"?");
  EXPECT_FALSE(settings.load_yaml("dors: {}\n", "server.yaml"));
  // A map that holds itself used to overrun the stack.
  auto cycle = settings.load_yaml("doors: &a {kafka: *a}\n", "server.yaml");
  ASSERT_FALSE(cycle);
  EXPECT_THAT(cycle.error().message(), HasSubstr("unknown setting \"doors.kafka.kafka\""));
}

TEST(Settings, AWrongValueSaysWhatIsAccepted) {
  Settings settings;
  auto message = [&](std::string_view name, std::string_view value) {
    Status set = settings.set(name, value, "--set");
    return set ? "accepted" : set.error().message();
  };
  EXPECT_EQ(message("doors.kafka.port", "70000"),
            "doors.kafka.port: \"70000\" is above the most of 65535");
  EXPECT_EQ(message("doors.kafka.port", "-1"), "doors.kafka.port: \"-1\" is below the least of 0");
  EXPECT_EQ(message("doors.kafka.port", "x"), "doors.kafka.port: \"x\" is not a whole number");
  EXPECT_EQ(message("log.flush", "never"),
            "log.flush: \"never\" is not one of always, interval, os");
  EXPECT_EQ(message("log.json", "maybe"), "log.json: \"maybe\" is not true or false");
  EXPECT_THAT(message("sql.memory", "lots"), HasSubstr("is not a size such as"));
  EXPECT_THAT(message("sql.memory", "1 KiB"), HasSubstr("below the least of 33554432 bytes"));
  EXPECT_THAT(message("log.flush.interval", "5"), HasSubstr("is not a duration such as"));
  EXPECT_EQ(settings.integer("doors.kafka.port"), 9092) << "a refused value changes nothing";
}

TEST(Settings, BrokenYamlNamesItsLine) {
  Settings settings;
  auto broken = settings.load_yaml("log:\n  level: [info\n", "server.yaml");
  ASSERT_FALSE(broken);
  EXPECT_THAT(broken.error().message(), HasSubstr("server.yaml:"));
  EXPECT_FALSE(settings.load_yaml("just words", "server.yaml"));
  EXPECT_FALSE(settings.load_yaml("sql:\n  files: [[a]]\n", "server.yaml"));
  EXPECT_TRUE(settings.load_yaml("", "server.yaml"));
}

TEST(Settings, SizesAndDurations) {
  EXPECT_EQ(*parse_bytes("10 MiB"), 10 << 20);
  EXPECT_EQ(*parse_bytes("10mib"), 10 << 20);
  EXPECT_EQ(*parse_bytes("123"), 123);
  EXPECT_EQ(*parse_duration_ms("7 days"), 604'800'000);
  EXPECT_EQ(*parse_duration_ms("250ms"), 250);
  EXPECT_EQ(*parse_duration_ms("0"), 0);
  for (const char* wrong :
       {"", "MiB", "1.5 GiB", "9999999999 TiB", "10 MB", "99999999999999999999"}) {
    EXPECT_FALSE(parse_bytes(wrong)) << wrong;
  }
  for (const char* wrong : {"5", "5 weeks", "ms", "s 5"})
    EXPECT_FALSE(parse_duration_ms(wrong)) << wrong;
}

TEST(NearestName, FindsOnlyNearOnes) {
  EXPECT_EQ(nearest_name("flghts", {"airports", "flights"}), "flights");
  EXPECT_EQ(nearest_name("FLIGHTS", {"flights"}), "flights");
  EXPECT_EQ(nearest_name("xyz", {"flights"}), "");
  EXPECT_EQ(nearest_name("", {"flights"}), "");
}

}  // namespace
}  // namespace ziwa
