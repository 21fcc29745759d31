#include "base/file.h"
#include "duck/catalog_api.h"
#include "duck/instance.h"
#include "duck/planner.h"
#include "sql/translate.h"
#include "stream/dataflow.h"

#include <gtest/gtest.h>

#include <map>

// Calls of aggregate functions as people write them: what the view keeps, after the way through
// DuckDB's binder, the plan's text and the operators, is what the query says, also after deletes;
// or the call is refused by name.
namespace ziwa::sql {
namespace {

using Bag = std::map<std::string, int64_t>;

std::string row_text(duckdb::DataChunk& chunk, size_t row) {
  std::string text;
  for (size_t i = 0; i < chunk.ColumnCount(); ++i) {
    auto value = chunk.GetValue(i, row);
    bool number = value.type().id() == duckdb::LogicalTypeId::DOUBLE && !value.IsNull();
    text += number ? fmt::format("|{:.12g}", value.GetValue<double>()) : "|" + value.ToString();
  }
  return text;
}

class Collector final : public stream::Stage {
 public:
  Status consume(size_t, stream::Delta& delta) override {
    delta.rows.Flatten();
    for (size_t row = 0; row < delta.size(); ++row) {
      auto& count = bag[row_text(delta.rows, row)];
      count += delta.weight(row);
      if (count == 0) bag.erase(row_text(delta.rows, row));
    }
    return {};
  }
  Bag bag;
};

class AggregateCallsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    instance_ = std::move(*duck::Instance::open(posix_file_system(), {}));
    connection_ = instance_->connect();
    query(
        "CREATE TABLE t AS SELECT chr((97 + i % 3)::INT) AS k, (i % 5)::INT AS g, (i * 7 % "
        "23)::BIGINT "
        "AS v, i / 4 AS d, (i * 3 % 11)::DECIMAL(9,2) AS m, CASE WHEN i % 4 > 0 THEN 's' || (i % "
        "6) "
        "END AS s, TIMESTAMP '2026-11-01' + to_hours(i::INT) AS ts, i % 2 = 0 AS b, {'x': i % 3, "
        "'y': "
        "'z'} AS st, [i % 2] AS l, i AS i FROM range(60) r(i)");
  }

  std::unique_ptr<duckdb::MaterializedQueryResult> query(const std::string& sql) {
    auto result = connection_->Query(sql);
    EXPECT_FALSE(result->HasError()) << sql << ": " << result->GetError();
    return result;
  }

  Bag answer(const std::string& sql) {
    Bag bag;
    auto result = query(sql);
    while (auto chunk = result->Fetch()) {
      for (size_t row = 0; row < chunk->size(); ++row) ++bag[row_text(*chunk, row)];
    }
    return bag;
  }

  Result<stream::Plan> plan(const std::string& sql) {
    connection_->BeginTransaction();
    auto result = [&]() -> Result<stream::Plan> {
      auto planned = TRY(duck::plan_query(*connection_, sql));
      const QueryWords words(sql);
      if (!planned.untold_functions.empty()) {
        return Error(Code::unsupported, "untold {}", planned.untold_functions.front());
      }
      if (!planned.unstable_functions.empty()) {
        return Error(Code::unsupported, "unstable {}", planned.unstable_functions.front());
      }
      ResolveScan resolve = [](const duckdb::LogicalGet& get) -> Result<catalog::ObjectPtr> {
        auto object = std::make_shared<catalog::Object>();
        object->id = ObjectId(1);
        object->name = get.GetTable()->name;
        return object;
      };
      std::vector<std::string> names(planned.names.begin(), planned.names.end());
      auto made = TRY(translate(*planned.plan, names, resolve, words));
      return stream::decode_plan(stream::encode_plan(made));
    }();
    connection_->Rollback();
    return result;
  }

  class RefuseErrors final : public stream::ErrorSink {
   public:
    void add(const stream::RowError& error) override { ADD_FAILURE() << error.message; }
  };

  void push(stream::Dataflow& dataflow, const std::string& where, stream::Weight weight) {
    auto result = query("SELECT * FROM t WHERE " + where);
    while (auto chunk = result->Fetch()) {
      std::vector<stream::Weight> weights(chunk->size(), weight);
      stream::Delta delta{.rows = *chunk, .weights = weights.data()};
      for (auto* source : dataflow.sources()) {
        auto done = source->consume(0, delta);
        ASSERT_TRUE(done.has_value()) << done.error().to_string();
      }
    }
    auto done = dataflow.finish();
    ASSERT_TRUE(done.has_value()) << done.error().to_string();
  }

  void check(const std::string& select) {
    SCOPED_TRACE(select);
    auto planned = plan(select + " FROM t GROUP BY k");
    ASSERT_TRUE(planned.has_value()) << planned.error().to_string();
    RefuseErrors errors;
    stream::StageContext context{
        .instance = *instance_, .errors = &errors, .late = nullptr, .watermark = {}};
    auto dataflow =
        stream::Dataflow::compile(*planned, context, [&](ObjectId) -> Result<stream::SourceObject> {
          stream::SourceObject object;
          auto columns = query("SELECT * FROM t LIMIT 0");
          for (size_t i = 0; i < columns->names.size(); ++i) {
            object.schema.columns.push_back({0, columns->names[i], columns->types[i].ToString()});
          }
          return object;
        });
    ASSERT_TRUE(dataflow.has_value()) << dataflow.error().to_string();
    Collector collector;
    (*dataflow)->add_target(&collector, 0);
    push(**dataflow, "true", 1);
    EXPECT_EQ(collector.bag, answer(select + " FROM t GROUP BY k"));
    push(**dataflow, "i % 3 = 1 OR i > 40", -1);
    EXPECT_EQ(collector.bag, answer(select + " FROM t WHERE NOT (i % 3 = 1 OR i > 40) GROUP BY k"));
  }

  std::unique_ptr<duck::Instance> instance_;
  std::unique_ptr<duckdb::Connection> connection_;
};

constexpr const char* kKept[] = {
    "count(DISTINCT v)",
    "count(DISTINCT s) FILTER (b)",
    "sum(DISTINCT v)",
    "avg(DISTINCT d)",
    "count(DISTINCT st)",
    "count(DISTINCT (g, s))",
    "sum(DISTINCT d)",
    "max(DISTINCT v)",
    "min(s)",
    "max(ts)",
    "bool_and(b)",
    "bool_or(b)",
    "min(st)",
    "max(l)",
    "arg_min(v, i)",
    "argmax(s, i)",
    "min_by(ts, -i)",
    "max_by(st, i) FILTER (b)",
    "arg_min_null(s, i)",
    "arg_max_null(s, i)",
    "arg_min(v, i, 2)",
    "max(v, 3)",
    "min(s, 2)",
    "first(s ORDER BY i)",
    "last(s ORDER BY g, i)",
    "any_value(s ORDER BY i DESC)",
    "arbitrary(v ORDER BY i)",
    "first(v ORDER BY s DESC NULLS LAST, i)",
    "string_agg(s, '; ' ORDER BY i)",
    "string_agg(s ORDER BY i DESC)",
    "group_concat(s, '''' ORDER BY i)",
    "listagg(DISTINCT s, '-' ORDER BY s)",
    "string_agg(s || 'x', ', ' ORDER BY g, i) FILTER (v > 3)",
    "list(v ORDER BY i)",
    "array_agg(st ORDER BY i)",
    "list(DISTINCT s ORDER BY s DESC NULLS FIRST)",
    "list_sort(list(DISTINCT v))",
    "array_agg(d ORDER BY v, i)",
    "median(v)",
    "median(d)",
    "median(m)",
    "median(ts)",
    "median(s)",
    "median(DISTINCT g)",
    "quantile_cont(v, 0.9)",
    "quantile_cont(d, 0.25)",
    "quantile_cont(ts, 0.3)",
    "quantile_cont(m, [0.1, 0.5, 0.9])",
    "quantile_disc(v, 0.5)",
    "quantile_disc(s, 0.33)",
    "quantile(i, 0.75)",
    "quantile_disc(v, -0.2)",
    "percentile_cont(0.5) WITHIN GROUP (ORDER BY v)",
    "percentile_disc(0.25) WITHIN GROUP (ORDER BY v DESC)",
    "percentile_cont(0.7) WITHIN GROUP (ORDER BY d)",
    "mode(g ORDER BY g)",
    "mode() WITHIN GROUP (ORDER BY s)",
    "stddev(v)",
    "stddev_samp(d)",
    "var_pop(v)",
    "variance(i)",
    "sem(v)",
    "corr(v, i)",
    "covar_samp(v, g)",
    "regr_slope(v, i)",
    "regr_r2(v, i)",
    "regr_avgx(v, i)",
    "regr_count(v, g)",
    "approx_count_distinct(v)",
    "histogram(s)",
    "histogram(v, [5, 10, 20])",
    "entropy(g)",
    "kurtosis(v)",
    "skewness(i)",
    "bit_and(v)",
    "bit_or(v)",
    "bit_xor(i)",
    "product(g + 1)",
    "mad(v)",
    "count_if(b)",
    "fsum(g)",
    "favg(g)",
    "kahan_sum(g)",
    "sum(b)",
    "avg(ts)",
    "count(*) FILTER (b)",
    "sum(v ORDER BY i)",
    "avg(v ORDER BY i)",
    "geomean(v + 1)",
    "stddev(DISTINCT g)",
    "corr(DISTINCT v, g)",
    "count(v) FILTER (s = 's1')",
    "sum(v)::VARCHAR || string_agg(s, '+' ORDER BY i)",
};

TEST_F(AggregateCallsTest, WhatIsKeptIsWhatTheQuerySays) {
  for (const char* call : kKept) check(fmt::format("SELECT k, {} AS x", call));
}

TEST_F(AggregateCallsTest, SeveralInOneView) {
  check(
      "SELECT k, min(v), max(v), median(v), count(DISTINCT v), count(DISTINCT v) FILTER (b), "
      "sum(v), "
      "string_agg(s, ',' ORDER BY i), arg_max(s, i)");
  check("SELECT k, count(DISTINCT v) AS n, median(v) AS m");
}

// DuckDB leaves out an ORDER BY by a column of GROUP BY.
TEST_F(AggregateCallsTest, CallsOfAGroupNeedNoOrder) {
  check(
      "SELECT k, first(k), last(k ORDER BY k DESC) AS l, list(k ORDER BY k), "
      "string_agg(k, '-' ORDER BY k) AS s, string_agg(DISTINCT k, '+') AS d, mode(k), "
      "any_value(k) FILTER (b)");
}

TEST_F(AggregateCallsTest, WhatHasNoDefinedAnswerIsRefusedWhereItStands) {
  const std::pair<const char*, const char*> cases[] = {
      {"first(s)", "first() without ORDER BY"},
      {"last(s)", "last() without ORDER BY"},
      {"any_value(s)", "any_value() without ORDER BY"},
      {"arbitrary(s)", "without ORDER BY"},
      {"list(v)", "list() without ORDER BY"},
      {"array_agg(v)", "without ORDER BY"},
      {"string_agg(s, ',')", "string_agg() without ORDER BY"},
      {"string_agg(s, ',' ORDER BY k)", "string_agg() without ORDER BY"},
      {"mode(v)", "mode() without ORDER BY"},
      {"reservoir_quantile(v, 0.5)", "reservoir_quantile"},
      {"bitstring_agg(g)", "bitstring_agg"},
  };
  for (const auto& [call, part] : cases) {
    auto got = plan(fmt::format("SELECT k, {} AS x FROM t GROUP BY k", call));
    ASSERT_FALSE(got.has_value()) << call;
    EXPECT_EQ(got.error().code(), Code::unsupported) << call << ": " << got.error().to_string();
    EXPECT_THAT(got.error().message(), ::testing::HasSubstr(part)) << call;
    if (std::string_view(call).starts_with("reservoir")) continue;
    EXPECT_EQ(got.error().position(), 10u) << call << ": " << got.error().to_string();
  }
}

}  // namespace
}  // namespace ziwa::sql
