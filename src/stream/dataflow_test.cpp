#include "stream/dataflow.h"

#include "stream/testing/harness.h"

// Every operator against DuckDB's batch answer, after each of many random steps of inserts and
// deletes, with the state written to a store and read back now and then.
namespace ziwa::stream {
namespace {

using testing::check;
using testing::Harness;
using testing::PlanBuilder;
using testing::table_t;
using testing::table_u;

TEST(Dataflow, FilterAndProject) {
  PlanBuilder b;
  auto s = b.source(ObjectId(1), table_t().columns);
  auto f =
      b.filter(s, fmt::format("({} > 2) AND ({} IS NOT NULL)", b.column(s, 2), b.column(s, 0)));
  b.project(f, {b.column(s, 0), fmt::format("({} * CAST(2 AS BIGINT))", b.column(s, 2))},
            {{"k", "VARCHAR"}, {"w", "BIGINT"}});
  check({table_t()}, b.build(), "SELECT k, v * 2 FROM t WHERE v > 2 AND k IS NOT NULL");
}

Plan aggregate_plan(std::vector<size_t> groups) {
  PlanBuilder b;
  auto s = b.source(ObjectId(1), table_t().columns);
  PlanBuilder::Columns columns;
  std::vector<Expression> keys;
  for (size_t i : groups) {
    columns.push_back(table_t().columns[i]);
    keys.push_back(b.column(s, i));
  }
  for (const char* type :
       {"BIGINT", "BIGINT", "HUGEINT", "DOUBLE", "BIGINT", "BIGINT", "DOUBLE", "DOUBLE",
        "DECIMAL(38,3)", "DOUBLE", "VARCHAR", "DOUBLE", "BIGINT", "HUGEINT"}) {
    columns.emplace_back("x", type);
  }
  auto v = b.column(s, 2);
  auto d = b.column(s, 3);
  auto m = b.column(s, 4);
  auto filter = fmt::format("({} > 0)", v);
  b.aggregate(s, keys,
              {{.function = "count_star"},
               {.function = "count", .arguments = {v}},
               {.function = "sum", .arguments = {v}},
               {.function = "avg", .arguments = {v}},
               {.function = "min", .arguments = {v}},
               {.function = "max", .arguments = {v}},
               {.function = "sum", .arguments = {d}},
               {.function = "avg", .arguments = {d}},
               {.function = "sum", .arguments = {m}},
               {.function = "avg", .arguments = {m}},
               {.function = "min", .arguments = {b.column(s, 0)}},
               {.function = "max", .arguments = {d}},
               {.function = "count_star", .filter = filter},
               {.function = "sum", .arguments = {v}, .filter = filter}},
              columns);
  return b.build();
}
constexpr const char* kAggregates =
    "count(*), count(v), sum(v), avg(v), min(v), max(v), fsum(d), favg(d), sum(m), avg(m), min(k), "
    "max(d), "
    "count(*) FILTER (v > 0), sum(v) FILTER (v > 0) FROM t";

TEST(Dataflow, Aggregate) {
  check({table_t()}, aggregate_plan({0, 1}),
        fmt::format("SELECT k, g, {} GROUP BY k, g", kAggregates));
}
TEST(Dataflow, AggregateOfRowsThatStay) {
  check({table_t(true)}, aggregate_plan({1}), fmt::format("SELECT g, {} GROUP BY g", kAggregates));
}
TEST(Dataflow, AggregateWithoutGroups) {
  check({table_t()}, aggregate_plan({}), fmt::format("SELECT {}", kAggregates));
}

TEST(Dataflow, Join) {
  for (bool null_safe : {false, true}) {
    PlanBuilder b;
    auto t = b.source(ObjectId(1), table_t().columns);
    auto u = b.source(ObjectId(2), table_u().columns);
    b.join(t, u,
           JoinNode{.left_keys = {b.column(t, 0)},
                    .right_keys = {b.column(u, 0)},
                    .null_safe = {null_safe},
                    .residual = fmt::format("({} <> {})", b.column(t, 1), b.column(u, 1))});
    check({table_t(), table_u()}, b.build(),
          fmt::format("SELECT t.*, u.* FROM t JOIN u ON t.k {} u.k AND t.g <> u.n",
                      null_safe ? "IS NOT DISTINCT FROM" : "="));
  }
}

constexpr std::pair<JoinKind, const char*> kKinds[] = {
    {JoinKind::left, "LEFT JOIN"}, {JoinKind::right, "RIGHT JOIN"}, {JoinKind::full, "FULL JOIN"},
    {JoinKind::semi, "SEMI JOIN"}, {JoinKind::anti, "ANTI JOIN"},
};

TEST(Dataflow, JoinsThatKnowWhatMatches) {
  for (auto [kind, words] : kKinds) {
    for (bool null_safe : {false, true}) {
      for (bool residual : {false, true}) {
        PlanBuilder b;
        auto t = b.source(ObjectId(1), table_t().columns);
        auto u = b.source(ObjectId(2), table_u().columns);
        JoinNode node{.kind = kind,
                      .left_keys = {b.column(t, 0)},
                      .right_keys = {b.column(u, 0)},
                      .null_safe = {null_safe}};
        if (residual) node.residual = fmt::format("({} <> {})", b.column(t, 1), b.column(u, 1));
        b.join(t, u, node);
        check({table_t(), table_u()}, b.build(),
              fmt::format("SELECT t.*{} FROM t {} u ON t.k {} u.k{}",
                          gives_right_columns(kind) ? ", u.*" : "", words,
                          null_safe ? "IS NOT DISTINCT FROM" : "=",
                          residual ? " AND t.g <> u.n" : ""));
      }
    }
  }
}

TEST(Dataflow, JoinsByTwoKeysWithRowsThatStay) {
  for (auto [kind, words] : kKinds) {
    PlanBuilder b;
    auto t = b.source(ObjectId(1), table_t().columns);
    auto u = b.source(ObjectId(2), table_u().columns);
    b.join(t, u,
           JoinNode{.kind = kind,
                    .left_keys = {b.column(t, 0), b.column(t, 1)},
                    .right_keys = {b.column(u, 0), b.column(u, 1)},
                    .null_safe = {false, true}});
    auto sql = fmt::format("SELECT t.*{} FROM t {} u ON t.k = u.k AND t.g IS NOT DISTINCT FROM u.n",
                           gives_right_columns(kind) ? ", u.*" : "", words);
    check({table_t(true), table_u()}, b.build(), sql);
  }
}

TEST(Dataflow, OuterJoinOfAggregates) {
  PlanBuilder b;
  auto t = b.source(ObjectId(1), table_t().columns);
  auto a = b.aggregate(t, {b.column(t, 0)}, {{.function = "sum", .arguments = {b.column(t, 2)}}},
                       {{"k", "VARCHAR"}, {"s", "HUGEINT"}});
  auto u = b.source(ObjectId(2), table_u().columns);
  auto c = b.aggregate(u, {b.column(u, 0)}, {{.function = "count_star"}},
                       {{"k", "VARCHAR"}, {"n", "BIGINT"}});
  auto j = b.join(a, c,
                  JoinNode{.kind = JoinKind::full,
                           .left_keys = {b.column(a, 0)},
                           .right_keys = {b.column(c, 0)},
                           .null_safe = {false}});
  b.aggregate(j, {b.column(c, 1)}, {{.function = "count", .arguments = {b.column(a, 1)}}},
              {{"n", "BIGINT"}, {"c", "BIGINT"}});
  check({table_t(), table_u()}, b.build(),
        "SELECT c.n, count(a.s) FROM (SELECT k, sum(v) s FROM t GROUP BY k) a FULL JOIN "
        "(SELECT k, count(*) n FROM u GROUP BY k) c ON a.k = c.k GROUP BY c.n");
}

TEST(Dataflow, ExceptAndIntersect) {
  for (bool intersect : {false, true}) {
    for (bool all : {false, true}) {
      PlanBuilder b;
      auto t = b.source(ObjectId(1), table_t().columns);
      auto p = b.project(t, {b.column(t, 0), b.column(t, 1)}, table_u().columns);
      auto u = b.source(ObjectId(2), table_u().columns);
      b.set_operation(p, u, {.intersect = intersect, .all = all}, table_u().columns);
      check({table_t(), table_u()}, b.build(),
            fmt::format("SELECT k, g FROM t {}{} SELECT k, n FROM u",
                        intersect ? "INTERSECT" : "EXCEPT", all ? " ALL" : ""));
    }
  }
}

TEST(Dataflow, Unnest) {
  PlanBuilder b;
  auto u = b.source(ObjectId(2), table_u().columns);
  b.unnest(u,
           {fmt::format("(CASE WHEN {0} = 1 THEN NULL ELSE list_value({1}, 'x') END)",
                        b.column(u, 1), b.column(u, 0)),
            fmt::format("range(CAST({} AS BIGINT))", b.column(u, 1))},
           {{"a", "VARCHAR"}, {"b", "BIGINT"}});
  check(
      {table_u()}, b.build(),
      "SELECT k, n, unnest(CASE WHEN n = 1 THEN NULL ELSE [k, 'x'] END), unnest(range(n)) FROM u");
}

TEST(Dataflow, UnnestOfNestedValuesInManyChunks) {
  PlanBuilder b;
  auto u = b.source(ObjectId(2), table_u().columns);
  b.unnest(
      u,
      {fmt::format("list_transform(range(700), lambda x: {{'x': x, 'k': [{}]}})", b.column(u, 0))},
      {{"a", "STRUCT(x BIGINT, k VARCHAR[])"}});
  Harness({table_u()}, b.build(),
          "SELECT k, n, unnest(list_transform(range(700), lambda x: {'x': x, 'k': [k]})) FROM u")
      .run(1, 3, 9);
}

TEST(Dataflow, SelfJoin) {
  PlanBuilder b;
  auto left = b.source(ObjectId(2), table_u().columns);
  auto right = b.source(ObjectId(2), table_u().columns);
  b.join(left, right,
         JoinNode{.left_keys = {b.column(left, 0)},
                  .right_keys = {b.column(right, 0)},
                  .null_safe = {false}});
  check({table_u()}, b.build(), "SELECT a.*, b.* FROM u a JOIN u b ON a.k = b.k");
}

TEST(Dataflow, TopN) {
  for (bool append_only : {false, true}) {
    for (bool rank : {false, true}) {
      PlanBuilder b;
      auto t = b.source(ObjectId(1), table_t().columns);
      b.top_n(t,
              TopNNode{
                  .partition_by = {b.column(t, 1)},
                  .order = {{.expression = b.column(t, 2), .descending = true, .nulls_first = true},
                            {.expression = b.column(t, 0), .descending = true}},
                  .limit = 3,
                  .offset = rank ? 0u : 1u,
                  .with_rank = rank});
      check({table_t(append_only)}, b.build(),
            fmt::format("SELECT t.*{} FROM t QUALIFY row_number() OVER (PARTITION BY g ORDER BY v "
                        "DESC NULLS FIRST, "
                        "k DESC NULLS LAST, k, g, v, d, m) {}",
                        rank ? ", row_number() OVER (PARTITION BY g ORDER BY v DESC NULLS FIRST, k "
                               "DESC NULLS LAST, k, g, v, d, m)"
                             : "",
                        rank ? "<= 3" : "BETWEEN 2 AND 4"));
    }
  }
}

TEST(Dataflow, GlobalTopN) {
  for (bool append_only : {false, true}) {
    PlanBuilder b;
    auto t = b.source(ObjectId(1), table_t().columns);
    b.top_n(t, TopNNode{.partition_by = {}, .order = {{.expression = b.column(t, 4)}}, .limit = 5});
    check({table_t(append_only)}, b.build(), "SELECT * FROM t ORDER BY m, k, g, v, d, m LIMIT 5");
  }
}

/// Rows that are equal in all columns count one by one, and the last of them in part.
TEST(Dataflow, TopNOfEqualRows) {
  for (bool rank : {false, true}) {
    for (uint64_t offset : {0, 2}) {
      PlanBuilder b;
      auto t = b.source(ObjectId(1), table_t().columns);
      auto p = b.project(t, {b.column(t, 0), b.column(t, 1)}, table_u().columns);
      b.top_n(p, TopNNode{.partition_by = {b.column(p, 0)},
                          .order = {{.expression = b.column(p, 1)}},
                          .limit = 4,
                          .offset = offset,
                          .with_rank = rank});
      check(
          {table_t(true)}, b.build(),
          fmt::format("SELECT k, g{} FROM t QUALIFY row_number() OVER (PARTITION BY k ORDER BY g) "
                      "BETWEEN {} AND {}",
                      rank ? ", row_number() OVER (PARTITION BY k ORDER BY g)" : "", offset + 1,
                      offset + 4));
    }
  }
}

/// A view whose input is found to only grow goes on with what the other kind of top-n has stored.
TEST(Dataflow, BothKindsOfTopNReadOneState) {
  for (bool first_grows : {false, true}) {
    PlanBuilder b;
    auto u = b.source(ObjectId(2), table_u().columns);
    b.top_n(u, TopNNode{.partition_by = {b.column(u, 1)},
                        .order = {{.expression = b.column(u, 0)}},
                        .limit = 3});
    auto source = table_u();
    source.append_only = first_grows;
    Harness harness({source}, b.build(),
                    "SELECT * FROM u QUALIFY row_number() OVER (PARTITION BY n ORDER BY k) <= 3");
    harness.grow(3, 40);
    harness.reload(!first_grows);
    testing::Random random(4);
    for (int i = 0; i < 30; ++i) harness.add_row(source, source.make(random));
  }
}

TEST(Dataflow, UnionAllAndDistinct) {
  PlanBuilder b;
  auto t = b.source(ObjectId(1), table_t().columns);
  auto p = b.project(t, {b.column(t, 0), b.column(t, 1)}, {{"k", "VARCHAR"}, {"n", "INTEGER"}});
  auto u = b.source(ObjectId(2), table_u().columns);
  auto all = b.union_all({p, u}, table_u().columns);
  check({table_t(), table_u()}, b.build(), "SELECT k, g FROM t UNION ALL SELECT k, n FROM u");
  b.distinct(all);
  check({table_t(), table_u()}, b.build(), "SELECT k, g FROM t UNION SELECT k, n FROM u");
}

TEST(Dataflow, AggregateOverJoinOverAggregate) {
  PlanBuilder b;
  auto t = b.source(ObjectId(1), table_t().columns);
  auto a = b.aggregate(t, {b.column(t, 0)}, {{.function = "max", .arguments = {b.column(t, 2)}}},
                       {{"k", "VARCHAR"}, {"m", "BIGINT"}});
  auto u = b.source(ObjectId(2), table_u().columns);
  auto j = b.join(
      a, u,
      JoinNode{
          .left_keys = {b.column(a, 0)}, .right_keys = {b.column(u, 0)}, .null_safe = {false}});
  b.aggregate(j, {b.column(u, 1)},
              {{.function = "sum", .arguments = {b.column(a, 1)}}, {.function = "count_star"}},
              {{"n", "INTEGER"}, {"s", "HUGEINT"}, {"c", "BIGINT"}});
  check({table_t(), table_u()}, b.build(),
        "SELECT n, sum(m), count(*) FROM (SELECT k, max(v) m FROM t GROUP BY k) a JOIN u ON a.k = "
        "u.k GROUP BY n");
}

TEST(Dataflow, TopNOverAggregate) {
  PlanBuilder b;
  auto t = b.source(ObjectId(1), table_t().columns);
  auto a = b.aggregate(t, {b.column(t, 1), b.column(t, 0)},
                       {{.function = "avg", .arguments = {b.column(t, 2)}}},
                       {{"g", "INTEGER"}, {"k", "VARCHAR"}, {"m", "DOUBLE"}});
  b.top_n(a, TopNNode{.partition_by = {b.column(a, 0)},
                      .order = {{.expression = b.column(a, 2), .descending = true}},
                      .limit = 2,
                      .with_rank = true});
  check({table_t()}, b.build(),
        "SELECT *, row_number() OVER w FROM (SELECT g, k, avg(v) m FROM t GROUP BY g, k) "
        "WINDOW w AS (PARTITION BY g ORDER BY m DESC NULLS LAST, g, k, m) QUALIFY row_number() "
        "OVER w <= 2");
}

TEST(Dataflow, RefusesWhatItCannotKeep) {
  std::unique_ptr<duck::Instance> instance = duck::Instance::open(posix_file_system(), {}).value();
  StageContext context{.instance = *instance, .errors = nullptr, .late = nullptr, .watermark = {}};
  auto compile = [&](const Plan& plan) {
    return Dataflow::compile(plan, context, [](ObjectId) -> Result<SourceObject> {
      SourceObject object;
      for (const auto& [name, type] : table_t().columns)
        object.schema.columns.push_back({0, name, type});
      return object;
    });
  };
  auto with_call = [&](const AggregateNode::Call& call, const std::string& type) {
    PlanBuilder b;
    auto s = b.source(ObjectId(1), table_t().columns);
    b.aggregate(s, {b.column(s, 0)}, {call}, {{"k", "VARCHAR"}, {"x", type}});
    return compile(b.build());
  };
  for (const char* undefined : {"list", "string_agg", "first", "mode", "reservoir_quantile"}) {
    EXPECT_EQ(with_call({.function = undefined, .arguments = {"c1"}}, "VARCHAR").error().code(),
              Code::unsupported);
  }
  EXPECT_EQ(with_call({.function = "sum", .arguments = {"c3"}}, "BIGINT").error().code(),
            Code::unsupported);
  EXPECT_EQ(with_call({.function = "median", .arguments = {"c3"}}, "BIGINT").error().code(),
            Code::unsupported);
  EXPECT_EQ(with_call({.function = "count", .arguments = {"[c4]"}, .distinct = true}, "BIGINT")
                .error()
                .code(),
            Code::unsupported);  // [0.0] and [-0.0] are equal, but their bytes are not.
  EXPECT_EQ(with_call({.function = "no_such", .arguments = {"c3"}}, "BIGINT").error().code(),
            Code::invalid_argument);
  EXPECT_EQ(with_call({.function = "corr", .arguments = {"c3"}}, "DOUBLE").error().code(),
            Code::invalid_argument);
  EXPECT_EQ(with_call({.function = "sum", .arguments = {"c99"}}, "HUGEINT").error().code(),
            Code::invalid_argument);
  EXPECT_TRUE(
      with_call({.function = "max", .arguments = {"c3"}, .distinct = true}, "BIGINT").has_value());
  PlanBuilder b;
  b.source(ObjectId(1), {{"gone", "BIGINT"}});
  EXPECT_EQ(compile(b.build()).error().code(), Code::not_found);
}

}  // namespace
}  // namespace ziwa::stream
