#include "protocol/postgres/savepoints.h"

#include <gtest/gtest.h>

namespace ziwa::protocol::postgres {
namespace {

TEST(SavepointsTest, StatementsThatAreTheirs) {
  EXPECT_EQ(Savepoints::command_of("SAVEPOINT \"_pg3_1\""), "SAVEPOINT");
  EXPECT_EQ(Savepoints::command_of("/* x */ release SAVEPOINT s"), "RELEASE");
  EXPECT_EQ(Savepoints::command_of("RELEASE s"), "RELEASE");
  for (const char* other : {"ROLLBACK TO SAVEPOINT s", "SAVEPOINT", "SAVEPOINT a b", "RELEASE a b",
                            "RELEASE SAVEPOINT a b", "SELECT 1", ""}) {
    EXPECT_FALSE(Savepoints::command_of(other)) << other;
  }
}

TEST(SavepointsTest, OnlyWhatWasSetIsReleased) {
  Savepoints savepoints;
  auto run = [&](std::string_view statement) {
    auto done = savepoints.apply(statement, true);
    EXPECT_TRUE(done || done.error().cause() == Cause::undefined_savepoint) << statement;
    return done.has_value();
  };
  EXPECT_FALSE(run("RELEASE a"));
  for (const char* name : {"a", "b", "b", "c", "A", "\"A\""}) {
    EXPECT_TRUE(run(std::string("SAVEPOINT ") + name));
  }
  EXPECT_TRUE(run("RELEASE \"A\""));
  EXPECT_TRUE(run("RELEASE a")) << "the last one of that name";
  EXPECT_TRUE(run("RELEASE b"));
  EXPECT_FALSE(run("RELEASE c")) << "it went with the second b";
  EXPECT_TRUE(run("RELEASE SAVEPOINT b"));
  EXPECT_FALSE(run("RELEASE b"));
  EXPECT_TRUE(run("RELEASE a"));
  EXPECT_FALSE(run("RELEASE a"));
}

TEST(SavepointsTest, OutsideOfATransactionThereAreNone) {
  Savepoints savepoints;
  ASSERT_TRUE(savepoints.apply("SAVEPOINT a", true));
  for (const char* statement : {"SAVEPOINT a", "RELEASE a"}) {
    EXPECT_EQ(savepoints.apply(statement, false).error().cause(), Cause::no_transaction);
  }
  EXPECT_FALSE(savepoints.apply("RELEASE a", true)) << "it was of an earlier transaction";
}

TEST(SavepointsTest, TheirNamesAreLimited) {
  Savepoints savepoints;
  for (int i = 0; i < 100'000; ++i) ASSERT_TRUE(savepoints.apply("SAVEPOINT autosave", true));
  Status last;
  size_t set = 0;
  for (; last && set < Savepoints::kBytesMax; ++set) {
    last = savepoints.apply("SAVEPOINT s" + std::to_string(set), true);
  }
  ASSERT_FALSE(last);
  EXPECT_EQ(last.error().code(), Code::exhausted);
  EXPECT_LE(set, Savepoints::kBytesMax / Savepoints::kEntryBytes);
  EXPECT_TRUE(savepoints.apply("RELEASE autosave", true));
  EXPECT_TRUE(savepoints.apply("SAVEPOINT s", true)) << "what was released has room again";
}

}  // namespace
}  // namespace ziwa::protocol::postgres
