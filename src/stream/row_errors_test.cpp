#include "stream/row_errors.h"

#include "stream/testing/harness.h"

#include <gmock/gmock.h>

// Rows that fail are left out, and told, until they are taken back: after any steps the errors are
// those of an engine that sees all rows at once.
namespace ziwa::stream {
namespace {

using testing::Harness;
using ::testing::HasSubstr;
using testing::PlanBuilder;
using testing::Random;
using testing::Row;
using testing::table_t;
using testing::table_u;
using testing::TestSource;

void check(const std::vector<TestSource>& sources, const Plan& plan, const std::string& sql) {
  for (uint64_t seed = 1; seed <= testing::kSeeds; ++seed) {
    Harness harness(sources, plan, sql);
    harness.compare_errors();
    harness.run(seed, 15, seed % 2 == 0 ? 10 : 40);
    EXPECT_TRUE(harness.saw_errors());
    if (::testing::Test::HasFailure()) return;
  }
}

/// Fails where `number` is 2 and `text` is not NULL: no text of the tables is a number.
std::string failing(const std::string& text, const std::string& number) {
  return fmt::format("CAST(CASE WHEN {} = 2 THEN {} ELSE '1' END AS INTEGER)", number, text);
}

TEST(RowErrors, OfAFilterAndAProjection) {
  PlanBuilder b;
  auto s = b.source(ObjectId(2), table_u().columns);
  auto f = b.filter(s, fmt::format("({} = 1)", failing(b.column(s, 0), b.column(s, 1))));
  b.project(f, {fmt::format("CAST({} AS INTEGER)", b.column(f, 0)), b.column(f, 1)},
            {{"k", "INTEGER"}, {"n", "INTEGER"}});
  // NULL and 2: the filter is NULL. Other texts pass it, and fail in the projection.
  check({table_u()}, b.build(),
        "SELECT NULL::INTEGER, n FROM u WHERE k IS NULL AND n IS DISTINCT FROM 2");
}

TEST(RowErrors, OfAGroupKey) {
  PlanBuilder b;
  auto s = b.source(ObjectId(2), table_u().columns);
  b.aggregate(s, {failing(b.column(s, 0), b.column(s, 1))}, {{.function = "count_star"}},
              {{"x", "INTEGER"}, {"n", "BIGINT"}});
  check({table_u()}, b.build({0}),
        "SELECT CASE WHEN n = 2 THEN NULL ELSE 1 END AS x, count(*) FROM u "
        "WHERE n IS DISTINCT FROM 2 OR k IS NULL GROUP BY x");
}

TEST(RowErrors, OfATopN) {
  PlanBuilder b;
  auto s = b.source(ObjectId(2), table_u().columns);
  b.top_n(s, TopNNode{.partition_by = {b.column(s, 0)},
                      .order = {{.expression = failing(b.column(s, 0), b.column(s, 1))}},
                      .limit = 2});
  check({table_u()}, b.build(),
        "SELECT k, n FROM u WHERE n IS DISTINCT FROM 2 OR k IS NULL QUALIFY row_number() OVER "
        "(PARTITION BY k ORDER BY CASE WHEN n = 2 THEN NULL ELSE 1 END NULLS LAST, k, n) <= 2");
}

class RowErrorsOfJoins : public ::testing::TestWithParam<JoinKind> {};

TEST_P(RowErrorsOfJoins, OfAKey) {
  PlanBuilder b;
  auto t = b.source(ObjectId(1), table_t().columns);
  auto u = b.source(ObjectId(2), table_u().columns);
  b.join(t, u,
         {.kind = GetParam(),
          .left_keys = {b.column(t, 1)},
          .right_keys = {fmt::format("({} + {} - 1)", failing(b.column(u, 0), b.column(u, 1)),
                                     b.column(u, 1))},
          .null_safe = {false}});
  check({table_t(), table_u()}, b.build(),
        fmt::format("SELECT * FROM t {} JOIN (FROM u WHERE n IS DISTINCT FROM 2 OR k IS NULL) u "
                    "ON t.g = CASE WHEN u.n = 2 THEN NULL ELSE u.n END",
                    name_of(GetParam())));
}

TEST_P(RowErrorsOfJoins, OfACondition) {
  PlanBuilder b;
  auto t = b.source(ObjectId(1), table_t().columns);
  auto u = b.source(ObjectId(2), table_u().columns);
  b.join(t, u,
         {.kind = GetParam(),
          .left_keys = {b.column(t, 0)},
          .right_keys = {b.column(u, 0)},
          .null_safe = {true},
          .residual =
              fmt::format("({} < {})", failing(b.column(t, 0), b.column(t, 1)), b.column(u, 1))});
  check({table_t(), table_u()}, b.build(),
        fmt::format("SELECT * FROM t {} JOIN u ON t.k IS NOT DISTINCT FROM u.k AND "
                    "CASE WHEN t.g = 2 THEN NULL ELSE 1 END < u.n",
                    name_of(GetParam())));
}

INSTANTIATE_TEST_SUITE_P(Kinds, RowErrorsOfJoins,
                         ::testing::Values(JoinKind::inner, JoinKind::left, JoinKind::right,
                                           JoinKind::full, JoinKind::semi, JoinKind::anti),
                         [](const auto& info) { return std::string(name_of(info.param)); });

/// `h` is `k` times 2^126: a sum of more than one, or of less than minus two, is out of range.
TestSource table_huge() {
  return {.id = ObjectId(1),
          .name = "w",
          .columns = {{"g", "INTEGER"}, {"k", "INTEGER"}, {"h", "HUGEINT"}},
          .make = [](Random& random) -> Row {
            const int sign = static_cast<int>(random() % 3) - 1;
            const auto unit = duckdb::hugeint_t(int64_t{1} << 62, 0);
            return {duckdb::Value::INTEGER(static_cast<int32_t>(random() % 4)),
                    duckdb::Value::INTEGER(sign),
                    duckdb::Value::HUGEINT(sign < 0    ? duckdb::hugeint_t(-(int64_t{1} << 62), 0)
                                           : sign == 0 ? duckdb::hugeint_t(0)
                                                       : unit)};
          }};
}

constexpr const char* kSums =
    "SELECT g, CASE s WHEN -2 THEN (-170141183460469231731687303715884105728)::HUGEINT WHEN -1 "
    "THEN "
    "(-85070591730234615865843651857942052864)::HUGEINT WHEN 0 THEN 0::HUGEINT ELSE "
    "85070591730234615865843651857942052864::HUGEINT END FROM (SELECT g, sum(k) AS s FROM w GROUP "
    "BY g) WHERE s BETWEEN -2 AND 1";

TEST(RowErrors, OfASumGoWhenItIsInRangeAgain) {
  PlanBuilder b;
  auto w = b.source(ObjectId(1), table_huge().columns);
  b.aggregate(w, {b.column(w, 0)}, {{.function = "sum", .arguments = {b.column(w, 2)}}},
              {{"g", "INTEGER"}, {"s", "HUGEINT"}});
  check({table_huge()}, b.build({0}), kSums);
}

TEST(RowErrors, NameTheOperatorTheRowAndTheError) {
  PlanBuilder b;
  auto u = b.source(ObjectId(2), table_u().columns);
  b.project(u, {fmt::format("CAST({} AS INTEGER)", b.column(u, 0))}, {{"x", "INTEGER"}});
  auto source = table_u();
  Harness harness({source}, b.build(), "SELECT 1 WHERE false");
  harness.add_row(source, {duckdb::Value("b"), duckdb::Value::INTEGER(7)});
  ASSERT_EQ(harness.errors().size(), 1u);
  EXPECT_THAT(harness.errors().begin()->first, HasSubstr(R"(#2 {"k":"b","n":7} )"));
  EXPECT_THAT(harness.errors().begin()->first, HasSubstr("Could not convert string 'b' to INT32"));
}

}  // namespace
}  // namespace ziwa::stream
