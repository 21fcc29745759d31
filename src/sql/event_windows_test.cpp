#include "sql/testing/sql_test.h"

#include <gmock/gmock.h>

#include <chrono>
#include <random>
#include <thread>

// Windows over topics as people write them, row by row against what the manual says of them.
namespace ziwa::sql {
namespace {

using ::testing::HasSubstr;
using testing::TextRows;

class EventWindows : public testing::SqlTest {
 protected:
  EventWindows() : SqlTest(testing::SqlRig::Streams::real) {}
  void make_topic() {
    rows(
        "CREATE TOPIC w (ts TIMESTAMP, k VARCHAR, v INT, WATERMARK FOR ts AS ts - INTERVAL 10 "
        "SECOND)");
  }
  /// One journal entry: "12" is 12 seconds after 2001-01-01.
  void heard(const std::vector<int>& seconds, const std::string& key = "a") {
    std::vector<std::string> values;
    for (int second : seconds) {
      values.push_back(fmt::format(R"({{"ts": "2001-01-01T00:{:02}:{:02}", "k": "{}", "v": {}}})",
                                   second / 60, second % 60, key, second));
    }
    append("w", values);
  }
  /// Windows as "start-end", in seconds.
  TextRows windows(const std::string& view, const std::string& rest) {
    return rows(
        fmt::format("SELECT epoch(window_start - TIMESTAMP '2001-01-01')::INT || '-' || "
                    "epoch(window_end - TIMESTAMP '2001-01-01')::INT AS w, {} FROM {} "
                    "ORDER BY window_start, window_end, 2",
                    rest, view));
  }
};

TEST_F(EventWindows, QueriesGiveEachRowOncePerWindow) {
  make_topic();
  heard({5, 12});
  rows("INSERT INTO w VALUES (NULL, 'none', 0)");
  EXPECT_EQ(
      windows("hop(w, ts, INTERVAL 5 SECOND, INTERVAL 10 SECOND)", "v"),
      (TextRows{{"0-10", "5"}, {"5-15", "5"}, {"5-15", "12"}, {"10-20", "12"}, {"NULL", "0"}}));
  EXPECT_EQ(windows("cumulate(w, ts, INTERVAL 5 SECOND, INTERVAL 20 SECOND)", "v"),
            (TextRows{{"0-10", "5"},
                      {"0-15", "5"},
                      {"0-15", "12"},
                      {"0-20", "5"},
                      {"0-20", "12"},
                      {"NULL", "0"}}));
  EXPECT_EQ(windows("tumble(w, ts, INTERVAL 10 SECOND, INTERVAL 3 SECOND)", "v"),
            (TextRows{{"3-13", "5"}, {"3-13", "12"}, {"NULL", "0"}}));
  EXPECT_EQ(
      windows("TABLE(HOP(TABLE w, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '10' SECOND)) "
              "AS h",
              "v")
          .size(),
      5u);
}

TEST_F(EventWindows, WrongOnesAreRefusedInTheirWords) {
  make_topic();
  const std::pair<const char*, const char*> wrong[] = {
      {"hop(w, ts, INTERVAL 3 SECOND, INTERVAL 10 SECOND)", "multiple of its step"},
      {"hop(w, ts, INTERVAL 0 SECOND, INTERVAL 10 SECOND)", "must be positive"},
      {"cumulate(w, ts, INTERVAL 10 SECOND, INTERVAL 5 SECOND)", "multiple of its step"},
      {"hop(w, ts, INTERVAL 1 SECOND, INTERVAL 1 MONTH)", "months"},
      {"tumble(w, ts, INTERVAL 1 MONTH)", "months"},
      {"hop(w, ts, INTERVAL 1 MICROSECOND, INTERVAL 1 DAY)", "at most 10000"},
      {"hop(w, ts, INTERVAL 1 SECOND)", "hop takes a table, a time column, a step and a size"},
      {"hop(w, v, INTERVAL 1 SECOND, INTERVAL 2 SECOND)", "the time column of hop is a TIMESTAMP"},
      {"cumulate(w, ts, 1, INTERVAL 2 SECOND)", "the step of cumulate is an INTERVAL"},
      {"tumble(w, ts, INTERVAL 2 SECOND, 1)", "the offset of tumble is an INTERVAL"},
  };
  for (const auto& [table, why] : wrong) {
    for (const char* form : {"SELECT * FROM {}",
                             "CREATE MATERIALIZED VIEW x AS SELECT k, window_end, count(*) FROM {} "
                             "GROUP BY k, window_end"}) {
      if (std::string_view(form).starts_with("SELECT")) heard({1});
      auto refused = error(fmt::format(fmt::runtime(form), table));
      EXPECT_EQ(refused.code(), Code::invalid_argument) << refused.to_string();
      EXPECT_THAT(refused.message(), HasSubstr(why)) << table;
      EXPECT_THAT(refused.message(), ::testing::Not(HasSubstr("ziwa_"))) << table;
    }
  }
}

TEST_F(EventWindows, ARowIsLateForTheWindowsThatHadClosedOnly) {
  make_topic();
  rows(
      "CREATE MATERIALIZED VIEW h AS SELECT window_start, window_end, count(*) AS n "
      "FROM hop(w, ts, INTERVAL 5 SECOND, INTERVAL 10 SECOND) GROUP BY ALL");
  heard({4});
  heard({17});  // The watermark is at 7.
  heard({4});   // [-5, 5) has closed, [0, 10) has not.
  EXPECT_EQ(windows("h", "n"),
            (TextRows{{"-5-5", "1"}, {"0-10", "2"}, {"10-20", "1"}, {"15-25", "1"}}));
  EXPECT_EQ(rows("SELECT epoch(window_start - TIMESTAMP '2001-01-01')::INT, \"offset\" FROM "
                 "ziwa.late_rows WHERE view = 'h'"),
            (TextRows{{"-5", "2"}}));
}

TEST_F(EventWindows, AllowedLatenessKeepsWindowsOpen) {
  make_topic();
  rows(
      "CREATE MATERIALIZED VIEW h WITH (allowed_lateness = '5 seconds') AS SELECT window_start, "
      "window_end, count(*) AS n FROM tumble(w, ts, INTERVAL 10 SECOND) GROUP BY ALL");
  heard({4});
  heard({22});  // The watermark is at 12.
  heard({5});   // Late by 2 seconds.
  heard({25});  // At 15: [0, 10) has closed.
  heard({6});
  EXPECT_EQ(windows("h", "n"), (TextRows{{"0-10", "2"}, {"20-30", "2"}}));
  EXPECT_EQ(rows("SELECT \"offset\" FROM ziwa.late_rows WHERE view = 'h'"), (TextRows{{"4"}}));
  EXPECT_EQ(error("CREATE MATERIALIZED VIEW x WITH (allowed_lateness = 'soon') AS SELECT k FROM w")
                .code(),
            Code::invalid_argument);
}

TEST_F(EventWindows, EmitOnWindowCloseGivesWhatIsFinal) {
  make_topic();
  rows(
      "CREATE MATERIALIZED VIEW c AS SELECT window_start, window_end, k, count(*) AS n, max(v) AS "
      "m "
      "FROM tumble(w, ts, INTERVAL 10 SECOND) GROUP BY ALL EMIT ON WINDOW CLOSE");
  rows(
      "CREATE MATERIALIZED VIEW l WITH (allowed_lateness = '20 seconds') AS SELECT window_start, "
      "window_end, count(*) AS n FROM tumble(w, ts, INTERVAL 10 SECOND) GROUP BY ALL "
      "EMIT ON WINDOW CLOSE");
  heard({4, 9}, "a");
  heard({5}, "b");
  EXPECT_EQ(windows("c", "n"), TextRows{});
  heard({20});  // The watermark is at 10.
  EXPECT_EQ(windows("c", "k || n || '/' || m"), (TextRows{{"0-10", "a2/9"}, {"0-10", "b1/5"}}));
  EXPECT_EQ(windows("l", "n"), (TextRows{{"0-10", "3"}}));
  heard({6});  // Late for c; l gives its group again.
  EXPECT_EQ(windows("c", "k || n || '/' || m"), (TextRows{{"0-10", "a2/9"}, {"0-10", "b1/5"}}));
  EXPECT_EQ(windows("l", "n"), (TextRows{{"0-10", "4"}}));
  heard({55});
  EXPECT_EQ(windows("c", "k || n || '/' || m"),
            (TextRows{{"0-10", "a2/9"}, {"0-10", "b1/5"}, {"20-30", "a1/20"}}));
  EXPECT_EQ(windows("l", "n"), (TextRows{{"0-10", "4"}, {"20-30", "1"}}));
}

TEST_F(EventWindows, EmitOnWindowCloseNeedsWindowsThatClose) {
  make_topic();
  rows("CREATE TOPIC still (ts TIMESTAMP, k VARCHAR)");
  for (const char* query :
       {"SELECT k, count(*) AS n FROM w GROUP BY k", "SELECT * FROM w",
        "SELECT k, count(*) AS n FROM tumble(w, ts, INTERVAL 1 SECOND) GROUP BY k",
        "SELECT window_end, count(*) AS n FROM tumble(still, ts, INTERVAL 1 SECOND) GROUP BY ALL",
        "SELECT k, window_start FROM tumble(w, ts, INTERVAL 1 SECOND)",
        "SELECT window_end, count(*) AS n FROM tumble(w, ts, INTERVAL 1 SECOND) JOIN still USING "
        "(k) "
        "GROUP BY ALL"}) {
    auto refused =
        error(fmt::format("CREATE MATERIALIZED VIEW x AS {} EMIT ON WINDOW CLOSE", query));
    EXPECT_EQ(refused.code(), Code::unsupported) << query << ": " << refused.to_string();
    EXPECT_THAT(refused.message(), HasSubstr("EMIT ON WINDOW CLOSE")) << query;
  }
}

TEST_F(EventWindows, EmitOnWindowCloseIsRefusedWhereItCouldNotBeKept) {
  make_topic();
  rows("CREATE MATERIALIZED VIEW p AS SELECT * FROM w");
  rows("CREATE TABLE lake (ts TIMESTAMP, k VARCHAR)");
  const std::string minutes =
      "(SELECT window_end AS e, count(*) AS n FROM tumble(w, ts, INTERVAL 1 MINUTE) GROUP BY ALL)";
  for (const std::string& query :
       {std::string(
            "SELECT window_end, count(*) AS n FROM tumble(p, ts, INTERVAL 1 SECOND) GROUP BY ALL"),
        std::string("SELECT window_end, count(*) AS n FROM tumble(lake, ts, INTERVAL 1 SECOND) "
                    "GROUP BY ALL"),
        "SELECT e, n FROM " + minutes +
            " QUALIFY row_number() OVER (PARTITION BY n ORDER BY e) = 1",
        "SELECT a.n FROM " + minutes + " a LEFT JOIN " + minutes + " b USING (e)",
        "SELECT e FROM " + minutes + " EXCEPT SELECT e + INTERVAL 1 MINUTE FROM " + minutes,
        "SELECT e, n, k FROM " + minutes + " JOIN lake ON e = ts",
        "SELECT max(n) AS n FROM " + minutes, "SELECT * FROM " + minutes + " ORDER BY n, e LIMIT 3",
        "SELECT e, n FROM " + minutes + " UNION ALL SELECT ts, 1 FROM p",
        std::string(
            "SELECT window_end, count(*) AS n FROM tumble(w, ts, INTERVAL 1 SECOND) JOIN lake "
            "USING (k) GROUP BY ALL")}) {
    auto refused =
        error(fmt::format("CREATE MATERIALIZED VIEW x AS {} EMIT ON WINDOW CLOSE", query));
    EXPECT_EQ(refused.code(), Code::unsupported) << query << ": " << refused.to_string();
    EXPECT_THAT(refused.message(), HasSubstr("EMIT ON WINDOW CLOSE")) << query;
  }
  rows("CREATE MATERIALIZED VIEW x AS SELECT e, n + 1 AS n FROM " + minutes +
       " WHERE n > 0 UNION ALL SELECT e, n FROM " + minutes + " EMIT ON WINDOW CLOSE");
  heard({1});
  EXPECT_EQ(rows("SELECT n FROM x"), TextRows{});
  heard({75});
  EXPECT_EQ(rows("SELECT n FROM x ORDER BY n"), (TextRows{{"1"}, {"2"}}));
}

// Groups of a day from those of its hours, the first of each window, pairs of groups.
TEST_F(EventWindows, ClosedGroupsGoOn) {
  make_topic();
  const std::string tens =
      "(SELECT window_end AS e, k, count(*) AS n FROM tumble(w, ts, INTERVAL 10 SECOND) GROUP BY "
      "ALL)";
  rows("CREATE MATERIALIZED VIEW halves AS SELECT window_end, k, sum(n) AS n FROM tumble(" + tens +
       ", e, INTERVAL 30 SECOND, INTERVAL 1 SECOND) GROUP BY ALL EMIT ON WINDOW CLOSE");
  rows("CREATE MATERIALIZED VIEW most AS SELECT e, k, n FROM " + tens +
       " QUALIFY row_number() OVER (PARTITION BY e ORDER BY n DESC, k) = 1 EMIT ON WINDOW CLOSE");
  rows(
      "CREATE MATERIALIZED VIEW shares AS SELECT e, k, n / sum(n) OVER (PARTITION BY e) AS s "
      "FROM " +
      tens + " EMIT ON WINDOW CLOSE");
  rows("CREATE MATERIALIZED VIEW pairs AS SELECT e, a.n AS n, b.n AS m FROM (SELECT * FROM " +
       tens + " WHERE k = 'a') a JOIN (SELECT * FROM " + tens +
       " WHERE k = 'b') b USING (e) EMIT ON WINDOW CLOSE");
  rows("CREATE TABLE kept (e TIMESTAMP, k VARCHAR, n BIGINT)");
  rows("CREATE SINK s INTO kept FROM most WITH (commit_interval = '10 ms')");
  heard({1, 2, 3}, "a");
  heard({4}, "b");
  heard({15}, "b");
  for (const char* view : {"halves", "most", "shares", "pairs"}) {
    EXPECT_EQ(rows(fmt::format("SELECT * FROM {}", view)), TextRows{}) << view;
  }
  heard({20}, "c");  // The watermark is at 10.
  EXPECT_EQ(rows("SELECT k, n FROM most"), (TextRows{{"a", "3"}}));
  EXPECT_EQ(rows("SELECT k, s FROM shares ORDER BY k"), (TextRows{{"a", "0.75"}, {"b", "0.25"}}));
  EXPECT_EQ(rows("SELECT n, m FROM pairs"), (TextRows{{"3", "1"}}));
  EXPECT_EQ(rows("SELECT * FROM halves"), TextRows{});
  heard({5}, "b");  // Late.
  rows("CALL ziwa.checkpoint()");
  heard({41}, "a");  // At 31.
  EXPECT_EQ(
      rows("SELECT epoch(window_end - TIMESTAMP '2001-01-01')::INT, k, n FROM halves ORDER BY "
           "ALL"),
      (TextRows{{"31", "a", "3"}, {"31", "b", "2"}, {"31", "c", "1"}}));
  EXPECT_EQ(rows("SELECT k, n FROM most ORDER BY e"),
            (TextRows{{"a", "3"}, {"b", "1"}, {"c", "1"}}));
  TextRows kept;
  for (int i = 0; i < 1'000 && kept.size() < 3; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    kept = rows("SELECT k, n FROM kept ORDER BY e");
  }
  EXPECT_EQ(kept, (TextRows{{"a", "3"}, {"b", "1"}, {"c", "1"}}));
}

TEST_F(EventWindows, CumulatingWindowsAreRankedByTheirEnd) {
  make_topic();
  const std::string steps =
      "(SELECT window_start AS s, window_end AS e, k, count(*) AS n FROM cumulate(w, ts, INTERVAL "
      "5 "
      "SECOND, INTERVAL 15 SECOND) GROUP BY ALL)";
  const std::string query =
      "CREATE MATERIALIZED VIEW v AS SELECT e, k FROM " + steps +
      " QUALIFY row_number() OVER (PARTITION BY {} ORDER BY n DESC, k) = 1 EMIT ON WINDOW CLOSE";
  EXPECT_THAT(error(fmt::format(fmt::runtime(query), "s")).message(),
              HasSubstr("cannot rank rows of several windows"));
  rows(fmt::format(fmt::runtime(query), "e"));
  heard({1}, "b");
  heard({7, 8}, "a");
  heard({30}, "c");
  EXPECT_EQ(rows("SELECT k FROM v ORDER BY e"), (TextRows{{"b"}, {"a"}, {"a"}}));
}

TEST_F(EventWindows, InfiniteTimesStayInTheirGroups) {
  make_topic();
  rows(
      "CREATE MATERIALIZED VIEW i AS SELECT window_start, count(*) AS n FROM tumble((SELECT CASE "
      "WHEN k = 'never' THEN TIMESTAMP '-infinity' ELSE ts END AS t FROM w), t, INTERVAL 1 SECOND) "
      "GROUP BY ALL");
  for (int second : {1, 100, 200}) {
    heard({second}, "never");
    heard({second});
    rows("CALL ziwa.checkpoint()");
  }
  EXPECT_EQ(rows("SELECT n FROM i WHERE window_start = TIMESTAMP '-infinity'"), (TextRows{{"3"}}));
}

TEST_F(EventWindows, OptionsThatMakeNoSenseAreRefused) {
  make_topic();
  for (const char* lateness :
       {"18446744073709552 ms", "200000000 days", "10 microseconds", "-1 s"}) {
    auto refused =
        error(fmt::format("CREATE MATERIALIZED VIEW x WITH (allowed_lateness = '{}') AS "
                          "SELECT * FROM tumble(w, ts, INTERVAL 1 SECOND)",
                          lateness));
    EXPECT_EQ(refused.code(), Code::invalid_argument) << lateness << ": " << refused.to_string();
  }
  EXPECT_THAT(error("CREATE MATERIALIZED VIEW x WITH (allowed_lateness = '1 s') AS SELECT k FROM w")
                  .message(),
              HasSubstr("for views with windows"));
}

TEST_F(EventWindows, ARowThatMissedManyWindowsIsOneLateRow) {
  make_topic();
  rows(
      "CREATE MATERIALIZED VIEW h AS SELECT window_end, count(*) AS n FROM hop(w, ts, INTERVAL 1 "
      "SECOND, INTERVAL 5000 SECOND) GROUP BY ALL");
  heard({1'000});
  heard({2'000});
  heard({1'500});
  EXPECT_EQ(rows("SELECT epoch(window_start - TIMESTAMP '2001-01-01')::INT, epoch(window_end - "
                 "TIMESTAMP '2001-01-01')::INT FROM ziwa.late_rows"),
            (TextRows{{"-3499", "1990"}}));
  EXPECT_EQ(rows("SELECT count(*), max(n) FROM h"), (TextRows{{"6000", "3"}}));
}

TEST_F(EventWindows, ViewsOverClosedWindowsOnlyGrow) {
  make_topic();
  rows(
      "CREATE MATERIALIZED VIEW c AS SELECT window_start, count(*) AS n FROM tumble(w, ts, "
      "INTERVAL "
      "10 SECOND) GROUP BY ALL EMIT ON WINDOW CLOSE");
  rows("CREATE TABLE kept (window_start TIMESTAMP, n BIGINT)");
  rows("CREATE SINK s INTO kept FROM c WITH (commit_interval = '10 ms')");
  heard({1, 2});
  heard({30});
  EXPECT_EQ(rows("SELECT n FROM c"), (TextRows{{"2"}}));
  TextRows kept;
  for (int i = 0; i < 1'000 && kept.empty(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    kept = rows("SELECT window_start, n FROM kept");
  }
  EXPECT_EQ(kept, (TextRows{{"2001-01-01 00:00:00", "2"}}));
  rows(
      "CREATE MATERIALIZED VIEW l WITH (allowed_lateness = '1 second') AS SELECT window_start, "
      "count(*) AS n FROM tumble(w, ts, INTERVAL 10 SECOND) GROUP BY ALL EMIT ON WINDOW CLOSE");
  EXPECT_EQ(error("CREATE SINK t INTO kept FROM l").code(), Code::unsupported)
      << "late rows still change it";
}

TEST_F(EventWindows, SessionsMergeAndClose) {
  make_topic();
  rows(
      "CREATE MATERIALIZED VIEW s AS SELECT k, window_start, window_end, count(*) AS n FROM "
      "session(w PARTITION BY k, ts, INTERVAL 5 SECOND) GROUP BY ALL");
  rows(
      "CREATE MATERIALIZED VIEW c AS SELECT k, window_end, count(*) AS n FROM session(w PARTITION "
      "BY "
      "k, ts, INTERVAL 5 SECOND) GROUP BY k, window_end EMIT ON WINDOW CLOSE");
  heard({1, 5, 12});
  heard({2}, "b");
  EXPECT_EQ(windows("s", "k || n"), (TextRows{{"1-10", "a2"}, {"2-7", "b1"}, {"12-17", "a1"}}));
  heard({8});  // It joins both: 5 to 8 and 8 to 12 are no further apart than the gap.
  EXPECT_EQ(windows("s", "k || n"), (TextRows{{"1-17", "a4"}, {"2-7", "b1"}}));
  heard({27});  // The watermark is at 17: both sessions are closed.
  EXPECT_EQ(rows("SELECT k, n FROM c ORDER BY 1"), (TextRows{{"a", "4"}, {"b", "1"}}));
  heard({15});  // Its own session ends at 20, but it would change one that is closed.
  heard({15}, "b");
  heard({11}, "b");
  EXPECT_EQ(windows("s", "k || n"),
            (TextRows{{"1-17", "a4"}, {"2-7", "b1"}, {"15-20", "b1"}, {"27-32", "a1"}}));
  EXPECT_EQ(rows("SELECT \"offset\" FROM ziwa.late_rows WHERE view = 's' ORDER BY 1"),
            (TextRows{{"6"}, {"8"}}));
  EXPECT_EQ(windows("session(w PARTITION BY k, ts, INTERVAL 5 SECOND)", "k").size(), 9u);
  for (const char* wrong :
       {"session(w, ts, INTERVAL 0 SECOND)", "session(w, v, INTERVAL 1 SECOND)",
        "session(w, ts, 1)", "session(w, ts)", "session(w, ts, INTERVAL 1 MONTH)",
        "session(w PARTITION BY, ts, INTERVAL 1 SECOND)"}) {
    for (const char* form : {"SELECT * FROM {}", "CREATE MATERIALIZED VIEW x AS SELECT k FROM {}",
                             "CREATE MATERIALIZED VIEW x AS SELECT k, window_end FROM {}"}) {
      auto refused = error(fmt::format(fmt::runtime(form), wrong));
      EXPECT_EQ(refused.code(), Code::invalid_argument) << wrong << refused.to_string();
      EXPECT_THAT(refused.message(), ::testing::Not(HasSubstr("ziwa_"))) << wrong;
    }
  }
}

/// The rows that a session takes, by the words of the manual.
TEST_F(EventWindows, RandomRowsAreInSessions) {
  make_topic();
  constexpr int kGap = 4;
  constexpr int kLateness = 3;
  rows(
      "CREATE MATERIALIZED VIEW s WITH (allowed_lateness = '3 seconds') AS SELECT k, v, "
      "window_start, window_end FROM session(w PARTITION BY k, ts, INTERVAL 4 SECOND)");
  rows("CREATE TEMP TABLE model (k VARCHAR, v INT)");
  std::mt19937_64 random(11);
  std::map<std::string, std::vector<int>> taken;
  int newest = 0;
  int watermark = -1'000;
  size_t late = 0;
  for (int entry = 0; entry < 150; ++entry) {
    const std::string key(1, static_cast<char>('a' + random() % 2));
    std::vector<int> seconds;
    for (size_t i = 0; i < random() % 3 + 1; ++i) {
      seconds.push_back(std::max(0, newest + static_cast<int>(random() % 36) - 28));
      const int time = seconds.back();
      // The session that it would be in: everything that is near, and what is near to that.
      auto& all = taken[key];
      bool closed = time + kGap + kLateness <= watermark;
      std::ranges::sort(all);
      for (size_t first = 0; first < all.size();) {
        size_t last = first;
        while (last + 1 < all.size() && all[last + 1] - all[last] <= kGap) ++last;
        const bool touches = time >= all[first] - kGap && time <= all[last] + kGap;
        closed = closed || (touches && all[last] + kGap + kLateness <= watermark);
        first = last + 1;
      }
      if (closed) {
        ++late;
        continue;
      }
      all.push_back(time);
      rows(fmt::format("INSERT INTO model VALUES ('{}', {})", key, time));
    }
    heard(seconds, key);
    newest = std::max(newest, *std::ranges::max_element(seconds));
    watermark = newest - 10;
    if (entry % 15 != 14) continue;
    EXPECT_EQ(rows("SELECT * FROM s ORDER BY ALL"),
              rows("SELECT k, v, window_start, window_end FROM session((SELECT *, TIMESTAMP "
                   "'2001-01-01' + to_seconds(v) AS ts FROM model) PARTITION BY k, ts, INTERVAL 4 "
                   "SECOND) m ORDER BY ALL"))
        << entry;
    EXPECT_EQ(rows("SELECT count(*) FROM ziwa.late_rows"), (TextRows{{std::to_string(late)}}));
  }
  EXPECT_GT(late, 10u);
}

/// Rows with random times, in entries of random size, against a model that knows every row.
TEST_F(EventWindows, RandomRowsAreInTheWindowsThatWereOpen) {
  make_topic();
  struct Case {
    const char* name;
    const char* table;
    const char* options;
    int lateness;
    bool on_close;
  };
  const Case cases[] = {
      {"v1", "tumble(w, ts, INTERVAL 10 SECOND, INTERVAL 4 SECOND)", "", 0, false},
      {"v2", "hop(w, ts, INTERVAL 5 SECOND, INTERVAL 20 SECOND)", "", 0, false},
      {"v3", "cumulate(w, ts, INTERVAL 5 SECOND, INTERVAL 15 SECOND)", "", 0, true},
      {"v4", "hop(w, ts, INTERVAL 4 SECOND, INTERVAL 12 SECOND)",
       "WITH (allowed_lateness = '7 seconds')", 7, true},
  };
  for (const auto& c : cases) {
    rows(fmt::format(
        "CREATE MATERIALIZED VIEW {} {} AS SELECT k, window_start, window_end, count(*) "
        "AS n, sum(v) AS s FROM {} GROUP BY ALL {}",
        c.name, c.options, c.table, c.on_close ? "EMIT ON WINDOW CLOSE" : ""));
  }
  std::mt19937_64 random(5);
  int newest = 0;
  int64_t watermark = -1'000;
  rows("CREATE TEMP TABLE model (v INT, k VARCHAR, watermark INT)");
  for (int entry = 0; entry < 60; ++entry) {
    std::vector<int> seconds;
    const std::string key(1, static_cast<char>('a' + random() % 3));
    for (size_t i = 0; i < random() % 4 + 1; ++i) {
      int second = std::max(0, newest + static_cast<int>(random() % 45) - 38);
      seconds.push_back(second);
      rows(fmt::format("INSERT INTO model VALUES ({}, '{}', {})", second, key, watermark));
    }
    heard(seconds, key);
    newest = std::max(newest, *std::ranges::max_element(seconds));
    watermark = newest - 10;
    if (entry % 10 != 9) continue;
    for (const auto& c : cases) {
      // Seconds since 2001-01-01, which begins a window of each of these shapes but the first.
      std::string table = c.table;
      table.replace(table.find("(w,"), 3,
                    "((SELECT *, TIMESTAMP '2001-01-01' + to_seconds(v) AS ts FROM model),");
      auto wanted = rows(fmt::format(
          "SELECT k, window_start, window_end, count(*), sum(v) FROM {} AS m WHERE "
          "epoch(window_end - TIMESTAMP '2001-01-01') + {} > watermark {} GROUP BY 1, 2, 3 ORDER "
          "BY "
          "ALL",
          table, c.lateness,
          c.on_close
              ? fmt::format("AND epoch(window_end - TIMESTAMP '2001-01-01') <= {}", watermark)
              : ""));
      EXPECT_EQ(rows(fmt::format("SELECT k, window_start, window_end, n, s FROM {} ORDER BY ALL",
                                 c.name)),
                wanted)
          << c.name << " after " << entry;
    }
  }
}

}  // namespace
}  // namespace ziwa::sql
