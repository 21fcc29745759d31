#include "base/json_depth.h"

#include <gtest/gtest.h>

#include <string>

namespace ziwa {
namespace {

std::string nested(size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); }

TEST(JsonDepthTest, CountsWhatIsOpenAtOnce) {
  EXPECT_FALSE(json_nests_deeper("", 0));
  EXPECT_FALSE(json_nests_deeper("12", 0));
  EXPECT_TRUE(json_nests_deeper("[]", 0));
  EXPECT_FALSE(json_nests_deeper(nested(64)));
  EXPECT_TRUE(json_nests_deeper(nested(65)));
  EXPECT_TRUE(json_nests_deeper(nested(1'000'000)));
  EXPECT_FALSE(json_nests_deeper(R"([{"a":[]},{"b":[]},[],[]])", 3));
  EXPECT_TRUE(json_nests_deeper(R"([{"a":[]},{"b":[]},[],[]])", 2));
}

TEST(JsonDepthTest, BracketsInStringsAreText) {
  EXPECT_FALSE(json_nests_deeper(R"(["[[[[{{{{"])", 1));
  EXPECT_FALSE(json_nests_deeper(R"(["\"[[[[","\\"])", 1));
  EXPECT_TRUE(json_nests_deeper(R"(["\\",[[]]])", 2));
}

TEST(JsonDepthTest, TextThatIsNotJson) {
  EXPECT_FALSE(json_nests_deeper("]]]]]]", 0));
  EXPECT_TRUE(json_nests_deeper("]]][", 0));
  EXPECT_FALSE(json_nests_deeper("\"\\", 0));
  EXPECT_FALSE(json_nests_deeper("\"[[[[", 0));
}

}  // namespace
}  // namespace ziwa
