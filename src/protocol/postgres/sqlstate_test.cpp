#include "protocol/postgres/sqlstate.h"

#include <gtest/gtest.h>

#include <set>

namespace ziwa::protocol::postgres {
namespace {

TEST(SqlStateTest, EveryCodeHasOneAndComesBack) {
  for (int i = 0; i <= static_cast<int>(Code::internal); ++i) {
    Code code = static_cast<Code>(i);
    EXPECT_EQ(code_of_sqlstate(sqlstate_of(code)), code) << code_name(code);
  }
}

TEST(SqlStateTest, EveryLineComesBack) {
  std::set<std::string_view> states;
  for (const SqlState& line : sqlstates()) {
    EXPECT_EQ(line.sqlstate.size(), 5u);
    EXPECT_TRUE(states.insert(line.sqlstate).second) << line.sqlstate;
    EXPECT_EQ(code_of_sqlstate(line.sqlstate), line.code) << line.sqlstate;
  }
}

TEST(SqlStateTest, MessagesMakeThemPreciseWithinTheCode) {
  auto state = [](Code code, std::string_view message) {
    Error error(code, "{}", message);
    std::string_view found = sqlstate_of(error);
    EXPECT_EQ(code_of_sqlstate(found), code) << message;
    return found;
  };
  EXPECT_EQ(state(Code::invalid_argument, "syntax error at or near \"x\""), "42601");
  EXPECT_EQ(state(Code::invalid_argument, "expected ON, found x"), "42601");
  EXPECT_EQ(state(Code::invalid_argument, "Values were not provided for 1"), "42P02");
  EXPECT_EQ(state(Code::exhausted, "x: No space left on device"), "53100");
  EXPECT_EQ(state(Code::exhausted, "failed to allocate data of size 1"), "53200");
  EXPECT_EQ(state(Code::exhausted, "a limit"), "53000");
  // Another code's words say nothing.
  EXPECT_EQ(state(Code::io, "syntax error"), "58030");
}

TEST(SqlStateTest, StatesOfOtherServersGoByTheirClass) {
  EXPECT_EQ(code_of_sqlstate("22007"), Code::invalid_argument);
  EXPECT_EQ(code_of_sqlstate("08006"), Code::unavailable);
  EXPECT_EQ(code_of_sqlstate("53400"), Code::exhausted);
  EXPECT_EQ(code_of_sqlstate("ZZ000"), Code::internal);
}

}  // namespace
}  // namespace ziwa::protocol::postgres
