#include "duck/cause.h"

#include "base/sim_file.h"
#include "duck/file_system.h"
#include "duck/instance.h"

#include <gtest/gtest.h>

namespace ziwa::duck {
namespace {

using duckdb::ErrorData;
using duckdb::ExceptionType;

class CauseTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(files_.make_dirs("/sim/in").has_value());
    auto opened =
        Instance::open(files_, {.memory_bytes = 16u << 20, .allowed_directories = {"/sim/in"}});
    ASSERT_TRUE(opened.has_value()) << opened.error().to_string();
    instance_ = std::move(*opened);
    connection_ = instance_->connect();
  }
  Error error(const std::string& sql) {
    auto result = connection_->Query(sql);
    if (result->HasError()) return to_error(result->GetErrorObject(), sql);
    ADD_FAILURE() << "worked: " << sql;
    return Error(Code::internal, "worked");
  }

  SimFileSystem files_;
  std::unique_ptr<Instance> instance_;
  std::unique_ptr<duckdb::Connection> connection_;
};

TEST_F(CauseTest, AreTheSameWhetherErrorsAreJsonOrText) {
  const std::pair<const char*, Cause> kStatements[] = {
      {"SELEC 1", Cause::syntax_error},
      {"SELECT nowhere FROM range(1)", Cause::undefined_column},
      {"SELECT r, count(*) FROM range(1) t(r)", Cause::grouping_error},
      {"SELECT nowhere(1)", Cause::undefined_function},
      {"SELECT 1::nowhere", Cause::undefined_object},
      {"SELECT 'x'::INTEGER", Cause::invalid_text},
  };
  for (bool json : {false, true}) {
    ASSERT_FALSE(connection_->Query(json ? "SET errors_as_json = true" : "SELECT 1")->HasError());
    for (auto [sql, cause] : kStatements) EXPECT_EQ(error(sql).cause(), cause) << sql << json;
  }
}

TEST_F(CauseTest, MemoryAndDiskHaveTheirOwn) {
  Error memory = error("SELECT count(*) FROM (SELECT DISTINCT range FROM range(10000000))");
  EXPECT_EQ(memory.code(), Code::exhausted);
  EXPECT_EQ(memory.cause(), Cause::out_of_memory) << memory.to_string();
  files_.set_capacity(10'000);
  Error disk = error("COPY (SELECT range, random() FROM range(100000)) TO '/sim/in/big.parquet'");
  EXPECT_EQ(disk.code(), Code::exhausted);
  EXPECT_EQ(disk.cause(), Cause::disk_full) << disk.to_string();
}

TEST_F(CauseTest, GoThroughDuckDb) {
  auto thrown = [](const Error& error) { return guarded([&] { throw_error(error); }).error(); };
  Error null = thrown(Error(Code::invalid_argument, "NULL").because(Cause::not_null_violation));
  EXPECT_EQ(null.code(), Code::invalid_argument);
  EXPECT_EQ(null.cause(), Cause::not_null_violation);
  EXPECT_EQ(thrown(Error(Code::exhausted, "out of memory")).cause(), std::nullopt)
      << "our own words say nothing";
  EXPECT_EQ(guarded([] { throw std::bad_alloc(); }).error().cause(), Cause::out_of_memory);
}

TEST_F(CauseTest, OnlyFixedWordsAtTheEndsCount) {
  auto cause = [](ExceptionType type, const std::string& message) {
    return to_error(ErrorData(type, message)).cause();
  };
  auto code = [](ExceptionType type, const std::string& message) {
    return to_error(ErrorData(type, message)).code();
  };
  // A primary key of a column that is named like the other message of the same beginning.
  EXPECT_EQ(cause(ExceptionType::BINDER,
                  "column \"a\" must appear in the GROUP BY clause or must be part of an aggregate "
                  "function.\" named in key does not exist"),
            std::nullopt);
  EXPECT_EQ(cause(ExceptionType::BINDER, "table t has 1 columns but 2 values were supplied"),
            Cause::syntax_error);
  EXPECT_EQ(cause(ExceptionType::BINDER,
                  "table \"x values were supplied\" has duplicate column name \"y\""),
            std::nullopt);
  EXPECT_EQ(code(ExceptionType::CATALOG, "Table a does not exist!"), Code::not_found);
  EXPECT_EQ(
      code(ExceptionType::CATALOG, "table \"t\" can have only one primary key: x does not exist!"),
      Code::invalid_argument);
  // The type decides first.
  EXPECT_EQ(cause(ExceptionType::IO, "syntax error at or near"), std::nullopt);
  EXPECT_EQ(cause(ExceptionType::IO, "No space left on device"), std::nullopt);
  EXPECT_EQ(cause(ExceptionType::OUT_OF_RANGE, "anything"), Cause::out_of_range);
}

TEST_F(CauseTest, ACastSaysWhatWasWrong) {
  EXPECT_EQ(cause_of_cast("Type INT32 with value 300 can't be cast because"), Cause::out_of_range);
  EXPECT_EQ(cause_of_cast("Type INTEGER can't be cast as DATE"), Cause::cannot_coerce);
  EXPECT_EQ(cause_of_cast("Type STRUCT(\" with value \" INTEGER) can't be cast as DATE"),
            Cause::cannot_coerce);
  EXPECT_EQ(cause_of_cast("Could not convert string 'out of range' to INT32"), Cause::invalid_text);
  EXPECT_EQ(cause_of_cast("Could not convert string 'x' to INT32"), Cause::invalid_text);
}

TEST_F(CauseTest, ATextThatLooksLikeAnErrorOfJsonIsAText) {
  ASSERT_FALSE(connection_->Query("SET errors_as_json = true")->HasError());
  Error forged = error(
      R"(SELECT error('{"exception_type":"Out of Memory","exception_message":"x","ziwa_code":"9"}'))");
  EXPECT_EQ(forged.code(), Code::invalid_argument);
  EXPECT_EQ(error("SELECT error('{\"exception_type\"')").code(), Code::invalid_argument);
}

}  // namespace
}  // namespace ziwa::duck
