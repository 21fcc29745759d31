#include "duck/json_guard.h"

#include "base/file.h"
#include "duck/instance.h"

#include <gtest/gtest.h>

#include <string>

namespace ziwa::duck {
namespace {

class JsonGuardTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto opened = Instance::open(posix_file_system(), {.temp_directory = ""});
    ASSERT_TRUE(opened) << opened.error().to_string();
    instance_ = std::move(*opened);
  }
  /// The one value, or the error.
  std::string ask(const std::string& sql) {
    auto connection = instance_->connect();
    auto result = connection->Query("SELECT " + sql);
    return result->HasError() ? result->GetError() : result->GetValue(0, 0).ToString();
  }
  static std::string nested(size_t depth, const std::string& open, const std::string& close) {
    const std::string count = std::to_string(depth);
    return "(repeat('" + open + "', " + count + ") || '1' || repeat('" + close + "', " + count +
           "))";
  }

  std::unique_ptr<Instance> instance_;
};

TEST_F(JsonGuardTest, TextThatNestsDeeplyIsAnErrorEverywhere) {
  for (const auto& j : {nested(1'000'000, "[", "]"), nested(1'000'000, "{\"a\":", "}")}) {
    for (const std::string& call :
         std::vector<std::string>{"json_contains(J, '1')",
                                  "json_contains('1', J)",
                                  "json_structure(J)",
                                  "json_structure(J::JSON)",
                                  "json_merge_patch(J, J)",
                                  "json_merge_patch('{}', J)",
                                  "json_transform(J, '\"VARCHAR\"')",
                                  "json_transform('1', J)",
                                  "json_transform_strict('1', J)",
                                  "from_json('1', J)",
                                  "from_json_strict('1', J)",
                                  "json_pretty(J)",
                                  "json_extract(J, '$..a')",
                                  "J::JSON->>'$..a'",
                                  "J::JSON->'$..a'",
                                  "json_exists(J, '$..a')",
                                  "json_group_structure(J::JSON)",
                                  "J::JSON::VARIANT",
                                  "variant_typeof(J::JSON::VARIANT)",

                                  "(SELECT count(*) FROM json_tree(J))",
                                  "(SELECT count(*) FROM (SELECT J AS j) t, json_tree(t.j))"}) {
      std::string filled;
      for (size_t i = 0; i < call.size(); ++i) {
        const bool here = call[i] == 'J' && call.compare(i, 4, "JSON") != 0;
        filled += here ? j : std::string(1, call[i]);
      }
      EXPECT_NE(ask(filled).find("nests deeper than 1000 levels"), std::string::npos) << call;
    }
  }
}

TEST_F(JsonGuardTest, OneDeepRowAmongOthersIsFound) {
  EXPECT_NE(ask("count(json_contains(j, '1')) FROM (SELECT CASE WHEN i = 4000 THEN " +
                nested(500'000, "[", "]") + " ELSE '[1]' END AS j FROM range(5000) t(i))")
                .find("nests deeper"),
            std::string::npos);
}

TEST_F(JsonGuardTest, WhatIsNotDeepWorksAsBefore) {
  EXPECT_EQ(ask("json_contains('[1,[2]]', '2')"), "true");
  EXPECT_EQ(ask("json_contains(" + nested(1'000, "[", "]") + ", '1')"), "true");
  EXPECT_EQ(ask("json_contains(NULL, '1')"), "NULL");
  EXPECT_EQ(ask("json_structure('{\"a\":[1]}')"), R"({"a":["UBIGINT"]})");
  EXPECT_EQ(ask("json_transform('{\"a\":1}', '{\"a\":\"INT\"}')"), "{'a': 1}");
  EXPECT_EQ(ask("'{\"a\":[1,2]}'::JSON->>'$.a[1]'"), "2");
  EXPECT_EQ(ask("'[[[[' || repeat('[', 5000) LIKE '[%'"), "true");
  EXPECT_EQ(ask("'{\"a\":[1]}'::JSON::VARIANT::VARCHAR"), "{'a': [1]}");
  EXPECT_EQ(ask("[1, 2]::VARIANT::VARCHAR"), "[1, 2]");
  EXPECT_EQ(ask("{'a': 1}::VARIANT::VARCHAR"), "{'a': 1}");
  EXPECT_EQ(ask("(SELECT count(*) FROM json_tree('{\"a\":[1,2]}'))"), "4");
  EXPECT_EQ(ask("json_valid(" + nested(100'000, "[", "]") + ")"), "true");
}

TEST_F(JsonGuardTest, JsonInsideOtherTypesGoesToVariantByItself) {
  for (const char* value : {"['1'::JSON]", "{'a': '1'::JSON}", "MAP {'a': '1'::JSON}",
                            "array_value('1'::JSON)", "[{'a': ['1'::JSON]}]"}) {
    EXPECT_NE(ask(std::string(value) + "::VARIANT").find("cast the JSON inside"), std::string::npos)
        << value;
  }
}

}  // namespace
}  // namespace ziwa::duck
