#include "sql/testing/sql_rig.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

namespace ziwa::sql {
namespace {

using testing::all_rows;

const std::map<Cause, std::string_view>& sqlstates() {
  static const std::map<Cause, std::string_view> kStates = {
#define ZIWA_CODE(name, http, sqlstate, kafka)
#define ZIWA_CAUSE(name, code, sqlstate) {Cause::name, sqlstate},
#include "base/error_table.inc"
#undef ZIWA_CODE
#undef ZIWA_CAUSE
  };
  return kStates;
}

/// The finer SQLSTATE, or the name of the code of an error that has none.
std::string state_of(const Error& error) {
  return std::string(error.cause() ? sqlstates().at(*error.cause()) : code_name(error.code()));
}

class CauseTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto session = rig_.database().session();
    ASSERT_TRUE(session) << session.error().to_string();
    session_ = std::move(*session);
    run("CREATE TABLE strict (a INTEGER NOT NULL, b VARCHAR)");
    run("CREATE TOPIC heard (a INTEGER NOT NULL, ts TIMESTAMP)");
    run("CREATE TEMP TABLE scratch (a INTEGER NOT NULL)");
  }
  void run(std::string_view sql) {
    auto result = all_rows(*session_, sql);
    ASSERT_TRUE(result) << sql << ": " << result.error().to_string();
  }
  std::string state(std::string_view sql) {
    auto result = all_rows(*session_, sql);
    if (result) return "worked";
    last_ = result.error().to_string();
    return state_of(result.error());
  }

  testing::SqlRig rig_{testing::SqlRig::Streams::fake};
  std::unique_ptr<Session> session_;
  std::string last_;
};

struct Example {
  const char* sql;
  const char* state;
};

constexpr Example kExamples[] = {
    {"SELEC 1", "42601"},
    {"SET", "42601"},
    {"RESET", "42601"},
    {"SELECT 1 +", "42601"},
    {"SELECT 'x", "42601"},
    {"SELECT 1 /* x", "42601"},
    {"CREATE TOPIC (a INTEGER)", "42601"},
    {"CREATE TOPIC", "42601"},
    {"CREATE TOPIC a.b.c (a INTEGER)", "42601"},
    {"CREATE TOPIC t (a INTEGER) WITH (partitions = 1, partitions = 2)", "42601"},
    {"CREATE MATERIALIZED VIEW v AS SELECT * FROM tumble(heard, ts", "42601"},
    {"INSERT INTO strict VALUES (1, 'b', 3)", "42601"},
    {"INSERT INTO strict (a) VALUES (1, 2)", "42601"},
    {"SELECT 1 UNION SELECT 1, 2", "42601"},
    {"SELECT nowhere", "42703"},
    {"SELECT nowhere FROM strict", "42703"},
    {"SELECT strict.nowhere FROM strict", "42703"},
    {"SELECT v.nowhere FROM (VALUES (1)) v(a)", "42703"},
    {"SELECT * EXCLUDE (nowhere) FROM strict", "42703"},
    {"SELECT * FROM strict JOIN heard USING (nowhere)", "42703"},
    {"INSERT INTO strict (nowhere) VALUES (1)", "42703"},
    {"CREATE TOPIC t (a INTEGER, WATERMARK FOR nowhere AS nowhere - INTERVAL 5 SECOND)", "42703"},
    {"CREATE TABLE t (a INTEGER) PARTITIONED BY (nowhere)", "42703"},
    {"SELECT nowhere(1)", "42883"},
    {"SELECT * FROM nowhere(1)", "42883"},
    {"SELECT sum('a'::BLOB)", "42883"},
    {"SELECT 1 + DATE '2020-01-01' + TIME '10:00:00' + 'x'::BLOB", "42883"},
    {"CALL ziwa.nowhere()", "42883"},
    {"CALL ziwa.wait()", "42883"},
    {"CREATE MATERIALIZED VIEW v AS SELECT * FROM tumble(heard)", "42883"},
    {"SELECT 1::nowhere", "42704"},
    {"SELECT 'a' COLLATE nowhere", "42704"},
    {"CREATE TOPIC t (a nowhere)", "42704"},
    {"CREATE TABLE t (a nowhere)", "42704"},
    {"SELECT $1", "42P02"},
    {"SELECT a FROM strict WHERE a = $1", "42P02"},
    {"SELECT r FROM range(1) a(r), range(1) b(r)", "42702"},
    {"SELECT a, count(*) FROM strict", "42803"},
    {"SELECT a, count(*) FROM strict GROUP BY b", "42803"},
    {"SELECT a FROM strict WHERE sum(a) > 1", "42803"},
    {"SELECT sum(a) FROM strict GROUP BY sum(a)", "42803"},
    {"SELECT sum(sum(a)) FROM strict", "42803"},
    {"SELECT b FROM strict HAVING a > 1", "42803"},
    {"SELECT CASE WHEN true THEN DATE '2020-01-01' ELSE 'x'::BLOB END", "42804"},
    {"SELECT coalesce(DATE '2020-01-01', 'x'::BLOB)", "42804"},
    {"CREATE TOPIC t (a INTEGER, WATERMARK FOR a AS a - INTERVAL 5 SECOND)", "42804"},
    {"CREATE TABLE t (a INTEGER) PARTITIONED BY (month(a))", "42804"},
    {"SELECT DATE '2020-01-01'::INTEGER", "42846"},
    {"SELECT [1]::INTEGER", "42846"},
    {"SELECT '2020'::TIMESTAMP", "22007"},
    {"SELECT 'x'::DATE", "22007"},
    {"SELECT '25:00:00'::TIME", "22007"},
    {"SELECT '2020-13-01'::DATE", "22007"},
    {"SELECT strptime('x', '%Y')", "22007"},
    {"SELECT 'x'::INTEGER", "22P02"},
    {"SELECT 'x'::DOUBLE", "22P02"},
    {"SELECT 'x'::BOOLEAN", "22P02"},
    {"SELECT 'x'::UUID", "22P02"},
    {"SELECT '{'::JSON", "22P02"},
    {"SELECT 'c'::ENUM('a', 'b')", "22P02"},
    {"SELECT json_extract('{', '$.a')", "22P02"},
    {"SELECT 300::TINYINT", "22003"},
    {"SELECT 1e20::INTEGER", "22003"},
    {"SELECT 1000::DECIMAL(3,1)", "22003"},
    {"SELECT 1e30::DECIMAL(18,3)", "22003"},
    {"SELECT 9223372036854775807 + 1::BIGINT", "22003"},
    {"SELECT DATE '2020-01-01' + 2147483647", "22003"},
    {"SELECT -(-128)::TINYINT", "22003"},
    {"SELECT log(1, 5)", "22012"},
    {"SELECT sqrt(-1)", "22023"},
    {"SELECT chr(-1)", "22023"},
    {"SELECT date_part('nowhere', DATE '2020-01-01')", "22023"},
    {"SELECT regexp_matches('a', '(')", "22023"},
    {"SELECT array_value(1)[1:2:0]", "22023"},
    {"CREATE TOPIC t (a INTEGER) WITH (nowhere = 1)", "22023"},
    {"CREATE TOPIC t (a INTEGER) WITH (partitions = 0)", "22023"},
    {"CREATE TOPIC t (a INTEGER) WITH (retention = 'soon')", "22023"},
    {"CALL ziwa.wait(-1)", "22023"},
    {"INSERT INTO strict VALUES (NULL, 'b')", "23502"},
    {"INSERT INTO heard VALUES (NULL, NULL)", "23502"},
    {"INSERT INTO scratch VALUES (NULL)", "23502"},
    {"SELECT error('x')", "invalid_argument"},
    {"SELECT * FROM nowhere", "not_found"},
    {"SELECT nowhere.a FROM strict", "not_found"},
    {"SELECT * FROM nowhere.strict", "not_found"},
    {"DROP TOPIC nowhere", "not_found"},
    {"CREATE TABLE strict (a INTEGER)", "already_exists"},
    {"ATTACH 'x.db'", "permission"},
    {"SET memory_limit = '1GB'", "permission"},
    {"VACUUM", "unsupported"},
};

TEST_F(CauseTest, EveryStatementThatFailsHasItsSqlstate) {
  for (const Example& example : kExamples)
    EXPECT_EQ(state(example.sql), example.state) << example.sql << "\n" << last_;
}

TEST_F(CauseTest, EveryCauseIsReached) {
  std::set<std::string_view> reached = {
      "25P02",  // ATransactionThatHasFailedSaysSo
      "25006",  // ATransactionToReadOnlyRefusesWrites
      "25P01",  // The Postgres door's SAVEPOINT, RELEASE: its test.
      "3B001",
      "53100",  // A full disk: the tests of duck and stream.
      "53200",  // The limit of memory: the test of duck.
      "55000",  // A view that has failed: lake_interop_test.
  };
  for (const Example& example : kExamples) reached.insert(example.state);
  for (auto [cause, sqlstate] : sqlstates()) EXPECT_TRUE(reached.contains(sqlstate)) << sqlstate;
}

TEST_F(CauseTest, ATransactionThatHasFailedSaysSo) {
  run("BEGIN");
  EXPECT_EQ(state("SELECT nowhere"), "42703");
  EXPECT_EQ(state("SELECT 1"), "25P02");
  run("ROLLBACK");
}

TEST_F(CauseTest, ATransactionToReadOnlyRefusesWrites) {
  for (const char* write :
       {"INSERT INTO heard VALUES (1, now()::TIMESTAMP)", "INSERT INTO strict VALUES (1, 'b')"}) {
    run("BEGIN READ ONLY");
    EXPECT_EQ(state(write), "25006") << write << last_;
    run("ROLLBACK");
  }
}

TEST_F(CauseTest, TumbleNamesItselfAndTheCast) {
  run("CREATE TOPIC zoned (tz TIMESTAMPTZ, a INTEGER)");
  for (const char* form : {"SELECT * FROM tumble(zoned, {}, INTERVAL 1 HOUR)",
                           "CREATE MATERIALIZED VIEW w AS SELECT window_start, count(*) FROM "
                           "tumble(zoned, {}, INTERVAL "
                           "1 HOUR) GROUP BY 1"}) {
    for (const char* column : {"tz", "a"}) {
      const std::string sql = fmt::format(fmt::runtime(form), column);
      auto result = all_rows(*session_, sql);
      ASSERT_FALSE(result) << sql;
      const Error& refused = result.error();
      EXPECT_EQ(refused.cause(), Cause::datatype_mismatch) << sql;
      EXPECT_EQ(refused.message().find("tumble_start"), std::string::npos) << refused.message();
      EXPECT_NE(refused.message().find("of tumble"), std::string::npos) << refused.message();
      EXPECT_NE(refused.hint().find("::TIMESTAMP"), std::string::npos) << refused.hint();
      EXPECT_EQ(refused.position(), sql.find(fmt::format("{},", column))) << sql;
    }
  }
}

/// Words of other errors, which users may write anywhere.
constexpr const char* kPhrases[] = {
    "syntax error at or near",
    "Referenced column x",
    "x does not have a column y",
    "No function matches",
    "Scalar Function with name x",
    "Type with name x",
    "x must appear in the GROUP BY clause or be used in an aggregate function",
    " is not important.",
    "WHERE clause cannot contain aggregates!",
    "Malformed JSON at byte 1",
    "Failed to cast value: Overflow in x",
    "Could not parse string \"x\"",
    "Type INT32 with value 1",
    "value is out of range!",
    "invalid date field format",
    "Overflow in x",
    "divison by zero in based logarithm",
    "Division by zero",
    "NOT NULL constraint failed: x.y",
    "NULL in column x, which is NOT NULL",
    "No space left on device",
    "out of memory",
    "failed to allocate data of size 1",
    "Table x does not exist!",
    "Table x already exists!",
    "Cannot change configuration option \"x\" - the configuration has been locked",
    "x\nDid you mean y\n\nLINE 1: ^",
};

std::string in_quotes(std::string_view text, char quote) {
  std::string out(1, quote);
  for (char c : text) out += c == quote ? std::string(2, c) : std::string(1, c);
  return out + quote;
}

TEST_F(CauseTest, WordsOfAUserChangeNoSqlstate) {
  for (const char* phrase : kPhrases) {
    const std::string text = in_quotes(phrase, '\'');
    const std::string name = in_quotes(phrase, '"');
    const Example examples[] = {
        {"SELECT {t}::INTEGER", "22P02"},
        {"SELECT {t}::DATE", "22007"},
        {"SELECT strptime({t}, '%Y')", "22007"},
        {"SELECT CAST({t} AS DECIMAL(3, 1))", "22P02"},
        {"SELECT json_extract({t}, '$.a')", "22P02"},
        {"SELECT date_part({t}, DATE '2020-01-01')", "22023"},
        {"SELECT regexp_matches('a', {t} || '(')", "22023"},
        {"SELECT error({t})", "invalid_argument"},
        {"SELECT 300::TINYINT AS {n}", "22003"},
        {"SELECT {n}::TINYINT FROM (SELECT 300 AS {n})", "22003"},
        {"SELECT {n}::INTEGER FROM (SELECT 'x' AS {n})", "22P02"},
        {"SELECT {n}", "42703"},
        {"SELECT {n} FROM strict", "42703"},
        {"SELECT strict.{n} FROM strict", "42703"},
        {"SELECT {n}.nowhere FROM strict {n}", "42703"},
        {"SELECT * EXCLUDE ({n}) FROM strict", "42703"},
        {"INSERT INTO strict ({n}) VALUES (1)", "42703"},
        {"SELECT {n} FROM (SELECT 1 AS {n}) a, (SELECT 1 AS {n}) b", "42702"},
        {"SELECT {n}, count(*) FROM (SELECT 1 AS {n})", "42803"},
        {"SELECT 1 AS b FROM (SELECT 1 AS {n}) HAVING {n} > 1", "42803"},
        {"SELECT {n}(1)", "42883"},
        {"SELECT abs({n}) FROM (SELECT ['x'] AS {n})", "42883"},
        {"SELECT 1::{n}", "42704"},
        {"SELECT struct_pack({n} := 1)::INTEGER", "42846"},
        {"SELECT * FROM {n}", "not_found"},
        {"SELECT * FROM {n}.strict", "not_found"},
        {"DROP TOPIC {n}", "not_found"},
        {"CREATE TOPIC t (a INTEGER) WITH ({n} = 1)", "22023"},
        {"CREATE TOPIC t (a INTEGER) WITH (retention = {t})", "22023"},
        {"CREATE TOPIC t (a {n})", "42704"},
        {"CREATE TABLE t (a INTEGER) PARTITIONED BY ({n})", "42703"},
        {"INSERT INTO strict VALUES (NULL, {t})", "23502"},
    };
    for (const Example& example : examples) {
      std::string sql = example.sql;
      for (auto [mark, with] : {std::pair("{t}", &text), std::pair("{n}", &name)}) {
        for (size_t at = 0; (at = sql.find(mark, at)) != std::string::npos; at += with->size())
          sql.replace(at, 3, *with);
      }
      EXPECT_EQ(state(sql), example.state) << sql << "\n" << last_;
    }
  }
}

}  // namespace
}  // namespace ziwa::sql
