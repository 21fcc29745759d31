#include "protocol/http/sql_request.h"

#include "base/json_depth.h"

#include <gtest/gtest.h>

namespace ziwa::protocol::http {
namespace {

TEST(SqlRequest, ReadsAStatementAndItsParameters) {
  auto sql = parse_sql_request(R"({"sql":" SELECT $1; ","parameters":["a",null,1.5,[1,{"x":2}]]})");
  ASSERT_TRUE(sql) << sql.error().to_string();
  EXPECT_EQ(sql->sql.text, "SELECT $1");
  EXPECT_EQ(sql->character_of(Error(Code::invalid_argument, "x").at(7)), 8u);
  EXPECT_EQ(sql->character_of(Error(Code::invalid_argument, "x")), std::nullopt);
  ASSERT_EQ(sql->sql.parameters.size(), 4u);
  EXPECT_EQ(sql->sql.parameters[0], "a");
  EXPECT_EQ(sql->sql.parameters[1], std::nullopt);
  EXPECT_EQ(sql->sql.parameters[2], "1.5");
  EXPECT_EQ(sql->sql.parameters[3], "[1,{\"x\":2}]");
}

TEST(SqlRequest, NumbersKeepTheirDigits) {
  auto sql = parse_sql_request(
      R"({"parameters":[123456789012345678901234567890,-12345678901234567890.12,1e40,"7",)"
      R"([18446744073709551615,{"x":0.10,"y":[]},true,null,"é\"\u0001"],-5,{}],"sql":"SELECT 1"})");
  ASSERT_TRUE(sql) << sql.error().to_string();
  using Texts = std::vector<std::optional<std::string>>;
  EXPECT_EQ(
      sql->sql.parameters,
      (Texts{"123456789012345678901234567890", "-12345678901234567890.12", "1e40", "7",
             R"([18446744073709551615,{"x":0.10,"y":[]},true,null,"é\"\u0001"])", "-5", "{}"}));
  EXPECT_EQ(sql->sql.numbers, (std::set<size_t>{0, 1, 2, 5}));
}

TEST(SqlRequest, RefusesWhatIsNoRequest) {
  for (const char* body :
       {"", "[]", "{}", "{\"sql\":1}", R"({"sql":""})", R"({"sql":"SELECT 1; SELECT 2"})",
        R"({"sql":"SELECT 1","parameters":{}})", R"({"sql":"SELECT 1","parameters":null})",
        R"({"sql":"SELECT 1","params":[]})", R"({"sql":"SELECT 1","sql":"SELECT 2"})",
        R"({"sql":"SELECT $1","parameters":[1e400]})", R"({"parameters":[]})",
        R"({"sql":["SELECT 1"]})", R"([{"sql":"SELECT 1"}])", R"({"sql":"SELECT 1"} x)"}) {
    auto sql = parse_sql_request(body);
    ASSERT_FALSE(sql) << body;
    EXPECT_EQ(sql.error().code(), Code::invalid_argument) << body;
  }
}

TEST(SqlRequest, RefusesDeepNesting) {
  auto nested = [](size_t depth) {
    return R"({"sql":"SELECT $1","parameters":[)" + std::string(depth, '[') +
           std::string(depth, ']') + "]}";
  };
  EXPECT_TRUE(parse_sql_request(nested(kJsonDepthMax - 2)));
  auto deep = parse_sql_request(nested(1'000'000));
  ASSERT_FALSE(deep);
  EXPECT_EQ(deep.error().code(), Code::invalid_argument);
  EXPECT_FALSE(parse_sql_request(nested(kJsonDepthMax - 1)));
}

}  // namespace
}  // namespace ziwa::protocol::http
