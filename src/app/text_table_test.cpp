#include "app/text_table.h"

#include "app/sql_client.h"

#include <gtest/gtest.h>

#include <clocale>

namespace ziwa::app {
namespace {

TEST(TextTable, draws_numbers_at_the_right_and_null) {
  TextTable table({{.name = "origin"}, {.name = "n", .right = true}});
  table.add({"ATL", "12345"});
  table.add({std::nullopt, "7"});
  EXPECT_EQ(table.draw(false),
            "┌────────┬───────┐\n"
            "│ origin │     n │\n"
            "├────────┼───────┤\n"
            "│ ATL    │ 12345 │\n"
            "│ NULL   │     7 │\n"
            "└────────┴───────┘\n");
}

TEST(TextTable, wide_and_control_characters) {
  std::setlocale(LC_CTYPE, "C.UTF-8");
  EXPECT_EQ(display_width("日本"), 4u);
  EXPECT_EQ(display_width("e\u0301"), 1u);
  EXPECT_EQ(display_width("\xff\xfe"), 1u);  // No UTF-8: something, and no crash.
  TextTable table({{.name = "t"}});
  table.add({"a\nb\tc"});
  EXPECT_NE(table.draw(false).find("a↵b→c"), std::string::npos);
}

TEST(Csv, quotes_what_needs_it) {
  EXPECT_EQ(csv_line({"a", "b,c", "d\"e", "", std::nullopt, "x\ny"}),
            "a,\"b,c\",\"d\"\"e\",\"\",,\"x\ny\"");
}

TEST(Json, types_keep_their_form) {
  std::vector<SqlColumn> columns = {{.name = "n", .number = true},
                                    {.name = "b", .boolean = true},
                                    {.name = "j", .json = true},
                                    {.name = "t"}};
  EXPECT_EQ(json_line(columns, {"1.5", "true", "{\"x\":1}", "a\"b"}),
            R"({"n":1.5,"b":true,"j":{"x":1},"t":"a\"b"})");
  EXPECT_EQ(json_line(columns, {"NaN", "false", std::nullopt, std::nullopt}),
            R"({"n":"NaN","b":false,"j":null,"t":null})");
}

TEST(Json, ListsAreArrays) {
  std::vector<SqlColumn> columns = {{.name = "n", .number = true, .list = true},
                                    {.name = "b", .boolean = true, .list = true},
                                    {.name = "j", .json = true, .list = true},
                                    {.name = "t", .list = true}};
  EXPECT_EQ(json_line(columns, {"{1.5,NULL,NaN}", "{t,NULL,f}", R"({"{\"x\":[1,2]}",3})",
                                R"({"NULL",NULL,"",a,"b,}","c\"\\d",null})"}),
            R"({"n":[1.5,null,"NaN"],"b":[true,null,false],"j":[{"x":[1,2]},3],)"
            R"("t":["NULL",null,"","a","b,}","c\"\\d","null"]})");
  EXPECT_EQ(json_line(columns, {"{}", "{}", std::nullopt, "{\"\"}"}),
            R"({"n":[],"b":[],"j":null,"t":[""]})");
}

TEST(SqlPrompt, knows_when_a_statement_ends) {
  for (auto* text : {"SELECT 1;", "SELECT ';' ;", "a; b;\n", "SELECT 1; -- done", "", "  \n",
                     "SELECT $$ ; $$;", "SELECT $q$ a;b $q$;", "/* ; */ SELECT 1;",
                     "SELECT 'it''s';", "SELECT 1 /* a /* b */ ; */;", R"(SELECT E'\'';)"}) {
    EXPECT_TRUE(statement_complete(text)) << text;
  }
  for (auto* text :
       {"SELECT 1", "SELECT ';'", "SELECT ';", "a; b", "/* ;", "SELECT $$ ;", "SELECT \"a;",
        "SELECT 1 -- ;", "SELECT 1 /* a /* b */ ;", R"(SELECT E'\';)"}) {
    EXPECT_FALSE(statement_complete(text)) << text;
  }
}

TEST(SqlPrompt, points_at_the_error) {
  Error error = Error(Code::invalid_argument, "no column").with_hint("try b").at(15);
  EXPECT_EQ(pointed_error(error, "SELECT 1,\n  é, xx FROM t"),
            "no column\n    é, xx FROM t\n       ^\nhint: try b\n");
}

TEST(Numbers, have_separators) {
  EXPECT_EQ(with_separators(0), "0");
  EXPECT_EQ(with_separators(999), "999");
  EXPECT_EQ(with_separators(3'000'000), "3,000,000");
}

}  // namespace
}  // namespace ziwa::app
