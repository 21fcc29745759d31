#include "data/schema.h"

#include <gtest/gtest.h>

namespace ziwa::data {
namespace {

TEST(Schema, FindsWithoutRegardToCase) {
  Schema schema{{{1, "Origin", "VARCHAR"}, {2, "delay", "INTEGER"}}};
  EXPECT_EQ(schema.find("origin"), 0u);
  EXPECT_EQ(schema.find("DELAY"), 1u);
  EXPECT_EQ(schema.find("dela"), std::nullopt);
  EXPECT_EQ(schema.find(""), std::nullopt);
}

}  // namespace
}  // namespace ziwa::data
