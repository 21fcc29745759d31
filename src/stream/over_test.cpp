#include "stream/over.h"

#include "stream/testing/harness.h"

#include <gmock/gmock.h>

// What the oracle over SQL texts (src/sql/view_oracle_test.cpp) does not see of window functions.
namespace ziwa::stream {
namespace {

using testing::check;
using testing::Harness;
using ::testing::HasSubstr;
using testing::PlanBuilder;
using testing::table_t;

OverNode::Call call_of(const std::string& function, std::vector<Expression> arguments = {}) {
  return {.call = {.function = function, .arguments = std::move(arguments)}, .frame = {}};
}

/// `call` over table t per k, by all other columns.
Plan over_t(const OverNode::Call& call, const std::string& type) {
  PlanBuilder b;
  auto s = b.source(ObjectId(1), table_t().columns);
  OverNode node{.partition_by = {b.column(s, 0)}, .order = {}, .calls = {call}};
  for (size_t i : {2, 1, 3, 4}) node.order.push_back({.expression = b.column(s, i)});
  b.over(s, node, {{"x", type}});
  return b.build();
}

// ntile() of a number below one is an error: c2 is g, of which every third is zero.
TEST(Over, APartitionThatFailsIsLeftOutUntilItDoesNot) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    Harness harness(
        {table_t()}, over_t(call_of("ntile", {"CAST(c2 AS BIGINT)"}), "BIGINT"),
        "SELECT *, ntile(g) OVER (PARTITION BY k ORDER BY v, g, d, m) FROM t WHERE NOT "
        "EXISTS (FROM t AS other WHERE other.k IS NOT DISTINCT FROM t.k AND other.g = 0)");
    harness.compare_errors();
    harness.run(seed, 10, 12);
  }
}

TEST(Over, AFailureIsCountedAndTold) {
  auto source = table_t();
  Harness harness({source}, over_t(call_of("ntile", {"CAST(c2 AS BIGINT)"}), "BIGINT"),
                  "SELECT *, 0 FROM t WHERE false");
  harness.add_row(source, {duckdb::Value("a"), duckdb::Value::INTEGER(0), duckdb::Value::BIGINT(1),
                           duckdb::Value::DOUBLE(1), duckdb::Value::DECIMAL(int64_t{1}, 12, 3)});
  ASSERT_EQ(harness.errors().size(), 1u);
  EXPECT_THAT(harness.errors().begin()->first, HasSubstr("#2 {\"k\":\"a\"} "));
  EXPECT_THAT(harness.errors().begin()->first, HasSubstr("ntile"));
}

TEST(Over, ARowInTheMiddleSavesItsNeighboursOnly) {
  auto call = call_of("sum", {"c3"});
  call.frame = {.unit = WindowFrame::Unit::rows,
                .start = {.kind = WindowFrame::Kind::preceding, .offset = "CAST(2 AS BIGINT)"},
                .end = {.kind = WindowFrame::Kind::following, .offset = "CAST(1 AS BIGINT)"}};
  const std::string window =
      " OVER (PARTITION BY k ORDER BY v, g, d, m ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING) FROM t";
  auto source = table_t();
  Harness harness({source}, over_t(call, "HUGEINT"), "SELECT *, sum(v)" + window);
  harness.grow(7, 3'000);
  harness.save_entries();
  harness.add_row(source, {duckdb::Value("a"), duckdb::Value::INTEGER(1), duckdb::Value::BIGINT(3),
                           duckdb::Value::DOUBLE(0.5), duckdb::Value::DECIMAL(int64_t{1}, 12, 3)});
  EXPECT_LE(harness.save_entries(), 4u);
}

TEST(Over, StateGoesWithItsRows) {
  Harness harness({table_t()}, over_t(call_of("row_number"), "BIGINT"),
                  "SELECT *, row_number() OVER (PARTITION BY k ORDER BY v, g, d, m) FROM t");
  harness.grow(3, 2'000);
  EXPECT_GT(harness.state_bytes(), 100'000u);
  harness.empty();
  harness.save_entries();
  EXPECT_EQ(harness.state_bytes(), 0u);
  EXPECT_EQ(harness.stored_entries(), 0u);
}

TEST(Over, MoreRowsThanAreAskedAboutAtOnce) {
  Harness harness({table_t()}, over_t(call_of("lag", {"c3"}), "BIGINT"),
                  "SELECT *, lag(v) OVER (PARTITION BY k ORDER BY v, g, d, m) FROM t");
  harness.grow(5, 50'000);
}

TEST(Over, DamagedStateIsRefused) {
  Harness harness({table_t()}, over_t(call_of("row_number"), "BIGINT"), "SELECT *, 1 FROM t");
  for (auto [key, value] : {std::pair("", ""), std::pair("\x05", "x"),
                            std::pair("\x01"
                                      "ax",
                                      "\x02\x09")}) {
    auto loaded = harness.load_entry(key, value);
    ASSERT_FALSE(loaded.has_value());
    EXPECT_EQ(loaded.error().code(), Code::corrupt);
  }
}

TEST(Over, WhatHasNoDefinedAnswerIsRefused) {
  OverNode node;
  auto refusal = [&](const OverNode::Call& call) {
    auto checked = check_over(node, call);
    return checked ? std::string() : checked.error().message();
  };
  for (const char* function : {"row_number", "ntile", "lag", "lead", "first_value", "list"}) {
    EXPECT_THAT(refusal(call_of(function)), HasSubstr("without an order")) << function;
  }
  EXPECT_EQ(refusal(call_of("rank")), "");
  EXPECT_EQ(refusal(call_of("sum")), "");
  auto rows = call_of("sum");
  rows.frame.unit = WindowFrame::Unit::rows;
  EXPECT_THAT(refusal(rows), HasSubstr("without an order"));
  rows.frame.end.kind = WindowFrame::Kind::unbounded;
  EXPECT_EQ(refusal(rows), "");
  rows.frame.exclude = WindowFrame::Exclude::ties;
  EXPECT_THAT(refusal(rows), HasSubstr("EXCLUDE"));
  EXPECT_THAT(refusal(call_of("reservoir_quantile")), HasSubstr("no defined answer"));
}

}  // namespace
}  // namespace ziwa::stream
