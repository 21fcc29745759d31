#include "sql/translate.h"

#include "base/file.h"
#include "duck/instance.h"
#include "sql/testing/plan_text.h"

#include <gtest/gtest.h>

namespace ziwa::sql {
namespace {

/// Plans queries over ordinary DuckDB tables whose names stand for catalog objects.
class TranslateTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto opened = duck::Instance::open(posix_file_system(), {});
    ASSERT_TRUE(opened.has_value()) << opened.error().to_string();
    instance_ = std::move(*opened);
    connection_ = instance_->connect();
    run("CREATE TABLE flights (seq BIGINT, time TIMESTAMP, delay INTEGER, origin VARCHAR, "
        "destination VARCHAR)");
    run("CREATE TABLE airports (iata VARCHAR, state VARCHAR)");
  }

  void run(const std::string& sql) {
    auto result = connection_->Query(sql);
    ASSERT_FALSE(result->HasError()) << result->GetError();
  }

  Result<stream::Plan> plan(const std::string& query) {
    return testing::plan_text(*connection_, query, [](const std::string& table) {
      return ObjectId(table == "flights" ? 1 : 2);
    });
  }

  template <typename Op>
  static const Op* only(const stream::Plan& plan) {
    const Op* found = nullptr;
    for (const auto& node : plan.nodes) {
      if (const auto* op = std::get_if<Op>(&node.op)) {
        EXPECT_EQ(found, nullptr) << "more than one";
        found = op;
      }
    }
    return found;
  }

  std::unique_ptr<duck::Instance> instance_;
  std::unique_ptr<duckdb::Connection> connection_;
};

TEST_F(TranslateTest, GroupsAreTheKeyAndColumnsKeepTheirNames) {
  auto got = plan("SELECT count(*) AS n, origin, avg(delay) AS mean FROM flights GROUP BY origin");
  ASSERT_TRUE(got.has_value()) << got.error().to_string();
  const auto& output = got->root().output;
  ASSERT_EQ(output.size(), 3u);
  EXPECT_EQ(output[0].name, "n");
  EXPECT_EQ(output[0].type, "BIGINT");
  EXPECT_EQ(output[1].name, "origin");
  EXPECT_EQ(output[2].type, "DOUBLE");
  EXPECT_EQ(got->key, std::vector<uint32_t>{1});
  const auto* aggregate = only<stream::AggregateNode>(*got);
  ASSERT_NE(aggregate, nullptr);
  EXPECT_EQ(aggregate->calls.size(), 2u);
}

TEST_F(TranslateTest, OnlyTheColumnsThatAreNeededAreRead) {
  auto got =
      plan("SELECT origin, max(delay) FROM flights WHERE destination = 'SAV' GROUP BY origin");
  ASSERT_TRUE(got.has_value()) << got.error().to_string();
  const auto* source = only<stream::SourceNode>(*got);
  ASSERT_NE(source, nullptr);
  EXPECT_THAT(source->columns, ::testing::UnorderedElementsAre("origin", "delay", "destination"));
  EXPECT_EQ(source->object, ObjectId(1));
}

TEST_F(TranslateTest, AJoinHasKeysAndARest) {
  auto got = plan(
      "SELECT a.state, f.seq FROM flights f JOIN airports a ON f.origin = a.iata AND "
      "length(f.destination) < length(a.state)");
  ASSERT_TRUE(got.has_value()) << got.error().to_string();
  const auto* join = only<stream::JoinNode>(*got);
  ASSERT_NE(join, nullptr);
  EXPECT_EQ(join->left_keys.size(), 1u);
  bool rest_is_kept = join->residual.has_value() || only<stream::FilterNode>(*got) != nullptr;
  EXPECT_TRUE(rest_is_kept);
  EXPECT_TRUE(got->key.empty());
}

TEST_F(TranslateTest, RowNumberWithABoundIsTopN) {
  auto got = plan(
      "SELECT * FROM (SELECT origin, delay, row_number() OVER (PARTITION BY origin ORDER BY delay "
      "DESC, seq) AS place FROM "
      "flights) WHERE place <= 10");
  ASSERT_TRUE(got.has_value()) << got.error().to_string();
  const auto* top = only<stream::TopNNode>(*got);
  ASSERT_NE(top, nullptr);
  EXPECT_EQ(top->limit, 10u);
  EXPECT_TRUE(top->with_rank);
  EXPECT_EQ(top->partition_by.size(), 1u);
  ASSERT_EQ(top->order.size(), 2u);
  EXPECT_TRUE(top->order[0].descending);
}

TEST_F(TranslateTest, OrderByWithLimitIsTopN) {
  auto got = plan("SELECT origin, delay FROM flights ORDER BY delay DESC LIMIT 3 OFFSET 1");
  ASSERT_TRUE(got.has_value()) << got.error().to_string();
  const auto* top = only<stream::TopNNode>(*got);
  ASSERT_NE(top, nullptr);
  EXPECT_EQ(top->limit, 3u);
  EXPECT_EQ(top->offset, 1u);
}

TEST_F(TranslateTest, UnionIsDistinctAndUnionAllIsNot) {
  auto all = plan("SELECT origin FROM flights UNION ALL SELECT iata FROM airports");
  ASSERT_TRUE(all.has_value()) << all.error().to_string();
  EXPECT_NE(only<stream::UnionAllNode>(*all), nullptr);
  EXPECT_EQ(only<stream::DistinctNode>(*all), nullptr);
  auto distinct = plan("SELECT origin FROM flights UNION SELECT iata FROM airports");
  ASSERT_TRUE(distinct.has_value()) << distinct.error().to_string();
  EXPECT_NE(only<stream::DistinctNode>(*distinct), nullptr);
  EXPECT_EQ(distinct->key, std::vector<uint32_t>{0});
}

/// Rendered text must bind again to the same values.
TEST_F(TranslateTest, ExpressionsSurviveTheWayThroughText) {
  run("INSERT INTO flights VALUES (1, '2001-01-01 10:00', 5, 'LAS', 'O''Hare'), (2, NULL, NULL, "
      "NULL, 'x')");
  const std::string expressions =
      "delay + 1, -delay, delay / 2, delay % 3, origin || '-' || destination, upper(origin), "
      "origin LIKE 'L%', "
      "CASE WHEN delay > 3 THEN 'late' ELSE 'fine' END, delay BETWEEN 1 AND 9, coalesce(delay, 0), "
      "delay IN (5, 6, 7), "
      "origin IS NULL, NOT (delay > 2), date_trunc('hour', time), time + INTERVAL 90 MINUTE, "
      "month(time), "
      "TRY_CAST(destination AS INTEGER), delay::DECIMAL(10,2) * 1.5, destination = 'O''Hare', "
      "origin IS DISTINCT FROM 'x', origin || ('a' || chr(0) || 'b'), ['x' || chr(0) || '''']";
  auto got = plan("SELECT " + expressions + " FROM flights");
  ASSERT_TRUE(got.has_value()) << got.error().to_string();
  const auto& source = std::get<stream::SourceNode>(got->nodes.front().op);
  const auto& project = std::get<stream::ProjectNode>(got->nodes.back().op);
  std::string inner = "SELECT ";
  for (size_t i = 0; i < source.columns.size(); ++i) {
    inner += fmt::format("{}{} AS c{}", i ? ", " : "", source.columns[i],
                         got->nodes.front().output[i].id);
  }
  std::string again = "SELECT ";
  for (size_t i = 0; i < project.expressions.size(); ++i)
    again += (i ? ", " : "") + project.expressions[i];
  auto first = connection_->Query("SELECT " + expressions + " FROM flights ORDER BY seq");
  auto second = connection_->Query(again + " FROM (" + inner + " FROM flights ORDER BY seq)");
  ASSERT_FALSE(second->HasError()) << second->GetError();
  for (size_t row = 0; row < 2; ++row) {
    for (size_t column = 0; column < project.expressions.size(); ++column) {
      auto left = first->GetValue(column, row);
      auto right = second->GetValue(column, row);
      EXPECT_TRUE(duckdb::Value::NotDistinctFrom(left, right))
          << project.expressions[column] << ": " << left.ToString() << " and " << right.ToString();
      EXPECT_EQ(left.type(), right.type()) << project.expressions[column];
    }
  }
}

TEST_F(TranslateTest, WhatCannotBeKeptIsRefusedByName) {
  const std::pair<const char*, const char*> cases[] = {
      {"SELECT origin FROM flights LIMIT 3", "LIMIT without ORDER BY"},
      {"SELECT origin FROM flights ORDER BY seq LIMIT 50%", "LIMIT with a percentage"},
      {"SELECT f.seq FROM flights f, airports a", "without an equality"},
      {"SELECT f.seq FROM flights f LEFT JOIN airports a ON f.origin > a.iata",
       "without an equality"},
      {"SELECT seq FROM flights POSITIONAL JOIN airports", "POSITIONAL join"},
      {"SELECT seq FROM flights f WHERE delay > ALL (SELECT delay FROM flights)", "ANY or ALL"},
      {"SELECT (SELECT iata FROM airports a WHERE a.iata = f.origin) FROM flights f",
       "may have several rows"},
      {"SELECT origin, list(delay) FROM flights GROUP BY origin", "list() without ORDER BY"},
      {"SELECT origin, list_sort(list(delay)), list(delay) FROM flights GROUP BY origin",
       "list() without ORDER BY"},
      {"SELECT origin, list_sort(list(delay)) FROM flights GROUP BY origin HAVING list(delay)[1] = "
       "1",
       "list() without ORDER BY"},
      {"SELECT origin, row_number() OVER (PARTITION BY origin) FROM flights",
       "row_number() OVER rows without an order"},
      {"SELECT origin, sum(delay) OVER (ROWS 2 PRECEDING) FROM flights",
       "sum() OVER rows without an order"},
      {"SELECT sum(delay) OVER (ORDER BY seq ROWS 2 PRECEDING EXCLUDE TIES) FROM flights",
       "EXCLUDE"},
      {"SELECT DISTINCT ON (origin) origin, seq FROM flights", "DISTINCT ON without ORDER BY"},
      {"SELECT 1", "constant rows"},
      {"SELECT * FROM range(3)", "range"},
      {"WITH RECURSIVE r AS (SELECT seq FROM flights UNION ALL SELECT seq + 1 FROM r) FROM r",
       "RECURSIVE"},
  };
  for (const auto& [query, part] : cases) {
    auto got = plan(query);
    ASSERT_FALSE(got.has_value()) << query;
    EXPECT_EQ(got.error().code(), Code::unsupported) << query << ": " << got.error().to_string();
    EXPECT_THAT(got.error().message(), ::testing::HasSubstr(part)) << query;
  }
}

}  // namespace
}  // namespace ziwa::sql
