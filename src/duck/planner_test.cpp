#include "duck/planner.h"

#include "base/sim_file.h"
#include "duck/instance.h"
#include "duck/logical_plan.h"

#include <gtest/gtest.h>

namespace ziwa::duck {
namespace {

using duckdb::LogicalOperatorType;

class PlannerTest : public testing::Test {
 protected:
  void SetUp() override {
    auto opened = Instance::open(files_, {});
    ASSERT_TRUE(opened.has_value());
    instance_ = std::move(*opened);
    connection_ = instance_->connect();
    connection_->Query(
        "CREATE TABLE f (origin VARCHAR, dest VARCHAR, delay INTEGER, ts TIMESTAMP, unused BLOB)");
    connection_->Query("CREATE TABLE a (code VARCHAR, state VARCHAR)");
    connection_->BeginTransaction();
  }
  void TearDown() override {
    connection_->Rollback();
    connection_.reset();
  }
  PlannedQuery plan(const std::string& sql) {
    auto planned = plan_query(*connection_, sql);
    EXPECT_TRUE(planned.has_value()) << planned.error().to_string();
    return planned.has_value() ? std::move(*planned) : PlannedQuery();
  }
  static std::vector<LogicalOperatorType> operators(duckdb::LogicalOperator& op) {
    std::vector<LogicalOperatorType> all = {op.type};
    for (auto& child : op.children) {
      auto below = operators(*child);
      all.insert(all.end(), below.begin(), below.end());
    }
    return all;
  }
  static duckdb::LogicalGet& first_get(duckdb::LogicalOperator& op) {
    if (op.type == LogicalOperatorType::LOGICAL_GET) return op.Cast<duckdb::LogicalGet>();
    return first_get(*op.children.at(0));
  }

  SimFileSystem files_;
  std::unique_ptr<Instance> instance_;
  std::unique_ptr<duckdb::Connection> connection_;
};

TEST_F(PlannerTest, FiltersStayOutOfScansAndUnusedColumnsGo) {
  auto query = plan(
      "SELECT origin, count(*) AS n FROM f WHERE delay > 10 AND origin IN ('SFO', 'JFK') GROUP BY "
      "ALL");
  EXPECT_EQ(query.names, (duckdb::vector<std::string>{"origin", "n"}));
  auto types = operators(*query.plan);
  EXPECT_NE(std::find(types.begin(), types.end(), LogicalOperatorType::LOGICAL_FILTER),
            types.end());
  auto& get = first_get(*query.plan);
  EXPECT_TRUE(get.table_filters.filters.empty());
  EXPECT_EQ(get.GetColumnIds().size(), 2u);
}

TEST_F(PlannerTest, CommaJoinsBecomeJoinsEvenOverNoRows) {
  auto query = plan(
      "SELECT a.state, b.state, sum(delay) FROM f, a, a b WHERE origin = a.code AND b.code = dest "
      "GROUP BY ALL");
  auto types = operators(*query.plan);
  EXPECT_EQ(std::count(types.begin(), types.end(), LogicalOperatorType::LOGICAL_COMPARISON_JOIN),
            2);
  EXPECT_EQ(std::count(types.begin(), types.end(), LogicalOperatorType::LOGICAL_CROSS_PRODUCT), 0);
  EXPECT_EQ(std::count(types.begin(), types.end(), LogicalOperatorType::LOGICAL_EMPTY_RESULT), 0);
}

TEST_F(PlannerTest, OrderAndLimitBecomeTopN) {
  auto query = plan(
      "WITH d AS (SELECT origin, avg(delay) AS m FROM f GROUP BY 1) SELECT * FROM d ORDER BY m "
      "DESC LIMIT 10");
  auto types = operators(*query.plan);
  EXPECT_EQ(std::count(types.begin(), types.end(), LogicalOperatorType::LOGICAL_TOP_N), 1);
  EXPECT_EQ(std::count(types.begin(), types.end(), LogicalOperatorType::LOGICAL_MATERIALIZED_CTE),
            0);
}

TEST_F(PlannerTest, UnstableFunctionsAreNamed) {
  EXPECT_TRUE(plan("SELECT upper(origin) FROM f").unstable_functions.empty());
  auto query =
      plan("SELECT random(), count(*) FILTER (WHERE ts > now()::TIMESTAMP) FROM f GROUP BY 1");
  EXPECT_EQ(query.unstable_functions.size(), 2u);
}

TEST_F(PlannerTest, RefusesWhatIsNotOneSelect) {
  EXPECT_EQ(plan_query(*connection_, "SELECT 1; SELECT 2").error().code(), Code::unsupported);
  EXPECT_EQ(plan_query(*connection_, "DROP TABLE f").error().code(), Code::unsupported);
  EXPECT_EQ(plan_query(*connection_, "SELECT * FROM f WHERE delay = ?").error().code(),
            Code::unsupported);
  Error missing = plan_query(*connection_, "SELECT nothere FROM f").error();
  EXPECT_EQ(missing.code(), Code::invalid_argument);
  EXPECT_EQ(missing.position(), 7u);
}

}  // namespace
}  // namespace ziwa::duck
