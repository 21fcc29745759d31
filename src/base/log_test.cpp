#include "base/log.h"

#include <gtest/gtest.h>

namespace ziwa {
namespace {

/// What stands in a line of JSON after its time and level.
template <typename... Args>
std::string members(fmt::format_string<Args...> values, Args&&... args) {
  init_logging(LogLevel::info, true);
  testing::internal::CaptureStderr();
  log_warn("log_test", "it happened", values, std::forward<Args>(args)...);
  std::string line = testing::internal::GetCapturedStderr();
  init_logging(LogLevel::info, false);
  EXPECT_EQ(line.substr(0, 9), "{\"time\":\"");
  const std::string head =
      "\"level\":\"warning\",\"module\":\"log_test\",\"message\":\"it happened\"";
  const size_t at = line.find(head);
  EXPECT_NE(at, std::string::npos) << line;
  EXPECT_TRUE(line.ends_with("}\n")) << line;
  return at == std::string::npos
             ? line
             : line.substr(at + head.size(), line.size() - at - head.size() - 2);
}

TEST(LogJson, values_are_members) {
  EXPECT_EQ(members("peer={} topic={} bytes={}", "127.0.0.1:5", "a b", 7),
            R"(,"peer":"127.0.0.1:5","topic":"a b","bytes":"7")");
  EXPECT_EQ(members("reason={}", ""), R"(,"reason":"")");
  EXPECT_EQ(members("{}", "[WARN] a line of another program"),
            R"(,"values":"[WARN] a line of another program")");
  EXPECT_EQ(members("{} file={}", "unnamed", "f"), R"(,"values":"unnamed","file":"f")");
}

TEST(LogJson, names_of_the_line_itself_are_kept_apart) {
  EXPECT_EQ(members("level={} message={} time={} module={}", 1, 2, 3, 4),
            R"(,"value_level":"1","value_message":"2","value_time":"3","value_module":"4")");
}

TEST(LogJson, a_name_is_given_once) {
  EXPECT_EQ(members("peer={} reason={}", "a", "bad peer=b x=1 X=2"),
            R"(,"peer":"a","reason":"bad peer=b","x":"1 X=2")");
}

TEST(LogJson, values_are_escaped) {
  EXPECT_EQ(members("text={}", "\"\\\n\x01\xFF\xC3\xA9 \xED\xA0\x80"),
            ",\"text\":\"\\\"\\\\\\u000a\\u0001\xEF\xBF\xBD\xC3\xA9 "
            "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
}

TEST(LogText, one_line_with_the_values_last) {
  init_logging(LogLevel::info, false);
  testing::internal::CaptureStderr();
  log_info("log_test", "it happened", "peer={}", "a");
  log_debug("log_test", "not at this level");
  EXPECT_TRUE(
      testing::internal::GetCapturedStderr().ends_with("Z info log_test: it happened peer=a\n"));
}

}  // namespace
}  // namespace ziwa
