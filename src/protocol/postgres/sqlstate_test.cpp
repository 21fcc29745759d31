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

TEST(SqlStateTest, TheCauseMakesThemPreciseAndTheMessageNever) {
  EXPECT_EQ(sqlstate_of(Error(Code::exhausted, "x").because(Cause::disk_full)), "53100");
  EXPECT_EQ(sqlstate_of(Error(Code::invalid_argument, "x").because(Cause::undefined_column)),
            "42703");
  EXPECT_EQ(sqlstate_of(Error(Code::invalid_argument, "syntax error at or near \"x\"")), "42000");
  EXPECT_EQ(sqlstate_of(Error(Code::exhausted, "x: No space left on device")), "53000");
}

TEST(SqlStateTest, EveryCauseComesBack) {
  for (Cause cause : {Cause::syntax_error, Cause::undefined_column, Cause::in_failed_transaction,
                      Cause::view_failed, Cause::disk_full}) {
    EXPECT_EQ(cause_of_sqlstate(sqlstate_of(cause)), cause) << cause_name(cause);
  }
  EXPECT_EQ(cause_of_sqlstate("42000"), std::nullopt);
  EXPECT_EQ(cause_of_sqlstate("ZZ000"), std::nullopt);
}

TEST(SqlStateTest, StatesOfOtherServersGoByTheirClass) {
  EXPECT_EQ(code_of_sqlstate("22007"), Code::invalid_argument);
  EXPECT_EQ(code_of_sqlstate("08006"), Code::unavailable);
  EXPECT_EQ(code_of_sqlstate("53400"), Code::exhausted);
  EXPECT_EQ(code_of_sqlstate("ZZ000"), Code::internal);
}

}  // namespace
}  // namespace ziwa::protocol::postgres
