#include "duck/expression.h"

#include "base/sim_file.h"

#include <gtest/gtest.h>

namespace ziwa::duck {
namespace {

using duckdb::LogicalType;
using duckdb::Value;

class ExpressionTest : public testing::Test {
 protected:
  ExpressionTest() {
    auto opened = Instance::open(files_, {});
    if (!opened.has_value()) throw std::runtime_error(opened.error().to_string());
    instance_ = std::move(*opened);
  }

  std::unique_ptr<ExpressionProgram> compile(const std::vector<std::string>& expressions) {
    auto program = ExpressionProgram::compile(*instance_, columns_, expressions);
    EXPECT_TRUE(program.has_value()) << program.error().to_string();
    return program.has_value() ? std::move(*program) : nullptr;
  }
  Error refused(const std::string& expression) {
    auto program = ExpressionProgram::compile(*instance_, columns_, {expression});
    EXPECT_FALSE(program.has_value()) << expression;
    return program.has_value() ? Error(Code::internal, "compiled") : program.error();
  }
  /// Rows (i, "si") for i in [0, count).
  void fill(duckdb::DataChunk& chunk, size_t count) {
    chunk.Initialize(duckdb::Allocator::DefaultAllocator(),
                     {LogicalType::BIGINT, LogicalType::VARCHAR});
    for (size_t i = 0; i < count; ++i) {
      chunk.SetValue(0, i, Value::BIGINT(static_cast<int64_t>(i)));
      chunk.SetValue(1, i, Value("s" + std::to_string(i)));
    }
    chunk.SetCardinality(count);
  }
  SimFileSystem files_;
  std::unique_ptr<Instance> instance_;
  std::vector<NamedType> columns_ = {{"a", LogicalType::BIGINT}, {"select", LogicalType::VARCHAR}};
};

TEST_F(ExpressionTest, ComputesColumnsInOrder) {
  auto program = compile({"upper(\"select\")", "a * 2", "7::INTEGER"});
  EXPECT_EQ(program->output_types()[1], LogicalType::BIGINT);
  duckdb::DataChunk in;
  fill(in, 3);
  Chunk answer(program->output_types());
  auto& out = answer.rows;
  for (int round = 0; round < 2; ++round) {
    ASSERT_TRUE(program->execute(in, out).has_value());
    ASSERT_EQ(out.size(), 3u);
    EXPECT_EQ(out.GetValue(0, 2), Value("S2"));
    EXPECT_EQ(out.GetValue(1, 2), Value::BIGINT(4));
    EXPECT_EQ(out.GetValue(2, 0), Value::INTEGER(7));
  }
}

TEST_F(ExpressionTest, CommonSubexpressionsGiveTheSameAnswer) {
  auto program = compile({"length(\"select\") + a", "length(\"select\") * a",
                          "CASE WHEN a > 0 THEN 10 // a ELSE 0 END"});
  duckdb::DataChunk in;
  fill(in, 20);
  Chunk answer(program->output_types());
  auto& out = answer.rows;
  ASSERT_TRUE(program->execute(in, out).has_value());
  EXPECT_EQ(out.GetValue(0, 12).GetValue<int64_t>(), 15);
  EXPECT_EQ(out.GetValue(1, 12).GetValue<int64_t>(), 36);
  EXPECT_EQ(out.GetValue(2, 0).GetValue<int64_t>(), 0);
  EXPECT_EQ(out.GetValue(2, 5).GetValue<int64_t>(), 2);
}

TEST_F(ExpressionTest, FailingRowsAreFoundAndNull) {
  auto program = compile({"CASE WHEN a % 500 = 3 THEN error('row ' || a) ELSE a END", "a + 1"});
  duckdb::DataChunk in;
  fill(in, 2048);
  Chunk answer(program->output_types());
  auto& out = answer.rows;
  EXPECT_EQ(program->execute(in, out).error().code(), Code::invalid_argument);
  std::vector<std::string> failed;
  ASSERT_TRUE(program->execute_rows(in, out, failed).has_value());
  ASSERT_EQ(out.size(), 2048u);
  for (size_t i = 0; i < 2048; ++i) {
    bool bad = i % 500 == 3;
    ASSERT_EQ(!failed[i].empty(), bad) << i;
    ASSERT_EQ(out.GetValue(1, i).IsNull(), bad) << i;
    if (!bad) ASSERT_EQ(out.GetValue(1, i).GetValue<int64_t>(), static_cast<int64_t>(i) + 1);
  }
  EXPECT_NE(failed[503].find("row 503"), std::string::npos) << failed[503];
}

TEST_F(ExpressionTest, SelectsRows) {
  auto program = compile({"a % 7 > 2 AND \"select\" LIKE 's1%'"});
  duckdb::DataChunk in;
  fill(in, 100);
  duckdb::SelectionVector rows(STANDARD_VECTOR_SIZE);
  size_t expected = 0;
  for (size_t i = 0; i < 100; ++i) expected += i % 7 > 2 && std::to_string(i)[0] == '1';
  auto count = program->select(in, rows);
  ASSERT_TRUE(count.has_value()) << count.error().to_string();
  EXPECT_EQ(*count, expected);
  EXPECT_EQ(rows.get_index(0), 10u);
  auto number = compile({"a"});
  EXPECT_EQ(number->select(in, rows).error().code(), Code::invalid_argument);
}

TEST_F(ExpressionTest, TimeZoneIsUtc) {
  auto program = compile({"hour(make_timestamptz(2001, 1, 1, 5, 0, 0))"});
  duckdb::DataChunk in;
  fill(in, 1);
  Chunk answer(program->output_types());
  auto& out = answer.rows;
  ASSERT_TRUE(program->execute(in, out).has_value());
  EXPECT_EQ(out.GetValue(0, 0).GetValue<int64_t>(), 5);
}

TEST_F(ExpressionTest, RefusesWhatIsNotAScalarExpression) {
  EXPECT_EQ(refused("nothere + 1").code(), Code::invalid_argument);
  EXPECT_EQ(refused("a, a").code(), Code::invalid_argument);
  EXPECT_EQ(refused("sum(a)").code(), Code::invalid_argument);
  EXPECT_EQ(refused("row_number() OVER ()").code(), Code::invalid_argument);
  EXPECT_EQ(refused("(SELECT 1)").code(), Code::unsupported);
  EXPECT_EQ(refused("$1").code(), Code::unsupported);
  EXPECT_EQ(refused("random()").code(), Code::unsupported);
  EXPECT_EQ(refused("now()").code(), Code::unsupported);
  EXPECT_EQ(refused("a +").code(), Code::invalid_argument);
  EXPECT_EQ(refused("").code(), Code::invalid_argument);
  EXPECT_EQ(refused("nosuch(a)").code(), Code::invalid_argument);
}

TEST(TypeTest, ParsesWhatItPrints) {
  for (const char* text : {"BIGINT", "VARCHAR", "DECIMAL(10,2)", "STRUCT(a INTEGER)[]",
                           "MAP(VARCHAR, DOUBLE)", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP", "JSON",
                           "ENUM('x', 'y')", "HUGEINT", "UUID", "INTEGER[3]"}) {
    auto type = parse_type(text);
    ASSERT_TRUE(type.has_value()) << text << ": " << type.error().to_string();
    EXPECT_EQ(type_name(*type), text);
  }
  EXPECT_EQ(parse_type("timestamptz").value(), LogicalType::TIMESTAMP_TZ);
}

TEST(TypeTest, RefusesWhatIsNoType) {
  for (const char* text : {"", "NOSUCH", "BIGINT, d INTEGER", "BIGINT PRIMARY", "STRUCT(a NOSUCH)",
                           "DECIMAL(99,2)", "'"}) {
    auto type = parse_type(text);
    ASSERT_FALSE(type.has_value()) << text;
    EXPECT_EQ(type.error().code(), Code::invalid_argument);
    EXPECT_FALSE(type.error().hint().empty());
  }
}

}  // namespace
}  // namespace ziwa::duck
