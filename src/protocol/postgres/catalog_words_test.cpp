#include "protocol/postgres/catalog_words.h"

#include <gtest/gtest.h>

namespace ziwa::protocol::postgres {
namespace {

/// Without the blanks that stand for what was cut.
std::string plain(std::string_view statement) {
  std::string out;
  for (char c : plain_catalog_words(statement).text) {
    if (c != ' ' || (!out.empty() && out.back() != ' ')) out.push_back(c);
  }
  while (out.ends_with(' ')) out.pop_back();
  return out;
}

TEST(CatalogWordsTest, LeavesOtherStatementsAlone) {
  for (const char* sql :
       {"SELECT a ~ 'b' COLLATE \"default\" FROM t", "SELECT 'pg", "", "pg_class",
        // The letters in literals, names and comments.
        "SELECT 'abcd' ~ 'b', 'pg_'", "SELECT 'xbx' ~ 'a|b' AS pg_x", "SELECT a ~ 'pg_dump' FROM t",
        "SELECT a ~ 'b' FROM t -- FROM pg_class", "SELECT a ~ 'b' /* ::regclass */ FROM t",
        "SELECT a ~ 'b', $$FROM pg_class$$ FROM t", "SELECT a ~ 'b', E'\\'FROM pg_class' FROM t",
        "SELECT a ~ 'b' AS \"pg_catalog\" FROM t", "SELECT a ~ 'b', pg_type FROM t",
        "SELECT a ~ 'b' FROM s.pg_class", "SELECT a ~ 'b' FROM pg_mine", "SELECT ~ 'pg_'",
        // What is stored or written.
        "CREATE MATERIALIZED VIEW m AS SELECT c ~ 'b' FROM pg_class",
        "INSERT INTO t SELECT c ~ 'b' FROM pg_class", "CREATE TABLE t AS SELECT 'x'::regclass",
        "WITH x AS (SELECT 1) INSERT INTO t SELECT c ~ 'b' FROM pg_class"}) {
    EXPECT_EQ(plain_catalog_words(sql).text, sql);
  }
  EXPECT_EQ(plain("SELECT 'pg_catalog.x::regclass', \"pg_catalog\".\"t\""),
            "SELECT 'pg_catalog.x::regclass', \"pg_catalog\".\"t\"");
  EXPECT_EQ(plain("SELECT a ~ 'b', 't'::regclass FROM t"), "SELECT a ~ 'b', regclass('t') FROM t")
      << "a plain ~ keeps its meaning beside other words of Postgres";
}

TEST(CatalogWordsTest, OperatorsLoseTheirDress) {
  EXPECT_EQ(plain("SELECT 1 WHERE c.relname OPERATOR(pg_catalog.~) '^(t)$' COLLATE "
                  "pg_catalog.default AND x"),
            "SELECT 1 WHERE c.relname ~ '(?s:.*)(?:^(t)$)(?s:.*)' AND x");
}

TEST(CatalogWordsTest, FunctionsAndTypesLoseTheSchemaTablesKeepIt) {
  EXPECT_EQ(plain("SELECT pg_catalog.version(), a::pg_catalog.text FROM pg_catalog.pg_class"),
            "SELECT version(), a:: text FROM pg_catalog.pg_class");
  EXPECT_EQ(plain("SELECT CAST('1' AS pg_catalog.int4)"), "SELECT CAST('1' AS int4)");
}

TEST(CatalogWordsTest, CastsToNamesAreCalls) {
  EXPECT_EQ(plain("SELECT 1 WHERE oid = 'public.t'::regclass"),
            "SELECT 1 WHERE oid = regclass('public.t')");
  EXPECT_EQ(plain("SELECT 1 WHERE oid = $1::pg_catalog.regclass"),
            "SELECT 1 WHERE oid = regclass($1)");
  EXPECT_EQ(plain("SELECT c.oid::pg_catalog.regclass::pg_catalog.text"),
            "SELECT regname(c.oid) :: text");
  EXPECT_EQ(plain("SELECT oid::regtype::text AS regtype FROM pg_type"),
            "SELECT typname(oid)::text AS regtype FROM pg_type");
  EXPECT_EQ(plain("SELECT f(x)::regclass"), "SELECT f(x)::text");
}

TEST(CatalogWordsTest, PatternsFindAPart) {
  const std::string head = "SELECT 1 FROM pg_class WHERE ";
  EXPECT_EQ(plain(head + "n !~ '^pg_' AND m ~ 'a|b' AND o ~~ 'y'"),
            head + "n !~ '(?s:.*)(?:^pg_)(?s:.*)' AND m ~ '(?s:.*)(?:a|b)(?s:.*)' AND o ~~ 'y'");
  EXPECT_EQ(plain(head + "n ~ E'\\'x'"), head + "n ~ E'(?s:.*)(?:\\'x)(?s:.*)'");
  EXPECT_EQ(plain(head + "n ~ $a$x$a$ AND n ~ $$y$$"),
            head + "n ~ $a$(?s:.*)(?:x)(?s:.*)$a$ AND n ~ $$(?s:.*)(?:y)(?s:.*)$$");
  EXPECT_EQ(plain(head + "n ~ $1"), head + "n ~ ('(?s:.*)(?:' || $1 || ')(?s:.*)')");
  EXPECT_EQ(plain(head + "n ~ m"), head + "n ~ m");
  for (const char* from : {"pg_catalog.pg_any", "t, pg_catalog.pg_class c", "\"pg_catalog\".\"x\"",
                           "t JOIN PG_CLASS c ON true", "(SELECT * FROM pg_type)"}) {
    EXPECT_NE(plain(std::string("SELECT 'x' ~ 'y' FROM ") + from).find("(?:y)"), std::string::npos)
        << from;
  }
}

TEST(CatalogWordsTest, SeriesHaveAColumnOfTheirName) {
  EXPECT_EQ(plain("SELECT 1 FROM pg_catalog.generate_series(0, f(1)) s, pg_catalog.pg_class WHERE "
                  "a[s] = 1"),
            "SELECT 1 FROM generate_series(0, f(1)) s(s), pg_catalog.pg_class WHERE a[s] = 1");
}

TEST(CatalogWordsTest, PositionsLeadBackToTheStatement) {
  std::string_view sql = "SELECT pg_catalog.f(a.oid::pg_catalog.regclass), nowhere";
  EXPECT_EQ(plain_catalog_words(sql).text.find("nowhere"), sql.find("nowhere"));
  sql = "SELECT 1 FROM pg_class WHERE n ~ 'x' AND m ~ $1 AND nowhere";
  auto plain = plain_catalog_words(sql);
  EXPECT_EQ(plain.original(plain.text.find("nowhere")), sql.find("nowhere"));
  EXPECT_EQ(plain.original(plain.text.find("pg_class")), sql.find("pg_class"));
  EXPECT_EQ(plain.original(plain.text.find("m ~")), sql.find("m ~"));
}

}  // namespace
}  // namespace ziwa::protocol::postgres
