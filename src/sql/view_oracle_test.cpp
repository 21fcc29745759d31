#include "base/file.h"
#include "duck/instance.h"
#include "sql/event_windows.h"
#include "sql/rewrite.h"
#include "sql/testing/plan_text.h"
#include "stream/testing/harness.h"

#include <gtest/gtest.h>

// From the text of a query to the rows that a view keeps: planned by DuckDB, translated, fed with
// random inserts and deletes, and compared with what DuckDB answers to the same text.
namespace ziwa::sql {
namespace {

using stream::testing::check;
using stream::testing::table_t;
using stream::testing::table_u;

void with_windows(duck::Instance& instance) {
  ASSERT_TRUE(register_window_functions(instance).has_value());
}

class ViewOracle : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    instance_ = std::move(*duck::Instance::open(posix_file_system(), {}));
    with_windows(*instance_);
    connection_ = instance_->connect();
    for (const auto& source : {table_t(), table_u()}) {
      std::string columns;
      for (const auto& [name, type] : source.columns) {
        columns += fmt::format("{}{} {}", columns.empty() ? "" : ", ", name, type);
      }
      stream::testing::run(*connection_, fmt::format("CREATE TABLE {} ({})", source.name, columns));
    }
  }
  Result<stream::Plan> plan(const std::string& query) {
    return testing::plan_text(*connection_, query, [](const std::string& table) {
      return table == "t" ? table_t().id : table_u().id;
    });
  }

  std::unique_ptr<duck::Instance> instance_;
  std::unique_ptr<duckdb::Connection> connection_;
};

TEST_P(ViewOracle, KeepsWhatTheQueryAnswers) {
  auto of_view = rewrite_statement(GetParam(), RewriteFor::view);
  ASSERT_TRUE(of_view.has_value()) << GetParam() << "\n" << of_view.error().to_string();
  auto got = plan(of_view->text);
  ASSERT_TRUE(got.has_value()) << GetParam() << "\n" << got.error().to_string();
  check({table_t(), table_u()}, *got, rewrite_statement(GetParam())->text, with_windows);
}

#define VERSIONS "(SELECT DISTINCT k, n FROM u WHERE n IS NOT NULL)"
#define KNOWN "(SELECT * FROM t WHERE v IS NOT NULL)"
constexpr const char* kJoins[] = {
    "SELECT t.k, v, n FROM t JOIN u ON t.k = u.k",
    "SELECT t.k, v, n FROM t JOIN u ON t.k = u.k AND t.g < u.n",
    "SELECT t.k, v, n FROM t JOIN u ON t.k = u.k AND (t.g = 1 OR u.n = 2)",
    "SELECT k, v, n FROM t JOIN u USING (k) WHERE v + n > 3",
    "SELECT t.k, v, n FROM t LEFT JOIN u ON t.k = u.k AND t.v > 2",
    "SELECT t.k, v, n FROM t LEFT JOIN u ON t.k = u.k AND (t.g = 1 OR u.n = 2)",
    "SELECT t.k, v, u.k, n FROM t FULL JOIN u ON t.k = u.k AND t.v > 2 AND u.n > 1",
    "SELECT t.k, v, u.k, n FROM t RIGHT JOIN u ON u.k IS NOT DISTINCT FROM t.k AND u.n > 2",
    "SELECT k, v FROM t ANTI JOIN u ON t.k = u.k AND t.v > 2",
    // DuckDB's own ASOF join takes NULL for a late time.
    "SELECT t.k, v, n FROM " KNOWN " t ASOF JOIN " VERSIONS " u ON t.k = u.k AND v >= n",
    "SELECT t.k, v, n FROM " KNOWN " t ASOF LEFT JOIN " VERSIONS " u ON t.k = u.k AND v > n",
    "SELECT t.*, u.* FROM " KNOWN " t ASOF LEFT JOIN " VERSIONS " u ON t.k = u.k AND v <= n",
    "SELECT t.k, v, n FROM " KNOWN " t ASOF LEFT JOIN " VERSIONS " u ON t.k = u.k AND v < n",
    "SELECT t.k, v, n FROM " KNOWN
    " t ASOF JOIN (SELECT DISTINCT n FROM u WHERE n IS NOT NULL) u ON v >= n",
    "SELECT k, count(*), sum(c) FROM " KNOWN
    " t ASOF JOIN (SELECT k, n AS v, count(*) AS c FROM u WHERE n "
    "IS "
    "NOT NULL GROUP BY k, n) u USING (k, v) GROUP BY k",
    "SELECT t.k, v, u.k, n FROM t LEFT JOIN u ON t.k = u.k",
    "SELECT t.k, v, u.k, n FROM t LEFT JOIN u ON t.k = u.k AND t.g < u.n",
    "SELECT t.k, v, u.k, n FROM t LEFT JOIN u ON t.k = u.k WHERE u.n IS NULL OR u.n > 2",
    "SELECT t.k, v, u.k, n FROM t RIGHT JOIN u ON t.k = u.k",
    "SELECT t.k, v, u.k, n FROM t FULL JOIN u ON t.k = u.k",
    "SELECT t.k, v, u.k, n FROM t FULL JOIN u ON t.k = u.k AND t.g = u.n",
    "SELECT k, v FROM t SEMI JOIN u ON t.k = u.k",
    "SELECT k, v FROM t ANTI JOIN u ON t.k = u.k",
    "SELECT a.k, b.k, c.n FROM t a JOIN t b ON a.g = b.g LEFT JOIN u c ON a.k = c.k",
    "SELECT t.k, n FROM t JOIN u ON t.k IS NOT DISTINCT FROM u.k",
    "SELECT k, count(*), sum(n) FROM t LEFT JOIN u USING (k) GROUP BY k",
    "SELECT v, most FROM t CROSS JOIN (SELECT max(n) AS most FROM u)",
};

constexpr const char* kSubqueries[] = {
    "SELECT k, v FROM t WHERE k IN (SELECT k FROM u)",
    "SELECT k, v FROM t WHERE k NOT IN (SELECT k FROM u WHERE k IS NOT NULL)",
    "SELECT k, v FROM t WHERE g NOT IN (SELECT n FROM u)",
    "SELECT k, v, g IN (SELECT n FROM u) AS found FROM t",
    "SELECT k, v FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.k = t.k AND u.n > t.g)",
    "SELECT k, v FROM t WHERE NOT EXISTS (SELECT 1 FROM u WHERE u.k = t.k)",
    "SELECT k, v FROM t WHERE EXISTS (SELECT 1 FROM u WHERE n = 3)",
    "SELECT k, v, NOT EXISTS (FROM u WHERE n = 3) OR v > 3 AS marked FROM t",
    "SELECT k, v, (SELECT max(n) FROM u WHERE u.k = t.k) AS most FROM t",
    "SELECT k, v, (SELECT count(*) FROM u WHERE u.k = t.k) AS many FROM t",
    "SELECT k, v FROM t WHERE v > (SELECT avg(v) FROM t)",
    "SELECT k, v FROM t WHERE v = (SELECT max(v) FROM t b WHERE b.k = t.k)",
    "SELECT k, v FROM t WHERE g = ANY (SELECT n FROM u WHERE u.k = t.k)",
    "WITH big AS (SELECT k, sum(v) AS s FROM t GROUP BY k) SELECT a.k, a.s, b.s FROM big a JOIN "
    "big "
    "b ON a.s = b.s",
    "WITH x AS MATERIALIZED (SELECT k, v FROM t WHERE v > 0) SELECT k FROM x UNION ALL SELECT k "
    "FROM "
    "x WHERE v > 5",
    "SELECT s.k, s.c FROM (SELECT k, count(*) AS c FROM t GROUP BY k) s WHERE s.c > 1",
};

constexpr const char* kSets[] = {
    "SELECT k FROM t UNION SELECT k FROM u",
    "SELECT k FROM t UNION ALL SELECT k FROM u",
    "SELECT k FROM t EXCEPT SELECT k FROM u",
    "SELECT k FROM t EXCEPT ALL SELECT k FROM u",
    "SELECT k FROM t INTERSECT SELECT k FROM u",
    "SELECT k FROM t INTERSECT ALL SELECT k FROM u",
    "SELECT DISTINCT k, g FROM t",
    "SELECT DISTINCT ON (k) k, v, g, d, m FROM t ORDER BY k, v DESC, g, d, m",
    "SELECT k, v, unnest([v, v + 1, g]) AS w FROM t",
    "SELECT k, unnest(CASE WHEN v > 0 THEN [v] ELSE [] END) AS w FROM t",
    "(SELECT k, v FROM t WHERE v > 3 UNION SELECT k, n FROM u) EXCEPT SELECT k, g FROM t",
};

constexpr const char* kGroups[] = {
    "SELECT k, g, sum(v) FROM t GROUP BY ROLLUP (k, g)",
    "SELECT k FROM t GROUP BY ROLLUP (k)",
    "SELECT grouping(k) AS lost FROM t GROUP BY CUBE (k)",
    "SELECT k, g, count(*), grouping(k, g) AS lost FROM t GROUP BY CUBE (k, g)",
    "SELECT k, g, max(v) FROM t GROUP BY GROUPING SETS ((k), (g), ())",
    "SELECT k, count(DISTINCT v), sum(DISTINCT v) FROM t GROUP BY k",
    "SELECT k, count(DISTINCT v) FILTER (g = 1), sum(DISTINCT v) FILTER (g = 2) FROM t GROUP BY k",
    "SELECT k, median(v), quantile_disc(v, 0.9) FROM t GROUP BY k",
    "SELECT k, string_agg(v::VARCHAR, '-' ORDER BY v) FROM t GROUP BY k",
    "SELECT k, list(v ORDER BY v DESC NULLS LAST) FROM t GROUP BY k",
    "SELECT k, min(v), max(v), count(*) FROM t GROUP BY k HAVING count(*) > 2",
    "SELECT g, stddev_samp(v), mode(k ORDER BY k) FROM t WHERE k IS NOT NULL GROUP BY g",
    "SELECT k, list_reverse_sort(list(g)) FROM t GROUP BY k",
    "SELECT k, bool_and(v > 0), bool_or(v > 0) FROM t GROUP BY k",
};

#define TIMED "(SELECT *, TIMESTAMP '1970-01-01' + to_minutes(v) AS ts FROM t)"
constexpr const char* kEventWindows[] = {
    "SELECT * FROM tumble(" TIMED ", ts, INTERVAL 4 MINUTES, INTERVAL 1 MINUTE)",
    "SELECT k, window_start, window_end, count(*) FROM tumble(" TIMED
    ", ts, INTERVAL 5 MINUTES) GROUP BY ALL",
    "SELECT * FROM hop(" TIMED ", ts, INTERVAL 2 MINUTES, INTERVAL 6 MINUTES)",
    "SELECT window_end, sum(v), count(DISTINCT k) FROM hop(" TIMED
    ", ts, INTERVAL 2 MINUTES, INTERVAL 6 MINUTES) WHERE window_start > TIMESTAMP '1970-01-01' "
    "GROUP BY window_end",
    "SELECT k, window_start, max(v) FROM hop(" TIMED
    ", ts, INTERVAL 3 MINUTES, INTERVAL 9 MINUTES, INTERVAL (-1) MINUTE) GROUP BY ALL",
    "SELECT k, window_start, window_end, sum(v) FROM cumulate(" TIMED
    ", ts, INTERVAL 3 MINUTES, INTERVAL 9 MINUTES) GROUP BY ALL",
    "SELECT * FROM TABLE(CUMULATE(TABLE " TIMED
    ", DESCRIPTOR(ts), INTERVAL '2' MINUTE, INTERVAL '4' MINUTE)) WHERE k = 'a'",
    "SELECT a.window_start, a.k, a.n FROM (SELECT window_start, k, count(*) AS n FROM hop(" TIMED
    ", ts, INTERVAL 4 MINUTES, INTERVAL 8 MINUTES) GROUP BY ALL) a JOIN (SELECT window_start, "
    "max(n) AS most FROM (SELECT window_start, k, count(*) AS n FROM hop(" TIMED
    ", ts, INTERVAL 4 MINUTES, INTERVAL 8 MINUTES) GROUP BY ALL) GROUP BY window_start) b "
    "ON a.window_start = b.window_start AND a.n >= b.most",
    "SELECT w.k, w.window_start, u.n FROM hop(" TIMED
    ", ts, INTERVAL 5 MINUTES, INTERVAL 10 MINUTES) w LEFT JOIN u ON w.k = u.k",
    "SELECT DISTINCT window_start FROM hop(" TIMED ", ts, INTERVAL 5 MINUTES, INTERVAL 10 MINUTES)",
    "SELECT b.window_start, count(*) FROM tumble((SELECT k, window_end AS e FROM hop(" TIMED
    ", ts, INTERVAL 2 MINUTES, INTERVAL 4 MINUTES)), e, INTERVAL 6 MINUTES) b GROUP BY ALL",
    "SELECT a.k, a.window_start, b.window_start AS hours FROM tumble(" TIMED
    ", ts, INTERVAL 2 MINUTES) a JOIN tumble(" TIMED
    ", ts, INTERVAL 4 MINUTES) b ON a.k = b.k AND a.v = b.v",
};

constexpr const char* kSessions[] = {
    "SELECT * FROM session(" TIMED " PARTITION BY k, ts, INTERVAL 2 MINUTES)",
    "SELECT * FROM session(" TIMED ", ts, INTERVAL 1 MINUTE)",
    "SELECT k, g, window_start, count(*), sum(v) FROM session(" TIMED
    " PARTITION BY (k, g), ts, INTERVAL 3 MINUTES) GROUP BY ALL",
    "SELECT window_end, list(v ORDER BY v) FROM session((SELECT * FROM " TIMED
    " WHERE g = 1), ts, INTERVAL 2 MINUTES) GROUP BY window_end",
    "SELECT k, v, window_end FROM TABLE(SESSION(TABLE " TIMED
    " PARTITION BY k, DESCRIPTOR(ts), INTERVAL '2' MINUTE)) s WHERE v > 0 AND k > 'a'",
    "SELECT s.k, s.n, u.n FROM (SELECT k, window_start, count(*) AS n FROM session(" TIMED
    " PARTITION BY k, ts, INTERVAL 2 MINUTES) GROUP BY ALL) s LEFT JOIN u ON s.k = u.k",
    "SELECT k, max(n) FROM (SELECT k, window_start, count(*) AS n FROM session(" TIMED
    " PARTITION BY k, ts, INTERVAL 2 MINUTES) GROUP BY ALL) GROUP BY k",
    "SELECT k, ts, window_start, window_end FROM session((SELECT k, CASE g WHEN 0 THEN TIMESTAMP "
    "'infinity' WHEN 1 THEN TIMESTAMP '1970-01-01' + to_minutes(v) END AS ts FROM t) PARTITION BY "
    "k, ts, INTERVAL 2 MINUTES)",
};

constexpr const char* kOrders[] = {
    "SELECT k, v, g, d, m FROM t ORDER BY v DESC, k, g, d, m LIMIT 5",
    "SELECT k, v, g, d, m FROM t ORDER BY v, k, g, d, m LIMIT 3 OFFSET 2",
    "SELECT * FROM (SELECT k, v, g, d, m, row_number() OVER (PARTITION BY k ORDER BY v, g, d, m) "
    "AS r "
    "FROM t) WHERE r <= 2",
    "SELECT * FROM (SELECT k, v, g, d, m, row_number() OVER (PARTITION BY k ORDER BY v, g, d, m) "
    "AS r "
    "FROM t) WHERE r = 1",
};

constexpr const char* kWindows[] = {
    "SELECT *, row_number() OVER (PARTITION BY k ORDER BY v, g, d, m) FROM t",
    "SELECT *, row_number() OVER (ORDER BY v DESC NULLS FIRST, k, g, d, m) FROM t",
    "SELECT *, rank() OVER w, dense_rank() OVER w, percent_rank() OVER w, cume_dist() OVER w FROM "
    "t "
    "WINDOW w AS (PARTITION BY k ORDER BY g)",
    "SELECT *, ntile(3) OVER (PARTITION BY g ORDER BY v, k, d, m) FROM t",
    "SELECT *, lag(v) OVER w, lead(v, 2, -1) OVER w FROM t WINDOW w AS (PARTITION BY k ORDER BY v, "
    "g, "
    "d, m)",
    "SELECT *, lag(v, g) OVER (PARTITION BY k ORDER BY v, g, d, m) FROM t",
    "SELECT *, lag(g IGNORE NULLS) OVER (PARTITION BY k ORDER BY v, g, d, m) FROM t",
    "SELECT *, sum(v) OVER (PARTITION BY k ORDER BY v, g, d, m ROWS BETWEEN 2 PRECEDING AND 1 "
    "FOLLOWING) FROM t",
    "SELECT *, avg(d) OVER (ORDER BY v, k, g, d, m ROWS BETWEEN 3 FOLLOWING AND 5 FOLLOWING) FROM "
    "t",
    "SELECT *, sum(v) OVER (PARTITION BY k ORDER BY g) FROM t",
    "SELECT *, count(*) OVER (PARTITION BY k), max(v) OVER () FROM t",
    "SELECT *, count(*) OVER (ORDER BY v RANGE BETWEEN 3 PRECEDING AND 2 FOLLOWING) FROM t",
    "SELECT *, count(*) OVER (ORDER BY m RANGE BETWEEN 1 PRECEDING AND 0.1 FOLLOWING) FROM t",
    "SELECT *, sum(m) OVER (PARTITION BY k ORDER BY m DESC RANGE BETWEEN 0.1 PRECEDING AND CURRENT "
    "ROW) FROM t",
    "SELECT *, sum(v) OVER (PARTITION BY k ORDER BY g GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING "
    "EXCLUDE TIES) FROM t",
    "SELECT *, first_value(v) OVER w, last_value(v) OVER w, nth_value(v, 2) OVER w FROM t WINDOW w "
    "AS "
    "(PARTITION BY k ORDER BY v, g, d, m)",
    "SELECT *, max(v) FILTER (g = 1) OVER (PARTITION BY k ORDER BY v) FROM t",
    "SELECT *, count(DISTINCT g) OVER (PARTITION BY k ORDER BY v) FROM t",
    "SELECT *, list(v ORDER BY v) OVER (PARTITION BY k) FROM t",
    "SELECT *, median(v) OVER (PARTITION BY k ORDER BY v, g, d, m ROWS 3 PRECEDING), "
    "quantile_cont(v, 0.25) OVER (PARTITION BY k) FROM t",
    "SELECT * FROM t QUALIFY rank() OVER (PARTITION BY k ORDER BY v) <= 2",
    "SELECT * FROM t QUALIFY row_number() OVER (PARTITION BY k ORDER BY v, g, d, m) > 2",
    "SELECT *, rank() OVER (ORDER BY v), sum(v) OVER (PARTITION BY g), lag(v) OVER (ORDER BY v, k, "
    "g, "
    "d, m) FROM t",
    "SELECT k, sum(v), sum(sum(v)) OVER (ORDER BY k), rank() OVER (ORDER BY count(*)) FROM t GROUP "
    "BY k",
    "SELECT k, v, v - lag(v) OVER (PARTITION BY k ORDER BY v) AS step FROM t WHERE v IS NOT NULL",
};

INSTANTIATE_TEST_SUITE_P(Joins, ViewOracle, ::testing::ValuesIn(kJoins));
INSTANTIATE_TEST_SUITE_P(Subqueries, ViewOracle, ::testing::ValuesIn(kSubqueries));
INSTANTIATE_TEST_SUITE_P(Sets, ViewOracle, ::testing::ValuesIn(kSets));
INSTANTIATE_TEST_SUITE_P(Groups, ViewOracle, ::testing::ValuesIn(kGroups));
INSTANTIATE_TEST_SUITE_P(Orders, ViewOracle, ::testing::ValuesIn(kOrders));
INSTANTIATE_TEST_SUITE_P(Windows, ViewOracle, ::testing::ValuesIn(kWindows));
INSTANTIATE_TEST_SUITE_P(EventWindows, ViewOracle, ::testing::ValuesIn(kEventWindows));
INSTANTIATE_TEST_SUITE_P(Sessions, ViewOracle, ::testing::ValuesIn(kSessions));

}  // namespace
}  // namespace ziwa::sql
