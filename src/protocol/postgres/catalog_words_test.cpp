#include "protocol/postgres/catalog_words.h"

#include <gtest/gtest.h>

namespace ziwa::protocol::postgres {
namespace {

/// Without the blanks that stand for what was cut.
std::string plain(std::string_view statement) {
  std::string out;
  for (char c : plain_catalog_words(statement)) {
    if (c != ' ' || (!out.empty() && out.back() != ' ')) out.push_back(c);
  }
  while (out.ends_with(' ')) out.pop_back();
  return out;
}

TEST(CatalogWordsTest, LeavesOtherStatementsAlone) {
  for (const char* sql : {"SELECT a ~ 'b' COLLATE \"default\" FROM t", "SELECT 'pg", ""}) {
    EXPECT_EQ(plain_catalog_words(sql), sql);
  }
  EXPECT_EQ(plain("SELECT 'pg_catalog.x::regclass', \"pg_catalog\".\"t\""),
            "SELECT 'pg_catalog.x::regclass', \"pg_catalog\".\"t\"");
}

TEST(CatalogWordsTest, OperatorsLoseTheirDress) {
  EXPECT_EQ(
      plain("WHERE c.relname OPERATOR(pg_catalog.~) '^(t)$' COLLATE pg_catalog.default AND x"),
      "WHERE c.relname ~ '^(t)$' AND x");
}

TEST(CatalogWordsTest, FunctionsAndTypesLoseTheSchemaTablesKeepIt) {
  EXPECT_EQ(plain("SELECT pg_catalog.version(), a::pg_catalog.text FROM pg_catalog.pg_class"),
            "SELECT version(), a:: text FROM pg_catalog.pg_class");
  EXPECT_EQ(plain("SELECT CAST('1' AS pg_catalog.int4)"), "SELECT CAST('1' AS int4)");
}

TEST(CatalogWordsTest, CastsToNamesAreCalls) {
  EXPECT_EQ(plain("WHERE oid = 'public.t'::regclass"), "WHERE oid = regclass('public.t')");
  EXPECT_EQ(plain("WHERE oid = $1::pg_catalog.regclass"), "WHERE oid = regclass($1)");
  EXPECT_EQ(plain("SELECT c.oid::pg_catalog.regclass::pg_catalog.text"),
            "SELECT regname(c.oid) :: text");
  EXPECT_EQ(plain("SELECT oid::regtype::text AS regtype FROM pg_type"),
            "SELECT typname(oid)::text AS regtype FROM pg_type");
  EXPECT_EQ(plain("SELECT f(x)::regclass"), "SELECT f(x)::text");
}

TEST(CatalogWordsTest, PatternsFindAPart) {
  EXPECT_EQ(plain("FROM pg_class WHERE n !~ '^pg_' AND m ~ 'x$' AND o ~~ 'y'"),
            "FROM pg_class WHERE n !~ '^pg_.*' AND m ~ '.*x$' AND o ~~ 'y'");
}

TEST(CatalogWordsTest, SeriesHaveAColumnOfTheirName) {
  EXPECT_EQ(plain("FROM pg_catalog.generate_series(0, f(1)) s, pg_class WHERE a[s] ~ '^b'"),
            "FROM generate_series(0, f(1)) s(s), pg_class WHERE a[s] ~ '^b.*'");
}

TEST(CatalogWordsTest, PositionsStayUpToThePattern) {
  std::string_view sql = "SELECT pg_catalog.f(a.oid::pg_catalog.regclass), nowhere";
  EXPECT_EQ(plain_catalog_words(sql).find("nowhere"), sql.find("nowhere"));
}

}  // namespace
}  // namespace ziwa::protocol::postgres
