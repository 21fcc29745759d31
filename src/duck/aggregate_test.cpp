#include "duck/aggregate.h"

#include "base/file.h"

#include <gtest/gtest.h>

namespace ziwa::duck {
namespace {

using duckdb::LogicalType;
using duckdb::Value;

class AggregateTest : public ::testing::Test {
 protected:
  std::unique_ptr<AggregateProgram> create(const AggregateProgram::Call& call) {
    auto program = AggregateProgram::create(*instance_, call);
    EXPECT_TRUE(program.has_value()) << program.error().to_string();
    return program ? std::move(*program) : nullptr;
  }
  static Result<Value> run(AggregateProgram& program, const duckdb::vector<LogicalType>& types,
                           const std::vector<std::vector<Value>>& rows) {
    duckdb::DataChunk chunk;
    chunk.Initialize(duckdb::Allocator::DefaultAllocator(), types);
    TRY(program.begin());
    for (const auto& row : rows) {
      chunk.Reset();
      for (size_t i = 0; i < row.size(); ++i) chunk.SetValue(i, 0, row[i]);
      chunk.SetCardinality(1);
      TRY(program.add(chunk));
    }
    duckdb::Vector out(program.result_type());
    TRY(program.finish(out, 3));
    return out.GetValue(3);
  }
  std::unique_ptr<Instance> instance_ = std::move(*Instance::open(posix_file_system(), {}));
};

TEST_F(AggregateTest, RunsOneGroupAfterAnother) {
  auto program = create({.function = "string_agg",
                         .columns = {LogicalType::VARCHAR},
                         .constants = {"CAST('-' AS VARCHAR)"}});
  duckdb::vector<LogicalType> types = {LogicalType::VARCHAR};
  std::string longer(100, 'x');
  EXPECT_EQ(run(*program, types, {{Value("a")}, {Value(longer)}}).value(), Value("a-" + longer));
  EXPECT_EQ(run(*program, types, {{Value("b")}}).value(), Value("b"));
  EXPECT_TRUE(run(*program, types, {}).value().IsNull());
}

TEST_F(AggregateTest, CastsItsArgumentsAndKnowsItsConstants) {
  auto program =
      create({.function = "corr", .columns = {LogicalType::INTEGER, LogicalType::INTEGER}});
  auto value =
      run(*program, {LogicalType::INTEGER, LogicalType::INTEGER},
          {{Value::INTEGER(1), Value::INTEGER(2)}, {Value::INTEGER(3), Value::INTEGER(6)}});
  EXPECT_DOUBLE_EQ(value.value().GetValue<double>(), 1);
  auto quantile = create({.function = "quantile_cont",
                          .columns = {LogicalType::INTEGER},
                          .constants = {"CAST('0.25' AS DOUBLE)"}});
  EXPECT_EQ(quantile->constants().at(0), Value::DOUBLE(0.25));
}

TEST_F(AggregateTest, ErrorsAreTold) {
  auto program = create({.function = "sum", .columns = {LogicalType::HUGEINT}});
  auto big = Value("170141183460469231731687303715884105727").DefaultCastAs(LogicalType::HUGEINT);
  EXPECT_FALSE(run(*program, {LogicalType::HUGEINT}, {{big}, {big}}).has_value());
  EXPECT_EQ(run(*program, {LogicalType::HUGEINT}, {{big}}).value(), big);  // and it goes on
  EXPECT_FALSE(AggregateProgram::create(*instance_, {.function = "no_such", .columns = {}}));
  EXPECT_FALSE(AggregateProgram::create(
      *instance_, {.function = "corr", .columns = {LogicalType::DATE, LogicalType::DATE}}));
  EXPECT_FALSE(AggregateProgram::create(*instance_, {.function = "row_number", .columns = {}}));
}

}  // namespace
}  // namespace ziwa::duck
