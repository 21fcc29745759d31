#include "sql/rewrite.h"

#include <gtest/gtest.h>

namespace ziwa::sql {
namespace {

std::string rewritten(std::string_view sql) {
  auto out = rewrite_statement(sql);
  return out ? out->text : out.error().to_string();
}

TEST(Rewrite, LeavesOrdinaryStatementsAlone) {
  for (const char* sql :
       {"SELECT 1", "SELECT tumble FROM t", "SELECT * FROM a, b -- tumble(a, b, c)", ""}) {
    EXPECT_EQ(rewritten(sql), sql);
  }
}

TEST(Rewrite, TumbleBecomesASubqueryNamedLikeItsTable) {
  EXPECT_EQ(rewritten("SELECT * FROM tumble(s.t, ts, INTERVAL 1 MINUTE) WHERE a"),
            "SELECT * FROM (SELECT *, ziwa_tumble_start(ts, INTERVAL 1 MINUTE) AS window_start, "
            "ziwa_tumble_end(ts, INTERVAL 1 MINUTE) AS window_end FROM s.t) AS t WHERE a");
}

TEST(Rewrite, HopAndCumulateGiveARowPerWindow) {
  EXPECT_EQ(rewritten("SELECT * FROM hop(t, ts, a, b)"),
            "SELECT * FROM (SELECT *, unnest(ziwa_hop_starts(ts, a, b)) AS window_start, "
            "unnest(ziwa_hop_ends(ts, a, b)) AS window_end FROM t) AS t");
  EXPECT_EQ(rewritten("FROM cumulate(t, ts, a, b, c) w"),
            "FROM (SELECT *, unnest(ziwa_cumulate_starts(ts, a, b, c)) AS window_start, "
            "unnest(ziwa_cumulate_ends(ts, a, b, c)) AS window_end FROM t) w");
}

TEST(Rewrite, SessionIsOtherwiseInViews) {
  EXPECT_EQ(
      rewrite_statement("FROM session(t PARTITION BY k, ts, g) WHERE x", RewriteFor::view)->text,
      "FROM (SELECT *, ziwa_session_start(ts, g) OVER (PARTITION BY k) AS window_start, "
      "ziwa_session_end(ts, g) OVER (PARTITION BY k) AS window_end FROM t) AS t WHERE x");
  EXPECT_EQ(
      rewritten("FROM session(t, ts, g) s"),
      "FROM (SELECT * EXCLUDE (ziwa_session), CAST(min(ts) OVER (PARTITION BY ziwa_session) AS "
      "TIMESTAMP) AS window_start, ziwa_session_stops(max(ts) OVER (PARTITION BY "
      "ziwa_session), g) AS window_end FROM (SELECT * EXCLUDE (ziwa_begins), "
      "sum(ziwa_begins) OVER ( ORDER BY ts) AS ziwa_session FROM (SELECT *, "
      "ziwa_session_begins(lag(ts) OVER ( ORDER BY ts), ts, g) AS ziwa_begins FROM t) AS t) "
      "AS t) s");
  EXPECT_EQ(rewritten("FROM TABLE(SESSION(TABLE t PARTITION BY (a, b), DESCRIPTOR(ts), g))"),
            rewritten("FROM session(t PARTITION BY (a, b), ts, g)"));
  for (const char* wrong : {"FROM session(t PARTITION BY, ts, g)",
                            "FROM session(t PARTITION BY a, b, "
                            "ts, g)",
                            "FROM session(PARTITION BY a, ts, g)"}) {
    EXPECT_EQ(rewrite_statement(wrong).error().code(), Code::invalid_argument) << wrong;
  }
}

TEST(Rewrite, WindowsMayStandInWindows) {
  std::string text = rewritten("FROM tumble(hop(t, ts, a, b), window_end, c) w");
  EXPECT_NE(text.find("FROM (SELECT *, unnest(ziwa_hop_starts(ts, a, b))"), std::string::npos)
      << text;
  EXPECT_TRUE(text.ends_with(" FROM t) AS t) w")) << text;
}

TEST(Rewrite, TheFormsOfFlinkAreTheSame) {
  EXPECT_EQ(rewritten("SELECT * FROM TABLE(HOP(TABLE t, DESCRIPTOR(ts), a, b)) WHERE x"),
            rewritten("SELECT * FROM hop(t, ts, a, b) WHERE x"));
  EXPECT_EQ(rewritten("FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), a)) AS w, u"),
            rewritten("FROM tumble(t, ts, a) AS w, u"));
  for (const char* sql : {"SELECT * FROM TABLE(", "SELECT * FROM TABLE(hop", "FROM TABLE(x(1))"})
    EXPECT_EQ(rewritten(sql), sql);
  EXPECT_EQ(rewrite_statement("FROM TABLE(TUMBLE(t, ts, a), b)").error().code(),
            Code::invalid_argument);
}

TEST(Rewrite, AnAliasIsKept) {
  std::string text =
      rewritten("SELECT * FROM x JOIN TUMBLE(TABLE t, ts, INTERVAL '1' HOUR) AS w ON true");
  EXPECT_NE(text.find("FROM t) AS w ON true"), std::string::npos) << text;
  text = rewritten(
      "SELECT * FROM tumble((SELECT * FROM tumble(t, a, INTERVAL 1 DAY)), b, INTERVAL 1 DAY) w");
  EXPECT_NE(text.find(" FROM (SELECT * FROM (SELECT *, ziwa_tumble_start(a"), std::string::npos)
      << text;
  EXPECT_TRUE(text.ends_with(" AS window_end FROM t) AS t)) w")) << text;
}

TEST(Rewrite, WhatFollowsATableIsNotAlwaysItsAlias) {
  for (const char* tail : {"FETCH FIRST 1 ROW ONLY", "FOR UPDATE", "LIMIT 1"}) {
    std::string text =
        rewritten(fmt::format("SELECT t.id FROM tumble(t, ts, INTERVAL 1 DAY) {}", tail));
    EXPECT_TRUE(text.ends_with(fmt::format(" FROM t) AS t {}", tail))) << text;
  }
}

TEST(Rewrite, OnlyTablesOfAListAreWindows) {
  for (const char* sql :
       {"SELECT f(1, session(2)), hop(3) FROM t", "SELECT list_value(1, tumble(2))",
        "SELECT * FROM t WHERE a IN (1, session(2)) AND f(x, hop(y))",
        "SELECT a FROM t GROUP BY a, session(b)", "SELECT a FROM t ORDER BY a, hop(b)",
        "SELECT * FROM t JOIN u ON f(a, session(b))",
        "SELECT extract(year FROM a), session(b) FROM t"}) {
    EXPECT_EQ(rewritten(sql), sql);
  }
  for (const char* sql : {"SELECT * FROM a, tumble(t, ts, INTERVAL 1 DAY)",
                          "SELECT * FROM a JOIN b ON a.x = b.x, tumble(t, ts, INTERVAL 1 DAY)",
                          "SELECT * FROM (SELECT 1, 2), tumble(t, ts, INTERVAL 1 DAY)",
                          "SELECT * FROM f(1, 2) g, tumble(t, ts, INTERVAL 1 DAY)",
                          "SELECT (SELECT 1 FROM a, tumble(t, ts, INTERVAL 1 DAY)), 2"}) {
    EXPECT_NE(rewritten(sql).find("ziwa_tumble_start"), std::string::npos) << sql;
  }
  for (const char* sql :
       {"SELECT * FROM a, slide(t, ts, INTERVAL 1 DAY)", "SELECT * FROM a JOIN slide(t) ON true"}) {
    EXPECT_EQ(rewrite_statement(sql).error().code(), Code::unsupported) << sql;
  }
}

TEST(Rewrite, PositionsLeadBackToTheOriginal) {
  std::string sql = "SELECT a FROM tumble(t, ts, INTERVAL 1 MINUTE) WHERE wrong = 1";
  auto out = rewrite_statement(sql);
  ASSERT_TRUE(out);
  EXPECT_EQ(out->original(out->text.find("wrong")), sql.find("wrong"));
  EXPECT_EQ(out->original(out->text.find("ts,")), sql.find("ts,"));
  EXPECT_EQ(out->original(out->text.find("window_start")), sql.find("tumble"));
  EXPECT_EQ(out->original(0), 0);
}

TEST(Rewrite, WrongCallsAreRefused) {
  auto out = rewrite_statement("SELECT * FROM tumble(t, ts)");
  ASSERT_FALSE(out);
  EXPECT_EQ(out.error().code(), Code::invalid_argument);
  EXPECT_EQ(out.error().position(), 14);
  EXPECT_EQ(rewrite_statement("SELECT * FROM hop(t, ts, INTERVAL 1 DAY)").error().code(),
            Code::invalid_argument);
  EXPECT_EQ(rewrite_statement("SELECT * FROM tumble(t, ts, a, b, c)").error().code(),
            Code::invalid_argument);
  EXPECT_EQ(rewrite_statement("SELECT * FROM tumble(t, ts, INTERVAL 1 DAY").error().code(),
            Code::invalid_argument);
}

}  // namespace
}  // namespace ziwa::sql
