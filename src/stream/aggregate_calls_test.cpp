#include "stream/testing/harness.h"

// Every aggregate call against DuckDB's batch answer: see testing/harness.h.
namespace ziwa::stream {
namespace {

using testing::check;
using testing::Harness;
using testing::PlanBuilder;
using testing::table_t;
using testing::TestSource;

using Call = AggregateNode::Call;

/// A call, its type, and what DuckDB says of the same.
struct Case {
  Call call;
  std::string type;
  std::string sql;
};

// Columns of table_t() by the ids that its source gets.
const Expression kK = "c1";
const Expression kG = "c2";
const Expression kV = "c3";
const Expression kD = "c4";
const Expression kM = "c5";
const Expression kPositive = "(c3 > CAST(0 AS BIGINT))";
const Expression kEven = "(CAST(c3 % 2 AS BIGINT) = CAST(0 AS BIGINT))";

SortOrder by(const Expression& expression, bool descending = false, bool nulls_first = false) {
  return {.expression = expression, .descending = descending, .nulls_first = nulls_first};
}

Plan plan_of(const std::vector<Case>& cases, bool grouped = true) {
  PlanBuilder b;
  auto s = b.source(ObjectId(1), table_t().columns);
  PlanBuilder::Columns columns;
  if (grouped) columns.emplace_back("k", "VARCHAR");
  std::vector<Call> calls;
  for (const auto& one : cases) {
    calls.push_back(one.call);
    columns.emplace_back("x", one.type);
  }
  b.aggregate(s, grouped ? std::vector<Expression>{kK} : std::vector<Expression>(), calls, columns);
  return b.build();
}

std::string sql_of(const std::vector<Case>& cases, bool grouped = true) {
  std::string list = grouped ? "k" : "";
  for (const auto& one : cases) list += (list.empty() ? "" : ", ") + one.sql;
  return fmt::format("SELECT {} FROM t{}", list, grouped ? " GROUP BY k" : "");
}

void check_calls(const std::vector<Case>& cases) {
  for (bool append_only : {false, true}) {
    for (bool grouped : {true, false}) {
      check({table_t(append_only)}, plan_of(cases, grouped), sql_of(cases, grouped));
    }
  }
}

TEST(AggregateCalls, DistinctValues) {
  check_calls({
      {{.function = "count", .arguments = {kV}, .distinct = true}, "BIGINT", "count(DISTINCT v)"},
      {{.function = "sum", .arguments = {kV}, .distinct = true}, "HUGEINT", "sum(DISTINCT v)"},
      {{.function = "avg", .arguments = {kM}, .distinct = true}, "DOUBLE", "avg(DISTINCT m)"},
      {{.function = "sum", .arguments = {kD}, .distinct = true}, "DOUBLE", "sum(DISTINCT d)"},
      {{.function = "count", .arguments = {kV}, .filter = kPositive, .distinct = true},
       "BIGINT",
       "count(DISTINCT v) FILTER (v > 0)"},
      {{.function = "count", .arguments = {kV}, .filter = kEven, .distinct = true},
       "BIGINT",
       "count(DISTINCT v) FILTER (v % 2 = 0)"},
      {{.function = "min", .arguments = {kV}}, "BIGINT", "min(v)"},
      {{.function = "max", .arguments = {kV}, .filter = kEven},
       "BIGINT",
       "max(v) FILTER (v % 2 = 0)"},
      {{.function = "stddev_pop", .arguments = {kV}, .distinct = true},
       "DOUBLE",
       "stddev_pop(DISTINCT v)"},
      {{.function = "count", .arguments = {"{'a': c2, 'b': c1}"}, .distinct = true},
       "BIGINT",
       "count(DISTINCT {'a': g, 'b': k})"},
  });
}

TEST(AggregateCalls, EndsOfAnOrder) {
  std::string there = " FILTER (v IS NOT NULL AND d IS NOT NULL)";
  check_calls({
      {{.function = "min", .arguments = {kD}}, "DOUBLE", "min(d)"},
      {{.function = "max", .arguments = {kM}}, "DECIMAL(12,3)", "max(m)"},
      {{.function = "max", .arguments = {"repeat(c1, 40)"}}, "VARCHAR", "max(repeat(k, 40))"},
      {{.function = "bool_and", .arguments = {kPositive}}, "BOOLEAN", "bool_and(v > 0)"},
      {{.function = "bool_or", .arguments = {kPositive}}, "BOOLEAN", "bool_or(v > 0)"},
      {{.function = "arg_min", .arguments = {kV, kG}},
       "BIGINT",
       "first(v ORDER BY g, v) FILTER (v IS NOT NULL AND g IS NOT NULL)"},
      {{.function = "max_by", .arguments = {kV, kD}},
       "BIGINT",
       "first(v ORDER BY d DESC, v)" + there},
      {{.function = "arg_max", .arguments = {"repeat(c1, 30)", kV}, .filter = kEven},
       "VARCHAR",
       "first(repeat(k, 30) ORDER BY v DESC, k) FILTER (k IS NOT NULL AND v % 2 = 0)"},
      {{.function = "arg_min_null", .arguments = {kV, kG}},
       "BIGINT",
       "first(v ORDER BY g, v) FILTER (g IS NOT NULL)"},
      {{.function = "first", .arguments = {kV}, .order_by = {by(kD, true, true), by(kG)}},
       "BIGINT",
       "first(v ORDER BY d DESC NULLS FIRST, g, v)"},
      {{.function = "last", .arguments = {kV}, .order_by = {by(kG, false, true)}},
       "BIGINT",
       "first(v ORDER BY g DESC NULLS LAST, v)"},
      {{.function = "any_value", .arguments = {kV}, .order_by = {by(kG)}},
       "BIGINT",
       "first(v ORDER BY g, v) FILTER (v IS NOT NULL)"},
      {{.function = "arg_min", .arguments = {"{'a': c5, 'b': [c5]}", kM}},
       "STRUCT(a DECIMAL(12,3), b DECIMAL(12,3)[])",
       "first({'a': m, 'b': [m]} ORDER BY m) FILTER (m IS NOT NULL)"},
  });
}

TEST(AggregateCalls, Texts) {
  Expression text = "CAST(c3 AS VARCHAR)";
  Expression comma = "CAST(', ' AS VARCHAR)";
  check_calls({
      {{.function = "string_agg", .arguments = {text}, .constants = {comma}, .order_by = {by(kV)}},
       "VARCHAR",
       "string_agg(v::VARCHAR, ', ' ORDER BY v)"},
      {{.function = "string_agg",
        .arguments = {text},
        .constants = {comma},
        .filter = kEven,
        .order_by = {by(kG, true), by(kD, false, true)}},
       "VARCHAR",
       "string_agg(v::VARCHAR, ', ' ORDER BY g DESC NULLS LAST, d NULLS FIRST, v::VARCHAR) FILTER "
       "(v % 2 = 0)"},
      {{.function = "string_agg",
        .arguments = {text},
        .constants = {comma},
        .order_by = {by(text)},
        .distinct = true},
       "VARCHAR",
       "string_agg(DISTINCT v::VARCHAR, ', ' ORDER BY v::VARCHAR)"},
      {{.function = "list", .arguments = {kV}, .order_by = {by(kV, true, true)}},
       "BIGINT[]",
       "list(v ORDER BY v DESC NULLS FIRST)"},
      {{.function = "array_agg", .arguments = {kD}, .order_by = {by(kV)}, .distinct = false},
       "DOUBLE[]",
       "list(d ORDER BY v, d)"},
      {{.function = "list", .arguments = {kG}, .order_by = {by(kG)}, .distinct = true},
       "INTEGER[]",
       "list(DISTINCT g ORDER BY g)"},
      {{.function = "mode", .arguments = {kV}, .order_by = {by(kV, true)}},
       "BIGINT",
       "mode(v ORDER BY v DESC)"},
  });
}

Case quantile(const std::string& function, const Expression& argument, const std::string& type,
              const std::string& column, const std::string& fraction, const std::string& as) {
  return {{.function = function,
           .arguments = {argument},
           .constants = {fmt::format("CAST({} AS {})", fraction, as)}},
          type,
          fmt::format("{}({}, CAST({} AS {}))", function, column, fraction, as)};
}

TEST(AggregateCalls, Quantiles) {
  Expression time = "CAST(TIMESTAMP '2020-01-01 00:00:00' + to_hours(c3) AS TIMESTAMP)";
  std::string time_sql = "TIMESTAMP '2020-01-01' + to_hours(v)";
  check_calls({
      {{.function = "median", .arguments = {kV}}, "DOUBLE", "median(v)"},
      {{.function = "median", .arguments = {kM}}, "DECIMAL(12,3)", "median(m)"},
      {{.function = "median", .arguments = {kD}, .filter = kEven},
       "DOUBLE",
       "median(d) FILTER (v % 2 = 0)"},
      {{.function = "median", .arguments = {kV}, .distinct = true}, "DOUBLE", "median(DISTINCT v)"},
      {{.function = "median", .arguments = {kK}}, "VARCHAR", "median(k)"},
      {{.function = "median", .arguments = {time}},
       "TIMESTAMP",
       fmt::format("median({})", time_sql)},
      quantile("quantile_cont", kV, "DOUBLE", "v", "0.9", "DOUBLE"),
      quantile("quantile_cont", kD, "DOUBLE", "d", "0.25", "DECIMAL(3,2)"),
      quantile("quantile_cont", kM, "DECIMAL(12,3)", "m", "0.3", "DOUBLE"),
      quantile("quantile_cont", time, "TIMESTAMP", time_sql, "0.3", "DOUBLE"),
      quantile("quantile_cont", kV, "DOUBLE", "v", "1", "DOUBLE"),
      quantile("quantile_disc", kV, "BIGINT", "v", "0.9", "DECIMAL(2,1)"),
      quantile("quantile_disc", kV, "BIGINT", "v", "0.9", "DOUBLE"),
      quantile("quantile_disc", kK, "VARCHAR", "k", "0.333", "DECIMAL(4,3)"),
      quantile("quantile_disc", kV, "BIGINT", "v", "-0.9", "DOUBLE"),
      quantile("quantile_disc", kV, "BIGINT", "v", "0", "DOUBLE"),
      quantile("quantile_cont", kV, "DOUBLE[]", "v", "[0.9, 0.1]", "DOUBLE[]"),
  });
}

TEST(AggregateCalls, AnyOtherFunction) {
  auto one = [](const std::string& function, const Expression& argument, const std::string& type,
                const std::string& column) {
    return Case{{.function = function, .arguments = {argument}},
                type,
                fmt::format("{}({})", function, column)};
  };
  auto two = [](const std::string& function, const std::string& type) {
    return Case{{.function = function, .arguments = {"CAST(c3 AS DOUBLE)", "CAST(c2 AS DOUBLE)"}},
                type,
                function + "(v, g)"};
  };
  check_calls(
      {one("stddev", kV, "DOUBLE", "v"),
       one("var_pop", kG, "DOUBLE", "g"),
       one("product", kG, "DOUBLE", "g"),
       one("bit_and", kV, "BIGINT", "v"),
       one("bit_xor", kV, "BIGINT", "v"),
       one("entropy", kV, "DOUBLE", "v"),
       one("approx_count_distinct", kV, "BIGINT", "v"),
       one("mad", kV, "DOUBLE", "v"),
       one("histogram", kG, "MAP(INTEGER, UBIGINT)", "g"),
       one("count_if", kPositive, "HUGEINT", "v > 0"),
       one("min", "[c3]", "BIGINT[]", "[v]"),
       two("covar_pop", "DOUBLE"),
       two("regr_count", "UINTEGER"),
       two("regr_sxy", "DOUBLE"),
       {{.function = "min", .arguments = {kV, "CAST(2 AS BIGINT)"}}, "BIGINT[]", "min(v, 2)"},
       {{.function = "arg_max", .arguments = {kV, kV, "CAST(3 AS BIGINT)"}},
        "BIGINT[]",
        "arg_max(v, v, 3)"}});
}

TEST(AggregateCalls, LargeGroups) {
  auto source = table_t();
  source.make = [](std::mt19937_64& random) -> std::vector<duckdb::Value> {
    auto number = static_cast<int64_t>(random() % 5000);
    return {duckdb::Value("k"), duckdb::Value::INTEGER(static_cast<int32_t>(number % 7)),
            duckdb::Value::BIGINT(number), duckdb::Value::DOUBLE(static_cast<double>(number)),
            duckdb::Value::DECIMAL(number, 12, 3)};
  };
  std::vector<Case> cases = {
      {{.function = "count", .arguments = {kV}, .distinct = true}, "BIGINT", "count(DISTINCT v)"},
      {{.function = "median", .arguments = {kV}}, "DOUBLE", "median(v)"},
      {{.function = "max", .arguments = {kV}}, "BIGINT", "max(v)"},
      {{.function = "bit_xor", .arguments = {kV}}, "BIGINT", "bit_xor(v)"},
      {{.function = "list", .arguments = {kV}, .order_by = {by(kV)}},
       "BIGINT[]",
       "list(v ORDER BY v)"}};
  Harness(std::vector<TestSource>{source}, plan_of(cases), sql_of(cases)).run(1, 6, 4000);
}

std::vector<Case> several_calls() {
  return {
      {{.function = "count", .arguments = {kV}, .distinct = true}, "BIGINT", "count(DISTINCT v)"},
      {{.function = "count", .arguments = {kV}, .filter = kEven, .distinct = true},
       "BIGINT",
       "count(DISTINCT v) FILTER (v % 2 = 0)"},
      {{.function = "median", .arguments = {kV}}, "DOUBLE", "median(v)"},
      {{.function = "max", .arguments = {kV}}, "BIGINT", "max(v)"},
      {{.function = "list", .arguments = {kV}, .order_by = {by(kD), by(kV)}},
       "BIGINT[]",
       "list(v ORDER BY d, v)"}};
}

TestSource distinct_rows() {
  auto source = table_t();
  source.make = [next = int64_t{0}](std::mt19937_64&) mutable -> std::vector<duckdb::Value> {
    ++next;
    return {duckdb::Value(std::string(1, static_cast<char>('a' + next % 2))),
            duckdb::Value::INTEGER(1), duckdb::Value::BIGINT(next),
            duckdb::Value::DOUBLE(static_cast<double>(next)), duckdb::Value::DECIMAL(next, 12, 3)};
  };
  return source;
}

TEST(AggregateCalls, StateIsCountedAndGivenBack) {
  auto source = distinct_rows();
  Harness harness({source}, plan_of(several_calls()), sql_of(several_calls()));
  size_t nothing = harness.state_bytes();
  harness.grow(1, 6'000);
  // Two indexes: v of 9 bytes with two lanes, (d, v) of 9 + 9 + 4 with one.
  size_t grown = harness.state_bytes() - nothing;
  EXPECT_GT(grown, 6'000u * (9 + 24 + 22 + 16));
  EXPECT_LT(grown, 6'000u * (9 + 24 + 22 + 16) * 2 + 200'000);
  EXPECT_EQ(harness.save_entries(), 2u + 2 * 6'000);
  EXPECT_EQ(harness.stored_entries(), 2u + 2 * 6'000);
  harness.add_row(source, {duckdb::Value("a"), duckdb::Value::INTEGER(1), duckdb::Value::BIGINT(7),
                           duckdb::Value::DOUBLE(-1), duckdb::Value::DECIMAL(int64_t{7}, 12, 3)});
  EXPECT_EQ(harness.save_entries(), 3u);  // The group and the two values that changed.
  harness.empty();
  harness.save_entries();
  EXPECT_EQ(harness.stored_entries(), 0u);
  EXPECT_LT(harness.state_bytes(), nothing + 200'000);  // The group table's pages stay.
  EXPECT_LT(harness.state_bytes() - nothing, grown / 2);
}

TEST(AggregateCalls, OldOrDamagedStateIsRefused) {
  std::vector<Case> cases = {{{.function = "max", .arguments = {kV}}, "BIGINT", "max(v)"}};
  Harness harness({table_t()}, plan_of(cases), sql_of(cases));
  std::string node("\0\0\0\2", 4);
  EXPECT_EQ(harness.load_entry(node + "gkey", "\1\2\2\1").error().code(), Code::unsupported);
  EXPECT_EQ(harness.load_entry(node + "i\1k" + std::string(1, '\0') + "v", "\2").error().code(),
            Code::corrupt);  // of no group
  EXPECT_EQ(harness.load_entry(node + "xkey", "").error().code(), Code::corrupt);
}

}  // namespace
}  // namespace ziwa::stream
