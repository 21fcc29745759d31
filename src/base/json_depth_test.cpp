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

TEST(JsonDepthTest, PiecesAreOneText) {
  const std::string text = R"([{"a\\":"]]]\"[[["},["{",{}]])";
  for (size_t depth_max : {1, 2, 3}) {
    for (size_t size = 1; size <= text.size(); ++size) {
      JsonDepthCounter counter(depth_max, JsonLines::go_on);
      bool deeper = false;
      for (size_t at = 0; at < text.size() && !deeper; at += size)
        deeper = counter.nests_deeper(std::string_view(text).substr(at, size));
      EXPECT_EQ(deeper, depth_max < 3) << "pieces of " << size;
    }
  }
}

TEST(JsonDepthTest, LinesMayBeValues) {
  const std::string broken = "[\n[\n[\n";
  EXPECT_TRUE(JsonDepthCounter(2, JsonLines::go_on).nests_deeper(broken));
  EXPECT_FALSE(JsonDepthCounter(2, JsonLines::are_values).nests_deeper(broken));
  EXPECT_TRUE(JsonDepthCounter(2, JsonLines::are_values).nests_deeper("1\n[[[\n"));
  // A string that nobody closed hides nothing of the next line.
  for (auto lines : {JsonLines::go_on, JsonLines::are_values}) {
    EXPECT_TRUE(JsonDepthCounter(2, lines).nests_deeper("\"a\n[[[\n"));
    EXPECT_TRUE(JsonDepthCounter(2, lines).nests_deeper("\"a\\\n[[[\n"));
  }
}

TEST(JsonDepthTest, TextThatIsNotJson) {
  EXPECT_FALSE(json_nests_deeper("]]]]]]", 0));
  EXPECT_TRUE(json_nests_deeper("]]][", 0));
  EXPECT_FALSE(json_nests_deeper("\"\\", 0));
  EXPECT_FALSE(json_nests_deeper("\"[[[[", 0));
}

}  // namespace
}  // namespace ziwa
