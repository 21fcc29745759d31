#include "stream/plan_facts.h"
#include "stream/testing/stream_rig.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

// Operators whose rows go by watermarks: against DuckDB's answer over all rows that came in time,
// after random records, steps, checkpoints and restarts; and that the rows do go.
namespace ziwa::stream {
namespace {

using testing::Bag;
using testing::PlanBuilder;
using testing::StreamRig;

constexpr int64_t kSecondUs = 1'000'000;
constexpr int kDelayS = 5;
const PlanBuilder::Columns kColumns = {{"ts", "TIMESTAMP"}, {"k", "VARCHAR"}, {"v", "BIGINT"}};

/// Two topics as nodes of a plan, with rows on time if `on_time` says so.
struct Inputs {
  PlanBuilder builder;
  uint32_t a = 0;
  uint32_t b = 0;

  std::string left(size_t column) { return builder.column(a, column); }
  std::string right(size_t column) { return builder.column(b, column); }
};

Inputs inputs(ObjectId a, ObjectId b, bool a_on_time, bool b_on_time) {
  Inputs in;
  in.a = in.builder.source(a, kColumns);
  if (a_on_time) in.a = in.builder.on_time(in.a, in.left(0));
  in.b = in.builder.source(b, kColumns);
  if (b_on_time) in.b = in.builder.on_time(in.b, in.right(0));
  return in;
}

/// b.ts BETWEEN a.ts - 4 s AND a.ts + 6 s.
JoinNode interval_join(Inputs& in, JoinKind kind) {
  return {.kind = kind,
          .left_keys = {in.left(1)},
          .right_keys = {in.right(1)},
          .null_safe = {false},
          .residual = fmt::format("({1} >= {0} - CAST('00:00:04' AS INTERVAL)) AND ({1} <= {0} + "
                                  "CAST('00:00:06' AS INTERVAL))",
                                  in.left(0), in.right(0)),
          .left_limits = {{.until = in.left(0),
                           .plus_us = 6 * kSecondUs,
                           .column = in.builder.column_id(in.b, 0)}},
          .right_limits = {{.until = in.right(0),
                            .plus_us = 4 * kSecondUs,
                            .column = in.builder.column_id(in.a, 0)}}};
}

constexpr const char* kBetween =
    "b.ts BETWEEN a.ts - INTERVAL 4 SECOND AND a.ts + INTERVAL 6 SECOND";

/// A view, and what it must be of the rows `a` and `b` that are not late for it.
struct Case {
  std::string name;
  std::function<Plan(ObjectId a, ObjectId b)> plan;
  std::string sql;
  std::string a_in_time = "ts >= watermark";  ///< Over the rows of the model.
  std::string b_in_time = "ts >= watermark";
};

Case interval_case(JoinKind kind, const std::string& words) {
  return {.name = "interval_" + std::string(name_of(kind)),
          .plan =
              [kind](ObjectId a, ObjectId b) {
                Inputs in = inputs(a, b, true, true);
                in.builder.join(in.a, in.b, interval_join(in, kind));
                return in.builder.build();
              },
          .sql = fmt::format("SELECT a.*{} FROM a {} b ON a.k = b.k AND {}",
                             gives_right_columns(kind) ? ", b.*" : "", words, kBetween)};
}

constexpr const char* kOpenWindow =
    "time_bucket(INTERVAL 10 SECOND, ts) + INTERVAL 10 SECOND > watermark";
constexpr const char* kWindow = "time_bucket(INTERVAL 10 SECOND, ts)";

/// Windows of 10 s of both sides; rows of one window and key match.
Case window_case(JoinKind kind, const std::string& words) {
  return {.name = "window_" + std::string(name_of(kind)),
          .plan =
              [kind](ObjectId a, ObjectId b) {
                Inputs in = inputs(a, b, false, false);
                in.a = in.builder.tumble(in.a, in.left(0), 10 * kSecondUs);
                in.b = in.builder.tumble(in.b, in.right(0), 10 * kSecondUs);
                auto j = in.builder.join(in.a, in.b,
                                         {.kind = kind,
                                          .left_keys = {in.left(1), in.left(3)},
                                          .right_keys = {in.right(1), in.right(3)},
                                          .null_safe = {false, false}});
                std::vector<Expression> columns = {in.left(0), in.left(1), in.left(2)};
                PlanBuilder::Columns types = kColumns;
                if (gives_right_columns(kind)) {
                  columns.insert(columns.end(), {in.right(0), in.right(1), in.right(2)});
                  types.insert(types.end(), kColumns.begin(), kColumns.end());
                }
                in.builder.project(j, columns, types);
                return in.builder.build();
              },
          .sql = fmt::format("SELECT a.*{} FROM a {} b ON a.k = b.k AND time_bucket(INTERVAL 10 "
                             "SECOND, a.ts) = time_bucket(INTERVAL 10 SECOND, b.ts)",
                             gives_right_columns(kind) ? ", b.*" : "", words),
          .a_in_time = kOpenWindow,
          .b_in_time = kOpenWindow};
}

/// Operators behind windows of 10 s, one topic or both.
void add_windowed(std::vector<Case>& all) {
  const PlanBuilder::Columns kWindowKeys = {{"start", "TIMESTAMP"}, {"k", "VARCHAR"}};
  auto add = [&](std::string name, std::function<void(Inputs&)> build, std::string sql) {
    all.push_back({.name = std::move(name),
                   .plan =
                       [build](ObjectId a, ObjectId b) {
                         Inputs in = inputs(a, b, false, false);
                         in.a = in.builder.tumble(in.a, in.left(0), 10 * kSecondUs);
                         build(in);
                         return in.builder.build();
                       },
                   .sql = std::move(sql),
                   .a_in_time = kOpenWindow,
                   .b_in_time = kOpenWindow});
  };
  add(
      "top",
      [](Inputs& in) {
        auto top =
            in.builder.top_n(in.a, {.partition_by = {in.left(1), in.left(4)},
                                    .order = {{.expression = in.left(2), .descending = true}},
                                    .limit = 2,
                                    .with_rank = true});
        in.builder.project(
            top, {in.left(0), in.left(1), in.left(2), in.builder.column(top, 5)},
            {{"ts", "TIMESTAMP"}, {"k", "VARCHAR"}, {"v", "BIGINT"}, {"r", "BIGINT"}});
      },
      fmt::format(
          "SELECT ts, k, v, row_number() OVER (PARTITION BY k, {} ORDER BY v DESC, ts) AS r "
          "FROM a QUALIFY r <= 2",
          kWindow));
  add(
      "over",
      [](Inputs& in) {
        auto over =
            in.builder.over(in.a,
                            {.partition_by = {in.left(4)},
                             .order = {{.expression = in.left(0)}},
                             .calls = {{.call = {.function = "sum", .arguments = {in.left(2)}}}}},
                            {{"s", "HUGEINT"}});
        in.builder.project(over, {in.left(0), in.left(1), in.builder.column(over, 5)},
                           {{"ts", "TIMESTAMP"}, {"k", "VARCHAR"}, {"s", "HUGEINT"}});
      },
      fmt::format("SELECT ts, k, sum(v) OVER (PARTITION BY {} ORDER BY ts) FROM a", kWindow));
  add(
      "distinct",
      [=](Inputs& in) {
        in.builder.distinct(in.builder.project(in.a, {in.left(3), in.left(1)}, kWindowKeys));
      },
      fmt::format("SELECT DISTINCT {}, k FROM a", kWindow));
  add(
      "except",
      [=](Inputs& in) {
        in.b = in.builder.tumble(in.b, in.right(0), 10 * kSecondUs);
        auto left = in.builder.project(in.a, {in.left(3), in.left(1)}, kWindowKeys);
        auto right = in.builder.project(in.b, {in.right(3), in.right(1)}, kWindowKeys);
        in.builder.set_operation(left, right, {.intersect = false, .all = true}, kWindowKeys);
      },
      fmt::format("SELECT {0}, k FROM a EXCEPT ALL SELECT {0}, k FROM b", kWindow));
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (auto [kind, words] : {std::pair(JoinKind::inner, "JOIN"),
                             {JoinKind::left, "LEFT JOIN"},
                             {JoinKind::right, "RIGHT JOIN"},
                             {JoinKind::full, "FULL JOIN"},
                             {JoinKind::semi, "SEMI JOIN"},
                             {JoinKind::anti, "ANTI JOIN"}}) {
    all.push_back(interval_case(kind, words));
    all.push_back(window_case(kind, words));
  }
  all.push_back(
      {.name = "one_limit",
       .plan =
           [](ObjectId a, ObjectId b) {
             Inputs in = inputs(a, b, false, true);
             in.builder.join(
                 in.a, in.b,
                 {.kind = JoinKind::full,
                  .left_keys = {in.left(1)},
                  .right_keys = {in.right(1)},
                  .null_safe = {true},
                  .residual = fmt::format("({} < {})", in.right(0), in.left(0)),
                  .left_limits = {{.until = in.left(0), .column = in.builder.column_id(in.b, 0)}}});
             return in.builder.build();
           },
       .sql = "SELECT a.*, b.* FROM a FULL JOIN b ON a.k IS NOT DISTINCT FROM b.k AND "
              "b.ts < a.ts",
       .a_in_time = "true"});
  // Groups of windows behind a join of times; the sums of one side change until their window ends.
  all.push_back(
      {.name = "windows_behind",
       .plan =
           [](ObjectId a, ObjectId b) {
             Inputs in = inputs(a, b, true, true);
             auto j = in.builder.join(in.a, in.b, interval_join(in, JoinKind::inner));
             auto w = in.builder.tumble(j, in.right(0), 10 * kSecondUs);
             in.builder.aggregate(
                 w, {in.builder.column(w, 6), in.right(1)},
                 {{.function = "count_star"}, {.function = "sum", .arguments = {in.left(2)}}},
                 {{"start", "TIMESTAMP"}, {"k", "VARCHAR"}, {"n", "BIGINT"}, {"s", "HUGEINT"}});
             return in.builder.build({0, 1});
           },
       .sql = fmt::format("SELECT time_bucket(INTERVAL 10 SECOND, b.ts), b.k, count(*), sum(a.v) "
                          "FROM a JOIN b ON a.k = b.k AND {} GROUP BY 1, 2",
                          kBetween)});
  all.push_back(
      {.name = "with_sums",
       .plan =
           [](ObjectId a, ObjectId b) {
             Inputs in = inputs(a, b, true, false);
             auto w = in.builder.tumble(in.b, in.right(0), 10 * kSecondUs);
             auto sums = in.builder.aggregate(w, {in.builder.column(w, 4)},
                                              {{.function = "sum", .arguments = {in.right(2)}}},
                                              {{"ends", "TIMESTAMP"}, {"s", "HUGEINT"}});
             auto ends = in.builder.column(sums, 0);
             in.builder.join(
                 in.a, sums,
                 {.kind = JoinKind::left,
                  .left_keys = {fmt::format("CAST({} % 3 AS HUGEINT)", in.left(2))},
                  .right_keys = {fmt::format("({} % 3)", in.builder.column(sums, 1))},
                  .null_safe = {false},
                  .residual =
                      fmt::format("({0} <= {1}) AND ({1} <= {0} + CAST('00:00:10' AS INTERVAL))",
                                  in.left(0), ends),
                  .left_limits = {{.until = in.left(0),
                                   .plus_us = 10 * kSecondUs,
                                   .column = in.builder.column_id(sums, 0)}},
                  .right_limits = {{.until = ends, .column = in.builder.column_id(in.a, 0)}}});
             return in.builder.build();
           },
       .sql = "SELECT a.*, s.* FROM a LEFT JOIN (SELECT time_bucket(INTERVAL 10 SECOND, ts) + "
              "INTERVAL 10 SECOND AS ends, sum(v) AS s FROM b GROUP BY 1) s ON a.v % 3 = s.s % 3 "
              "AND s.ends BETWEEN a.ts AND a.ts + INTERVAL 10 SECOND",
       .b_in_time = "time_bucket(INTERVAL 10 SECOND, ts) + INTERVAL 10 SECOND > watermark"});
  for (bool strict : {false, true}) {
    all.push_back(
        {.name = strict ? "asof_before" : "asof",
         .plan =
             [strict](ObjectId a, ObjectId b) {
               Inputs in = inputs(a, b, true, true);
               in.builder.asof(in.a, in.b,
                               {.keep_left = !strict,
                                .left_keys = {in.left(1)},
                                .right_keys = {in.right(1)},
                                .left_time = in.left(0),
                                .right_time = in.right(0),
                                .strict = strict});
               return in.builder.build();
             },
         .sql = fmt::format("SELECT a.*, b.* FROM a ASOF {} JOIN (SELECT ts, k, max(v) AS v FROM b "
                            "GROUP BY ts, k) b ON a.k = b.k AND a.ts {} b.ts",
                            strict ? "" : "LEFT", strict ? ">" : ">=")});
  }
  add_windowed(all);
  return all;
}

/// Produces records with random times into two topics and keeps a model of them.
class FreedState : public ::testing::Test {
 protected:
  void open() {
    rig_.open();
    for (const char* name : {"a", "b"}) {
      topics_.push_back(rig_.create_topic({.name = name,
                                           .columns = kColumns,
                                           .partitions = 1,
                                           .watermark = "ts",
                                           .delay_us = kDelayS * kSecondUs}));
    }
    model_ = rig_.duck().connect();
    for (const char* name : {"a", "b"}) {
      testing::run(*model_, fmt::format("CREATE TEMP TABLE all_{} (ts TIMESTAMP, k VARCHAR, v "
                                        "BIGINT, watermark TIMESTAMP)",
                                        name));
    }
  }

  static std::string time(int64_t second) {
    return fmt::format("2001-01-01 {:02}:{:02}:{:02}", second / 3600, second / 60 % 60,
                       second % 60);
  }

  /// Records of one topic, most of them near its newest.
  void produce(size_t topic, size_t count) {
    std::vector<std::string> values;
    std::string rows;
    int64_t& newest = newest_[topic];
    int64_t later = newest;
    for (size_t i = 0; i < count; ++i) {
      const int64_t spread = random_() % 12 == 0 ? 60 : 12;
      const int64_t second =
          std::max<int64_t>(0, newest + static_cast<int64_t>(random_() % spread) - spread * 2 / 3);
      const std::string key = random_() % 9 == 0 ? "" : std::string(1, "xyz"[random_() % 3]);
      const auto v = static_cast<int64_t>(random_() % 4);
      values.push_back(fmt::format(R"({{"ts": "{}", "k": {}, "v": {}}})", time(second),
                                   key.empty() ? "null" : "\"" + key + "\"", v));
      const int64_t watermark = newest == kNothing ? -1 : newest - kDelayS;
      rows += fmt::format("{}('{}', {}, {}, {})", rows.empty() ? "" : ", ", time(second),
                          key.empty() ? "NULL" : "'" + key + "'", v,
                          watermark < 0 ? "'-infinity'" : "'" + time(watermark) + "'");
      later = std::max(later, second);
    }
    newest = later;
    testing::run(*model_,
                 fmt::format("INSERT INTO all_{} VALUES {}", topic == 0 ? "a" : "b", rows));
    rig_.produce(topics_[topic], 0, values);
  }

  Bag wanted(const Case& c) {
    for (const auto& [name, in_time] : {std::pair("a", c.a_in_time), {"b", c.b_in_time}}) {
      testing::run(*model_, fmt::format("CREATE OR REPLACE TEMP VIEW {0} AS SELECT ts, k, v FROM "
                                        "all_{0} WHERE {1}",
                                        name, in_time));
    }
    return testing::query_bag(*model_, c.sql);
  }

  static constexpr int64_t kNothing = 0;
  StreamRig rig_;
  std::mt19937_64 random_{7};
  std::vector<ObjectId> topics_;
  std::vector<int64_t> newest_ = {kNothing, kNothing};
  std::unique_ptr<duckdb::Connection> model_;
};

TEST_F(FreedState, AnswersAreThoseOfAllRowsInTime) {
  open();
  const auto all = cases();
  std::vector<ObjectId> views;
  for (const Case& c : all)
    views.push_back(rig_.create_view(c.name, c.plan(topics_[0], topics_[1])));
  for (int entry = 0; entry < 160; ++entry) {
    produce(random_() % 2, random_() % 6 + 1);
    if (random_() % 2 == 0) rig_.settle(random_() % 3 == 0 ? 1 : SIZE_MAX);
    if (random_() % 4 == 0) rig_.checkpoint();
    if (random_() % 12 == 0) rig_.reopen_core();
    if (entry % 8 != 7) continue;
    rig_.settle();
    for (size_t i = 0; i < all.size(); ++i) {
      ASSERT_EQ(rig_.error_of(views[i]), "") << all[i].name;
      EXPECT_EQ(testing::difference(rig_.view(views[i]), wanted(all[i])), "")
          << all[i].name << " after entry " << entry;
    }
    if (HasFailure()) return;
  }
  // A view made now reads the same.
  for (size_t i = 0; i < all.size(); ++i) {
    auto again = rig_.create_view("again_" + all[i].name, all[i].plan(topics_[0], topics_[1]));
    rig_.settle();
    EXPECT_EQ(testing::difference(rig_.view(again), rig_.view(views[i])), "") << all[i].name;
  }
}

/// What the store holds of a view's operators.
std::set<std::string> stored_keys(state::Store& store, ObjectId view) {
  const std::string prefix = id_prefix(view);
  std::set<std::string> keys;
  auto cursor = store.cursor(StoreTables(store).state);
  for (cursor->seek(prefix); cursor->valid() && cursor->key().starts_with(prefix); cursor->next())
    keys.emplace(cursor->key());
  return keys;
}

/// Rows go from memory and from the store, also those that were loaded.
TEST_F(FreedState, RowsGo) {
  open();
  for (const Case& c : cases()) {
    if (c.name == "one_limit") continue;  // Its right side stays.
    auto view = rig_.create_view(c.name, c.plan(topics_[0], topics_[1]));
    for (int i = 0; i < 16; ++i) produce(i % 2, 12);
    rig_.settle();
    rig_.checkpoint();
    const auto before = stored_keys(rig_.store(), view);
    EXPECT_GT(before.size(), 2u) << c.name;
    rig_.reopen_core();
    // An hour later: after the second of these nothing that came before can match any more.
    for (int64_t& newest : newest_) newest += 3'600;
    for (int i = 0; i < 4; ++i) produce(i % 2, 1);
    rig_.settle();
    rig_.checkpoint();
    size_t old = 0;
    for (const std::string& key : stored_keys(rig_.store(), view)) old += before.count(key);
    // A key's last version stays: rows to come may have it.
    EXPECT_LE(old, c.name.starts_with("asof") ? 3u : 0u) << c.name;
    size_t reports = 0;
    for (const auto& report : rig_.core().operators(view)) reports += report.grows.empty() ? 0 : 1;
    EXPECT_EQ(reports, 0u) << c.name << " is said to grow";
    ASSERT_TRUE(rig_.drop(view).has_value());
    rig_.checkpoint();
  }
}

}  // namespace
}  // namespace ziwa::stream
