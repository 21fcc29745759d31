#include "duck/window.h"

#include "base/file.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>

namespace ziwa::duck {
namespace {

using duckdb::LogicalType;
using duckdb::Value;

class WindowTest : public ::testing::Test {
 protected:
  void add(WindowProgram& program, const std::vector<std::pair<int64_t, int64_t>>& rows) {
    duckdb::DataChunk chunk;
    chunk.Initialize(duckdb::Allocator::DefaultAllocator(),
                     {LogicalType::BIGINT, LogicalType::BIGINT});
    for (const auto& [part, value] : rows) {
      chunk.SetValue(0, chunk.size(), Value::BIGINT(part));
      chunk.SetValue(1, chunk.size(), Value::BIGINT(value));
      chunk.SetCardinality(chunk.size() + 1);
    }
    auto added = program.add(chunk);
    ASSERT_TRUE(added.has_value()) << added.error().to_string();
  }
  /// Results by the row's number, as text.
  static Result<std::map<int64_t, std::string>> run(WindowProgram& program) {
    std::map<int64_t, std::string> answers;
    TRY(program.run([&](duckdb::DataChunk& results) -> Status {
      for (size_t row = 0; row < results.size(); ++row) {
        std::string text;
        for (size_t i = 1; i < results.ColumnCount(); ++i) {
          text += (text.empty() ? "" : " ") + results.GetValue(i, row).ToString();
        }
        answers[results.GetValue(0, row).GetValue<int64_t>()] = text;
      }
      return {};
    }));
    return answers;
  }
  Result<std::unique_ptr<WindowProgram>> create(const std::vector<std::string>& calls) {
    return WindowProgram::create(*instance_, {LogicalType::BIGINT, LogicalType::BIGINT}, calls);
  }
  std::unique_ptr<Instance> instance_ = std::move(*Instance::open(posix_file_system(), {}));
};

using Answers = std::map<int64_t, std::string>;

TEST_F(WindowTest, AnswersOnceAndAgain) {
  auto program = create({"row_number() OVER (PARTITION BY c0 ORDER BY c1, number)",
                         "sum(c1) OVER (PARTITION BY c0)"});
  ASSERT_TRUE(program.has_value()) << program.error().to_string();
  EXPECT_EQ((*program)->result_types(),
            (duckdb::vector<LogicalType>{LogicalType::BIGINT, LogicalType::HUGEINT}));
  EXPECT_EQ(run(**program).value(), Answers{}) << "no rows";
  add(**program, {{1, 20}, {1, 10}});
  add(**program, {{2, 5}, {1, 10}});
  EXPECT_EQ((*program)->size(), 4u);
  EXPECT_EQ(run(**program).value(), (Answers{{0, "3 40"}, {1, "1 40"}, {2, "1 5"}, {3, "2 40"}}));
  EXPECT_EQ((*program)->size(), 0u);
  // What DuckDB must bind again when its catalog has changed.
  auto other = instance_->connect();
  ASSERT_FALSE(other->Query("CREATE TABLE something (a INT)")->HasError());
  add(**program, {{7, 1}});
  EXPECT_EQ(run(**program).value(), (Answers{{0, "1 1"}}));
}

TEST_F(WindowTest, ManyRows) {
  auto program = create({"lag(c1) OVER (PARTITION BY c0 ORDER BY c1)"});
  ASSERT_TRUE(program.has_value()) << program.error().to_string();
  constexpr int64_t kChunks = 300;
  for (int64_t i = 0; i < kChunks; ++i) {
    std::vector<std::pair<int64_t, int64_t>> rows;
    for (int64_t j = 0; j < 1'000; ++j) rows.emplace_back(j, i);
    add(**program, rows);
  }
  auto answers = run(**program).value();
  ASSERT_EQ(answers.size(), 1'000u * kChunks);
  for (const auto& [number, text] : answers) {
    ASSERT_EQ(text, number < 1'000 ? "NULL" : fmt::format("{}", number / 1'000 - 1)) << number;
  }
}

TEST_F(WindowTest, AfterAFailureItGoesOn) {
  auto program = create({"ntile(c1) OVER (PARTITION BY c0 ORDER BY number)"});
  ASSERT_TRUE(program.has_value()) << program.error().to_string();
  add(**program, {{1, 0}});
  auto failed = run(**program);
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().code(), Code::invalid_argument) << failed.error().to_string();
  EXPECT_EQ((*program)->size(), 0u);
  add(**program, {{1, 2}});
  EXPECT_EQ(run(**program).value(), (Answers{{0, "1"}}));
}

TEST_F(WindowTest, WhatIsNoCallIsRefused) {
  for (const char* call : {"nothing(c1) OVER ()", "c9", "c1; DROP TABLE x", "row_number() OVER"}) {
    EXPECT_FALSE(create({call}).has_value()) << call;
  }
}

}  // namespace
}  // namespace ziwa::duck
