#include "sql/references.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ziwa::sql {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

std::vector<std::string> names(std::string_view query) {
  auto found = referenced_names(query);
  EXPECT_TRUE(found) << query << ": " << (found ? "" : found.error().to_string());
  std::vector<std::string> out;
  if (!found) return out;
  for (const auto& name : *found)
    out.push_back(name.schema.empty() ? name.name : name.schema + "." + name.name);
  return out;
}

TEST(References, AreFoundWhereverTheyStand) {
  EXPECT_THAT(names("SELECT 1"), IsEmpty());
  EXPECT_THAT(names("SELECT a FROM t"), ElementsAre("t"));
  EXPECT_THAT(names("SELECT * FROM s.t, db.s.u JOIN \"V w\" ON true"),
              UnorderedElementsAre("s.t", "s.u", "V w"));
  EXPECT_THAT(names("SELECT * FROM db.t"), ElementsAre("t"));
  EXPECT_THAT(names("SELECT (SELECT max(x) FROM a) FROM b WHERE x IN (SELECT y FROM c) AND EXISTS "
                    "(SELECT 1 FROM d WHERE d.x = b.x) ORDER BY (SELECT min(x) FROM e)"),
              UnorderedElementsAre("a", "b", "c", "d", "e"));
  EXPECT_THAT(names("SELECT * FROM a UNION ALL SELECT * FROM (SELECT * FROM b) EXCEPT FROM c"),
              UnorderedElementsAre("a", "b", "c"));
  EXPECT_THAT(names("SELECT * FROM tumble(clicks, ts, INTERVAL 1 MINUTE)"), ElementsAre("clicks"));
  EXPECT_THAT(names("SELECT * FROM read_csv('x.csv'), 'y.csv'"), ElementsAre("y.csv"));
  EXPECT_THAT(names("SELECT count(*) FILTER (WHERE x > (SELECT 1 FROM g)) FROM h GROUP BY x HAVING "
                    "count(*) > (SELECT 2 FROM i)"),
              UnorderedElementsAre("g", "h", "i"));
}

TEST(References, WithClausesHideNames) {
  EXPECT_THAT(names("WITH a AS (SELECT * FROM t) SELECT * FROM a"), ElementsAre("t"));
  EXPECT_THAT(names("WITH t AS (SELECT * FROM t) SELECT * FROM T"), ElementsAre("t"));
  EXPECT_THAT(names("WITH a AS (SELECT * FROM t), b AS (FROM a) SELECT * FROM b, s.a"),
              UnorderedElementsAre("t", "s.a"));
  EXPECT_THAT(names("WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r, u) FROM r"),
              ElementsAre("u"));
  EXPECT_THAT(names("SELECT * FROM (WITH a AS (FROM t) FROM a), a"),
              UnorderedElementsAre("t", "a"));
}

TEST(References, WhatHidesWhatItReadsIsRefused) {
  EXPECT_EQ(referenced_names("SELECT * FROM query_table('t')").error().code(), Code::unsupported);
  EXPECT_EQ(referenced_names("SELECT * FROM query('FROM t')").error().code(), Code::unsupported);
  EXPECT_EQ(referenced_names("SELEC").error().code(), Code::invalid_argument);
}

}  // namespace
}  // namespace ziwa::sql
