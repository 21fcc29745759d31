#include "sql/testing/sql_test.h"

#include <gmock/gmock.h>

// Joins of streams as people write them: which rows they let go of, and which ones are late.
namespace ziwa::sql {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing::TextRows;

class TimeJoins : public testing::SqlTest {
 protected:
  TimeJoins() : SqlTest(testing::SqlRig::Streams::real) {
    rows(
        "CREATE TOPIC orders (id INT, ts TIMESTAMP, until TIMESTAMP, WATERMARK FOR ts AS ts - "
        "INTERVAL 10 SECOND)");
    rows(
        "CREATE TOPIC payments (id INT, paid TIMESTAMP, sum INT, WATERMARK FOR paid AS paid - "
        "INTERVAL 5 SECOND)");
    rows("CREATE TOPIC untimed (id INT, ts TIMESTAMP)");
  }
  std::string explain(const std::string& query) {
    std::string text;
    for (const auto& row : rows("EXPLAIN STREAM " + query)) text += row[0] + "\n";
    return text;
  }
  void order(int id, int second) {
    append("orders",
           {fmt::format(R"({{"id": {}, "ts": "2001-01-01T00:{:02}:{:02}", "until": null}})", id,
                        second / 60, second % 60)});
  }
  void payment(int id, int second) {
    append("payments",
           {fmt::format(R"({{"id": {}, "paid": "2001-01-01T00:{:02}:{:02}", "sum": 1}})", id,
                        second / 60, second % 60)});
  }
};

TEST_F(TimeJoins, WhatBoundsTheTimeOfAMatch) {
  for (const char* condition : {
           "paid BETWEEN ts AND ts + INTERVAL 1 HOUR",
           "ts <= paid AND paid < ts + INTERVAL 1 DAY",
           "paid - INTERVAL '5 minutes' < ts AND INTERVAL 1 HOUR + paid > ts",
           "ts BETWEEN paid - INTERVAL 1 HOUR AND paid",
           "paid >= ts AND paid <= until",
           "paid BETWEEN ts AND ts + INTERVAL 1 MONTH",
       }) {
    auto text = explain(fmt::format(
        "SELECT o.id, sum FROM orders o JOIN payments p ON o.id = p.id AND {}", condition));
    EXPECT_THAT(text, Not(HasSubstr("warning"))) << condition;
    EXPECT_THAT(text, HasSubstr("on time by")) << condition;
    text = explain(fmt::format(
        "SELECT o.id, sum FROM orders o, payments p WHERE o.id = p.id AND {} AND sum > 0",
        condition));
    EXPECT_THAT(text, Not(HasSubstr("warning"))) << condition;
  }
  // As many windows as there are.
  EXPECT_THAT(explain("SELECT a.id, a.window_end FROM tumble(orders, ts, INTERVAL 1 MINUTE) a LEFT "
                      "JOIN tumble(payments, paid, INTERVAL 1 MINUTE) b ON a.id = b.id AND "
                      "a.window_start = b.window_start AND a.window_end = b.window_end"),
              Not(HasSubstr("warning")));
  EXPECT_THAT(explain("SELECT p.id, p.sum FROM payments p JOIN (SELECT max(sum) AS top, window_end "
                      "FROM tumble(payments, paid, INTERVAL 1 MINUTE) GROUP BY ALL) m ON sum = top "
                      "AND p.paid BETWEEN window_end - INTERVAL 1 MINUTE AND window_end"),
              Not(HasSubstr("warning")));
  EXPECT_THAT(explain("SELECT o.id, count(*) FROM orders o JOIN payments p ON o.id = p.id AND paid "
                      "BETWEEN ts AND ts + INTERVAL 1 HOUR JOIN payments q ON q.id = o.id AND "
                      "q.paid BETWEEN p.paid AND p.paid + INTERVAL 1 HOUR GROUP BY o.id"),
              Not(HasSubstr("warning: join")));
}

TEST_F(TimeJoins, AsOf) {
  const std::string query =
      "SELECT p.id, p.sum, o.until FROM payments p ASOF LEFT JOIN orders o ON p.id = o.id AND "
      "p.paid "
      ">= o.ts";
  EXPECT_THAT(explain(query), Not(HasSubstr("warning")));
  EXPECT_THAT(explain("SELECT p.id, u.ts FROM payments p ASOF JOIN untimed u ON p.id = u.id AND "
                      "p.paid >= u.ts"),
              HasSubstr("keeps every row of both sides"));
  EXPECT_THAT(explain("SELECT p.id, o.ts FROM payments p ASOF JOIN orders o ON p.id = o.id AND "
                      "p.paid <= o.ts"),
              HasSubstr("keeps every row of both sides"));
  EXPECT_THAT(
      error("CREATE MATERIALIZED VIEW x AS SELECT p.id FROM payments p ASOF RIGHT JOIN orders "
            "o ON p.id = o.id AND p.paid >= o.ts")
          .to_string(),
      HasSubstr("ASOF JOIN and ASOF LEFT JOIN are kept"));
  rows(
      "CREATE MATERIALIZED VIEW v AS SELECT p.paid, o.ts FROM payments p ASOF LEFT JOIN orders o "
      "ON "
      "p.id = o.id AND p.paid >= o.ts");
  payment(1, 20);
  order(1, 10);
  payment(1, 30);
  order(1, 18);  // Late enough to change one, and early enough to count.
  order(1, 25);
  EXPECT_EQ(rows("SELECT * FROM v ORDER BY ALL"),
            (TextRows{{"2001-01-01 00:00:20", "2001-01-01 00:00:18"},
                      {"2001-01-01 00:00:30", "2001-01-01 00:00:25"}}));
}

TEST_F(TimeJoins, GroupsOfJoinsComeWhenTheyAreFinal) {
  rows(
      "CREATE MATERIALIZED VIEW near AS SELECT window_end AS e, count(*) AS n, count(sum) AS paid "
      "FROM tumble((SELECT o.id, o.ts, p.sum FROM orders o LEFT JOIN payments p ON o.id = p.id AND "
      "p.paid BETWEEN o.ts AND o.ts + INTERVAL 20 SECOND), ts, INTERVAL 30 SECOND) GROUP BY ALL "
      "EMIT ON WINDOW CLOSE");
  rows(
      "CREATE MATERIALIZED VIEW same AS SELECT o.window_end AS e, count(*) AS n FROM "
      "tumble(orders, ts, INTERVAL 30 SECOND) o FULL JOIN tumble(payments, paid, INTERVAL 30 "
      "SECOND) p ON o.id = p.id AND o.window_start = p.window_start AND o.window_end = "
      "p.window_end GROUP BY ALL EMIT ON WINDOW CLOSE");
  rows(
      "CREATE MATERIALIZED VIEW priced AS SELECT window_end AS e, count(id) AS n FROM tumble(("
      "SELECT p.paid, o.id FROM payments p ASOF LEFT JOIN orders o ON p.id = o.id AND p.paid >= "
      "o.ts), paid, INTERVAL 30 SECOND) GROUP BY ALL EMIT ON WINDOW CLOSE");
  order(1, 5);
  order(2, 6);
  payment(1, 25);
  payment(2, 27);  // Too late for its order; in the same window.
  order(3, 50);    // The watermark of orders is at 40.
  payment(3, 40);  // That of payments at 35: it may still pay for an order of 15 to 30.
  EXPECT_EQ(rows("SELECT n FROM same"), (TextRows{{"2"}}));
  EXPECT_EQ(rows("SELECT n FROM priced"), (TextRows{{"2"}}));
  EXPECT_EQ(rows("SELECT * FROM near"), TextRows{});
  payment(4, 56);  // At 51.
  EXPECT_EQ(rows("SELECT n, paid FROM near"), (TextRows{{"2", "1"}}));
  payment(1, 7);  // Late.
  EXPECT_EQ(rows("SELECT n, paid FROM near"), (TextRows{{"2", "1"}}));
  EXPECT_EQ(rows("SELECT view FROM ziwa.late_rows ORDER BY 1"),
            (TextRows{{"near"}, {"priced"}, {"same"}}));
  for (const char* query :
       {"SELECT window_end, count(*) AS n FROM tumble((SELECT o.ts FROM orders o JOIN payments p "
        "USING (id)), ts, INTERVAL 1 MINUTE) GROUP BY ALL",
        "SELECT window_end, count(*) AS n FROM tumble((SELECT o.ts FROM orders o JOIN untimed u ON "
        "o.id = u.id AND u.ts = o.ts), ts, INTERVAL 1 MINUTE) GROUP BY ALL"}) {
    EXPECT_THAT(error(fmt::format("CREATE MATERIALIZED VIEW x AS {} EMIT ON WINDOW CLOSE", query))
                    .message(),
                HasSubstr("EMIT ON WINDOW CLOSE"))
        << query;
  }
}

// What a view with EMIT ON WINDOW CLOSE has said it never takes back, and in the end it has said
// all that the same view says without.
TEST_F(TimeJoins, ClosedGroupsAreThoseOfTheEnd) {
  const std::string near =
      "tumble((SELECT o.id, o.ts, p.sum FROM orders o LEFT JOIN payments p ON o.id = p.id AND "
      "p.paid BETWEEN o.ts - INTERVAL 5 SECOND AND o.ts + INTERVAL 20 SECOND), ts, INTERVAL 30 "
      "SECOND)";
  const std::string counts =
      "(SELECT window_end AS e, id, count(*) AS n FROM hop(payments, paid, INTERVAL 10 SECOND, "
      "INTERVAL 20 SECOND) GROUP BY ALL)";
  const std::string queries[] = {
      "SELECT window_end AS e, id, count(*) AS n, count(sum) AS p FROM " + near + " GROUP BY ALL",
      "SELECT o.window_end AS e, o.id, count(*) AS n, count(p.sum) AS p FROM tumble(orders, ts, "
      "INTERVAL 15 SECOND) o LEFT JOIN tumble(payments, paid, INTERVAL 15 SECOND) p ON o.id = p.id "
      "AND o.window_start = p.window_start AND o.window_end = p.window_end GROUP BY ALL",
      "SELECT window_end AS e, count(*) AS n, count(id) AS o FROM tumble((SELECT p.paid, o.id FROM "
      "payments p ASOF LEFT JOIN orders o ON p.id = o.id AND p.paid >= o.ts), paid, INTERVAL 15 "
      "SECOND) GROUP BY ALL",
      "SELECT window_end AS e, max(n) AS n, sum(n) AS s FROM tumble(" + counts +
          ", e, INTERVAL 40 SECOND) GROUP BY ALL",
      "SELECT * FROM " + counts +
          " QUALIFY row_number() OVER (PARTITION BY e ORDER BY n DESC, id) <= 2",
      "SELECT a.e, a.id, a.n, b.n AS m FROM " + counts +
          " a JOIN (SELECT window_end AS e, count(*) "
          "AS n FROM cumulate(orders, ts, INTERVAL 10 SECOND, INTERVAL 30 SECOND) GROUP BY ALL) b "
          "USING (e)",
  };
  for (size_t i = 0; i < std::size(queries); ++i) {
    rows(fmt::format("CREATE MATERIALIZED VIEW now{} AS {}", i, queries[i]));
    rows(
        fmt::format("CREATE MATERIALIZED VIEW closed{} AS {} EMIT ON WINDOW CLOSE", i, queries[i]));
    rows(fmt::format("CREATE TEMP TABLE said{0} AS SELECT * FROM closed{0}", i));
  }
  std::mt19937_64 random(7);
  int newest = 0;
  for (int entry = 0; entry < 120; ++entry) {
    newest += static_cast<int>(random() % 4);
    const int second = std::max(0, newest - static_cast<int>(random() % 14));
    const int id = static_cast<int>(random() % 3);
    if (random() % 2 == 0) {
      order(id, second);
    } else {
      payment(id, second);
    }
    if (entry == 60) rows("CALL ziwa.checkpoint()");
    if (entry % 12 != 11) continue;
    for (size_t i = 0; i < std::size(queries); ++i) {
      EXPECT_EQ(rows(fmt::format("SELECT * FROM said{0} EXCEPT ALL SELECT * FROM closed{0}", i)),
                TextRows{})
          << queries[i] << " after " << entry;
      rows(fmt::format("DELETE FROM said{}", i));
      rows(fmt::format("INSERT INTO said{0} SELECT * FROM closed{0}", i));
    }
  }
  order(9, newest + 200);
  payment(9, newest + 200);
  for (size_t i = 0; i < std::size(queries); ++i) {
    auto of = [&](const char* view) {
      return rows(
          fmt::format("SELECT * FROM {}{} WHERE epoch(e - TIMESTAMP '2001-01-01') <= {} "
                      "ORDER BY ALL",
                      view, i, newest + 190));
    };
    EXPECT_EQ(of("closed"), of("now")) << queries[i];
    EXPECT_GE(of("closed").size(), 5u) << queries[i];
    EXPECT_EQ(rows(fmt::format("SELECT * FROM said{0} EXCEPT ALL SELECT * FROM closed{0}", i)),
              TextRows{})
        << queries[i];
  }
}

TEST_F(TimeJoins, WhatDoesNot) {
  for (auto [condition, side] : {
           std::pair("paid > ts", "its left side"),
           {"paid < ts", "its right side"},
           {"true", "both sides"},
           {"paid <> ts", "both sides"},
           {"date_trunc('day', paid) <= ts", "both sides"},
       }) {
    EXPECT_THAT(
        explain(fmt::format("SELECT o.id, sum FROM orders o JOIN payments p ON o.id = p.id AND {}",
                            condition)),
        HasSubstr(fmt::format("keeps every row of {}", side)))
        << condition;
  }
  const std::string untimed = explain(
      "SELECT o.id FROM orders o JOIN untimed u ON o.id = u.id AND u.ts BETWEEN o.ts AND o.ts + "
      "INTERVAL 1 HOUR");
  EXPECT_THAT(untimed, HasSubstr("keeps every row of its left side"));
  EXPECT_THAT(
      error("CREATE MATERIALIZED VIEW x WITH (allowed_lateness = '1 s') AS SELECT o.id FROM "
            "orders o JOIN payments p USING (id)")
          .to_string(),
      HasSubstr("for views with windows, or joins of times"));
}

/// What has no watermark closes nothing, whatever windows it goes through.
TEST_F(TimeJoins, WithoutAWatermarkNothingGoes) {
  EXPECT_THAT(explain("SELECT a.id FROM tumble(untimed, ts, INTERVAL 1 MINUTE) a JOIN "
                      "tumble(untimed, ts, INTERVAL 1 MINUTE) b USING (id, window_start)"),
              HasSubstr("keeps every row of both sides"));
  EXPECT_THAT(explain("SELECT window_start, count(*) FROM tumble(untimed, ts, INTERVAL 1 MINUTE) "
                      "GROUP BY ALL"),
              HasSubstr("keeps each of its groups for ever"));
}

/// A deadline that is more than a column and a fixed time is computed for each row.
TEST_F(TimeJoins, ADeadlineMayBeAnyExpression) {
  rows(
      "CREATE MATERIALIZED VIEW months AS SELECT o.id, paid FROM orders o LEFT JOIN payments p ON "
      "o.id = p.id AND paid BETWEEN ts AND ts + INTERVAL 1 MONTH");
  order(1, 10);
  order(2, 20);
  payment(1, 15);
  append("payments", {R"({"id": 9, "paid": "2001-01-30T00:00:00", "sum": 1})"});
  rows("CALL ziwa.checkpoint()");
  append("payments", {R"({"id": 2, "paid": "2001-01-31T00:00:00", "sum": 1})"});
  append("payments", {R"({"id": 9, "paid": "2001-03-01T00:00:00", "sum": 1})"});
  rows("CALL ziwa.checkpoint()");
  EXPECT_EQ(rows("SELECT * FROM months ORDER BY ALL"),
            (TextRows{{"1", "2001-01-01 00:00:15"}, {"2", "2001-01-31 00:00:00"}}));
}

TEST_F(TimeJoins, LateRowsAreSetAside) {
  const std::string query =
      "SELECT o.id, paid FROM orders o LEFT JOIN payments p ON o.id = p.id AND paid BETWEEN ts AND "
      "ts + INTERVAL 20 SECOND";
  rows("CREATE MATERIALIZED VIEW strict AS " + query);
  rows("CREATE MATERIALIZED VIEW patient WITH (allowed_lateness = '10 seconds') AS " + query);
  order(1, 10);
  payment(1, 15);
  payment(2, 60);  // Now payments before :55 are late.
  payment(1, 30);
  order(2, 50);
  payment(1, 29);  // Late by more than 10 seconds.
  payment(2, 55);  // On time: equal to the watermark.
  payment(2, 52);  // Late for one of them.
  const TextRows known = {
      {"1", "2001-01-01 00:00:15"}, {"2", "2001-01-01 00:00:55"}, {"2", "2001-01-01 00:01:00"}};
  EXPECT_EQ(rows("SELECT * FROM strict ORDER BY ALL"), known);
  TextRows more = known;
  more.insert(more.begin() + 1, {"2", "2001-01-01 00:00:52"});
  EXPECT_EQ(rows("SELECT * FROM patient ORDER BY ALL"), more);
  EXPECT_EQ(rows("SELECT view, \"offset\", window_start, window_end, watermark, row->>'id' FROM "
                 "ziwa.late_rows ORDER BY ALL"),
            (TextRows{{"patient", "2", "NULL", "NULL", "2001-01-01 00:00:55", "1"},
                      {"patient", "3", "NULL", "NULL", "2001-01-01 00:00:55", "1"},
                      {"strict", "2", "NULL", "NULL", "2001-01-01 00:00:55", "1"},
                      {"strict", "3", "NULL", "NULL", "2001-01-01 00:00:55", "1"},
                      {"strict", "5", "NULL", "NULL", "2001-01-01 00:00:55", "2"}}));
}

}  // namespace
}  // namespace ziwa::sql
