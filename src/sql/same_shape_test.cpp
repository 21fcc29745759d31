#include "sql/testing/sql_test.h"

#include <gtest/gtest.h>

namespace ziwa::sql {
namespace {

using testing::TextRows;

/// Objects with the same columns in one statement: each is read for itself.
class SameShapeTest : public testing::SqlTest {
 protected:
  SameShapeTest() : SqlTest(testing::SqlRig::Streams::real) {
    // Each holds two rows that say which it is: its number and ten times that.
    for (int number = 1; number <= 2; ++number) {
      const std::string rows_text = fmt::format("VALUES ({0}, 'x'), ({0}0, 'y')", number);
      rows(fmt::format("CREATE TOPIC topic{} (n BIGINT, t VARCHAR)", number));
      rows(fmt::format("INSERT INTO topic{} {}", number, rows_text));
      rows(fmt::format("CREATE TOPIC other.topic{} (n BIGINT, t VARCHAR)", number));
      rows(fmt::format("INSERT INTO other.topic{} VALUES ({}, 'x'), ({}0, 'y')", number, number + 4,
                       number + 4));
      rows(fmt::format("CREATE TABLE lake{} (n BIGINT, t VARCHAR)", number));
      rows(fmt::format("INSERT INTO lake{} VALUES ({}, 'x'), ({}0, 'y')", number, number + 2,
                       number + 2));
      rows(fmt::format("CREATE MATERIALIZED VIEW view{0} AS SELECT n, t FROM topic{0}", number));
    }
  }
  struct Object {
    std::string name;
    int64_t n;
  };
  const std::vector<Object> objects_ = {
      {"topic1", 1}, {"topic2", 2}, {"other.topic1", 5}, {"other.topic2", 6},
      {"lake1", 3},  {"lake2", 4},  {"view1", 1},        {"view2", 2},
  };
};

TEST_F(SameShapeTest, EveryPairInOneStatement) {
  for (const Object& a : objects_) {
    for (const Object& b : objects_) {
      SCOPED_TRACE(a.name + " and " + b.name);
      auto sum = [](const Object& one) { return std::to_string(one.n * 11); };
      auto fill = [&](const char* text) { return fmt::format(fmt::runtime(text), a.name, b.name); };
      EXPECT_EQ(rows(fill("SELECT sum(n) FROM {} UNION ALL SELECT sum(n) FROM {}")),
                (TextRows{{sum(a)}, {sum(b)}}));
      EXPECT_EQ(rows(fill("SELECT (SELECT sum(n) FROM {}), (SELECT sum(n) FROM {})")),
                (TextRows{{sum(a), sum(b)}}));
      EXPECT_EQ(
          rows(fill(
              "SELECT x.s, y.s FROM (SELECT sum(n) s FROM {}) x, (SELECT sum(n) s FROM {}) y")),
          (TextRows{{sum(a), sum(b)}}));
      EXPECT_EQ(rows(fill("SELECT count(*) FROM (SELECT n, count(*) FROM {} GROUP BY n EXCEPT "
                          "SELECT n, count(*) FROM {} GROUP BY n)")),
                (TextRows{{a.n == b.n ? "0" : "2"}}));
      EXPECT_EQ(rows(fill("SELECT count(*), count(x.n), count(y.n) FROM (SELECT n, count(*) c FROM "
                          "{} GROUP BY n) x "
                          "FULL JOIN (SELECT n, count(*) c FROM {} GROUP BY n) y ON x.n = y.n")),
                (a.n == b.n ? TextRows{{"2", "2", "2"}} : TextRows{{"4", "2", "2"}}));
    }
  }
}

TEST_F(SameShapeTest, TheSameTableUnderOtherBounds) {
  for (const Object& object : objects_) {
    SCOPED_TRACE(object.name);
    EXPECT_EQ(
        rows(fmt::format(
            "SELECT sum(n) FROM {0} WHERE n < {1} UNION ALL SELECT sum(n) FROM {0} WHERE n >= {1} "
            "UNION ALL SELECT sum(n) FROM {0} WHERE n < {1}",
            object.name, object.n + 1)),
        (TextRows{{std::to_string(object.n)},
                  {std::to_string(object.n * 10)},
                  {std::to_string(object.n)}}));
  }
}

TEST_F(SameShapeTest, PlansAreCopied) {
  for (const char* how : {"AS", "AS MATERIALIZED", "AS NOT MATERIALIZED"}) {
    for (const Object& object : objects_) {
      SCOPED_TRACE(object.name + " " + how);
      EXPECT_EQ(rows(fmt::format(
                    "WITH c {} (SELECT n + 1 AS m FROM {} WHERE n > {}) SELECT * FROM c a, c b",
                    how, object.name, object.n)),
                (TextRows{{std::to_string(object.n * 10 + 1), std::to_string(object.n * 10 + 1)}}));
    }
  }
  EXPECT_EQ(rows("WITH c AS NOT MATERIALIZED (SELECT name FROM ziwa.topics) "
                 "SELECT count(*) FROM c a, c b WHERE a.name = 'topic1' AND b.name = 'topic2'"),
            (TextRows{{"4"}}));
}

TEST_F(SameShapeTest, WhatIsStoredIsReadForItselfToo) {
  rows("CREATE TABLE stored AS SELECT sum(n) AS s FROM topic1 UNION ALL SELECT sum(n) FROM topic2");
  EXPECT_EQ(rows("SELECT s FROM stored ORDER BY s"), (TextRows{{"11"}, {"22"}}));
  rows(
      "CREATE MATERIALIZED VIEW sums AS SELECT sum(n) AS s FROM topic1 UNION ALL SELECT sum(n) "
      "FROM topic2");
  EXPECT_EQ(rows("SELECT s FROM sums ORDER BY s"), (TextRows{{"11"}, {"22"}}));
  EXPECT_EQ(error("SELECT * FROM ziwa_scan()").code(), Code::invalid_argument);
}

}  // namespace
}  // namespace ziwa::sql
