#include "protocol/listen/byte_budget.h"

#include <gtest/gtest.h>

#include <optional>

namespace ziwa::protocol {
namespace {

TEST(ByteBudgetTest, SharesAreGivenBack) {
  ByteBudget budget(100);
  {
    ByteShare first(budget);
    ByteShare second(budget);
    EXPECT_TRUE(first.resize(60));
    EXPECT_FALSE(second.resize(41));
    EXPECT_EQ(second.bytes(), 0u);
    EXPECT_TRUE(second.resize(40));
    EXPECT_TRUE(first.resize(10));
    ByteShare moved(std::move(first));
    EXPECT_EQ(budget.used(), 50u);
  }
  EXPECT_EQ(budget.used(), 0u);
}

TEST(ByteBudgetTest, APartStaysWithinTheWhole) {
  ByteBudget all(100);
  ByteBudget one(80, &all);
  ByteBudget other(80, &all);
  ByteShare a(one);
  ByteShare b(other);
  EXPECT_FALSE(a.resize(81));
  EXPECT_TRUE(a.resize(80));
  EXPECT_FALSE(b.resize(21));
  EXPECT_EQ(other.used(), 0u) << "what was refused above is not held below";
  EXPECT_TRUE(b.resize(20));
  EXPECT_TRUE(a.resize(0));
  EXPECT_EQ(all.used(), 20u);
}

TEST(ByteBudgetTest, TheFloorOfAPartIsNeverRefused) {
  ByteBudget all(100);
  ByteBudget greedy(200, &all, 10);
  ByteBudget other(200, &all, 10);
  ByteShare a(greedy);
  ByteShare b(other);
  EXPECT_FALSE(a.resize(111));
  EXPECT_TRUE(a.resize(110));
  EXPECT_EQ(all.used(), 100u);
  EXPECT_TRUE(b.resize(10)) << "its own";
  EXPECT_FALSE(b.resize(11));
  EXPECT_TRUE(a.resize(50));
  EXPECT_EQ(all.used(), 40u);
  EXPECT_TRUE(b.resize(70));
  EXPECT_TRUE(b.resize(5));
  EXPECT_TRUE(a.resize(0));
  EXPECT_EQ(all.used(), 0u);
}

}  // namespace
}  // namespace ziwa::protocol
