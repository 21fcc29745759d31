#include "sql/statement_parser.h"

#include <gtest/gtest.h>

namespace ziwa::sql {
namespace {

template <typename T>
T parse(std::string_view sql) {
  auto statement = parse_statement(sql);
  EXPECT_TRUE(statement) << sql << ": " << (statement ? "" : statement.error().to_string());
  if (!statement || !std::holds_alternative<T>(*statement)) {
    ADD_FAILURE() << "another kind of statement: " << sql;
    return T{};
  }
  return std::get<T>(*statement);
}

Error refused(std::string_view sql) {
  auto statement = parse_statement(sql);
  if (!statement) return statement.error();
  ADD_FAILURE() << "accepted: " << sql;
  return Error(Code::internal, "accepted");
}

TEST(StatementParser, CreateTopic) {
  auto topic = parse<CreateTopic>(
      "create topic if not exists s.flights (id BIGINT NOT NULL, \"the time\" TIMESTAMP, d "
      "DECIMAL(10, 2),"
      " st STRUCT(a INTEGER, b VARCHAR)[], WATERMARK FOR \"the time\" AS \"the time\" - INTERVAL "
      "'15 minutes')"
      " WITH (partitions=4, partition_by='id', format=avro, retention='7 days')");
  EXPECT_TRUE(topic.if_not_exists);
  EXPECT_EQ(topic.name.schema, "s");
  EXPECT_EQ(topic.name.name, "flights");
  ASSERT_EQ(topic.columns.size(), 4);
  EXPECT_TRUE(topic.columns[0].not_null);
  EXPECT_EQ(topic.columns[1].name, "the time");
  EXPECT_EQ(topic.columns[2].type.text, "DECIMAL(10, 2)");
  EXPECT_EQ(topic.columns[3].type.text, "STRUCT(a INTEGER, b VARCHAR)[]");
  ASSERT_TRUE(topic.watermark);
  EXPECT_EQ(topic.watermark->column, "the time");
  EXPECT_EQ(topic.watermark->delay_us, 15LL * 60 * 1'000'000);
  ASSERT_EQ(topic.options.size(), 4);
  EXPECT_EQ(topic.options[2].name, "format");
  EXPECT_EQ(topic.options[2].value, "avro");
}

TEST(StatementParser, RawTopicHasNoColumns) {
  auto topic = parse<CreateTopic>("CREATE TOPIC raw");
  EXPECT_TRUE(topic.columns.empty());
}

TEST(StatementParser, CreateTable) {
  auto table = parse<CreateTable>(
      "CREATE TABLE o (ts TIMESTAMP, country VARCHAR) PARTITIONED BY (month(ts), country) WITH "
      "(format='parquet')");
  ASSERT_EQ(table.partitioned_by.size(), 2);
  EXPECT_EQ(table.partitioned_by[0].transform, "month");
  EXPECT_EQ(table.partitioned_by[0].column, "ts");
  EXPECT_EQ(table.partitioned_by[1].transform, "identity");
  EXPECT_FALSE(table.query);
}

TEST(StatementParser, CreateTableAsKeepsTheQueryAndItsPosition) {
  std::string sql = "CREATE TABLE a WITH (file = 'x.csv') AS\nSELECT 1 AS b -- end";
  auto table = parse<CreateTable>(sql);
  ASSERT_TRUE(table.query);
  EXPECT_EQ(table.query->text, "SELECT 1 AS b");
  EXPECT_EQ(table.query->position, sql.find("SELECT"));
}

TEST(StatementParser, CreateView) {
  auto view = parse<CreateView>("CREATE MATERIALIZED VIEW v AS SELECT 1 EMIT CHANGES");
  EXPECT_EQ(view.query.text, "SELECT 1");
  EXPECT_FALSE(view.on_window_close);
  view =
      parse<CreateView>("CREATE MATERIALIZED VIEW v AS SELECT emit ON emit Emit on Window\nClose");
  EXPECT_EQ(view.query.text, "SELECT emit ON emit");
  EXPECT_TRUE(view.on_window_close);
  auto explain = parse<ExplainStream>("EXPLAIN STREAM SELECT 1 EMIT ON WINDOW CLOSE");
  EXPECT_EQ(explain.query.text, "SELECT 1");
  EXPECT_TRUE(explain.on_window_close);
  view = parse<CreateView>("CREATE MATERIALIZED VIEW v AS EMIT CHANGES");
  EXPECT_EQ(view.query.text, "EMIT CHANGES") << "without a query it is none";
}

TEST(StatementParser, CreateSinkAndDrop) {
  auto sink = parse<CreateSink>(
      "CREATE SINK s INTO db.public.o FROM t WITH (commit_interval = '5 seconds')");
  EXPECT_EQ(sink.into.schema, "public");
  EXPECT_EQ(sink.into.name, "o");
  EXPECT_EQ(sink.from.name, "t");
  auto drop = parse<Drop>("DROP MATERIALIZED VIEW IF EXISTS v CASCADE");
  EXPECT_EQ(drop.kind, catalog::Kind::view);
  EXPECT_TRUE(drop.if_exists);
  EXPECT_TRUE(drop.cascade);
}

TEST(StatementParser, CallsAndDeletes) {
  auto call = parse<Call>("CALL ziwa.delete_records('flights', 0, -1)");
  EXPECT_EQ(call.function, "delete_records");
  ASSERT_EQ(call.arguments.size(), 3);
  EXPECT_TRUE(call.arguments[0].is_text);
  EXPECT_EQ(call.arguments[2].value, "-1");
  auto records = parse<DeleteRecords>("DELETE FROM t WHERE _offset < 100 AND _partition = 2");
  EXPECT_EQ(records.before, 100);
  EXPECT_EQ(records.partition, 2);
  EXPECT_EQ(parse<Foreign>("DELETE FROM t WHERE a = 1").verb, "DELETE");
  EXPECT_EQ(refused("CALL enable_logging()").code(), Code::permission);
}

TEST(StatementParser, ShowIsASelect) {
  EXPECT_NE(parse<Foreign>("SHOW TOPICS").replacement.find("ziwa.topics"), std::string::npos);
  EXPECT_NE(parse<Foreign>("show materialized views").replacement.find("ziwa.views"),
            std::string::npos);
  EXPECT_EQ(parse<Foreign>("SHOW TimeZone").replacement, "");
  EXPECT_EQ(parse<ExplainStream>("EXPLAIN STREAM SELECT 1").query.text, "SELECT 1");
  EXPECT_EQ(parse<Foreign>("EXPLAIN SELECT 1").verb, "EXPLAIN");
}

TEST(StatementParser, ASearchPathIsOneTextForDuckDB) {
  for (const char* sql : {"SET search_path TO X, public", "SET SESSION search_path = 'x , public'",
                          "SET search_path = \"x\",public", "SET search_path TO 'x', 'public'"}) {
    EXPECT_EQ(parse<Foreign>(sql).replacement, "SET search_path = '\"x\",\"public\"'") << sql;
  }
  EXPECT_EQ(parse<Foreign>("SET LOCAL search_path = db.\"A, b\"").replacement,
            "SET LOCAL search_path = '\"db\".\"A, b\"'");
  for (const char* sql : {"SET search_path = ''", "SET search_path TO DEFAULT",
                          "SET search_path = 'it''s'", "SET schema = 'x'"}) {
    EXPECT_EQ(parse<Foreign>(sql).replacement, "") << sql;
  }
  for (const char* sql : {"SET search_path TO", "SET search_path TO x,", "SET search_path = x y"}) {
    EXPECT_EQ(refused(sql).cause(), Cause::syntax_error) << sql;
  }
}

TEST(StatementParser, DuckDBsStatementsPass) {
  for (const char* sql :
       {"SELECT 1", "WITH a AS (SELECT 1) SELECT * FROM a", "INSERT INTO t VALUES (1)",
        "CREATE TEMP TABLE x (a INT)", "SET TimeZone = 'UTC'", "SET search_path = 'public'",
        "SET TIME ZONE 'UTC'", "SET SESSION timezone = 'UTC'", "RESET timezone", "USE db.public",
        "COPY t FROM 'x.csv'", "SET VARIABLE x = 1"}) {
    parse<Foreign>(sql);
  }
}

TEST(StatementParser, TransactionsAsDriversSpellThem) {
  using Verb = TransactionControl::Verb;
  for (const char* sql : {"BEGIN", "begin work", "START TRANSACTION",
                          "BEGIN ISOLATION LEVEL SERIALIZABLE, READ WRITE",
                          "BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED NOT DEFERRABLE"}) {
    EXPECT_EQ(parse<TransactionControl>(sql).verb, Verb::begin) << sql;
    EXPECT_FALSE(parse<TransactionControl>(sql).read_only) << sql;
  }
  EXPECT_TRUE(parse<TransactionControl>("BEGIN READ ONLY").read_only);
  EXPECT_EQ(parse<TransactionControl>("END").verb, Verb::commit);
  EXPECT_EQ(parse<TransactionControl>("ABORT WORK").verb, Verb::rollback);
  EXPECT_EQ(refused("ROLLBACK TO SAVEPOINT a").code(), Code::unsupported);
  EXPECT_EQ(refused("SAVEPOINT a").code(), Code::unsupported);
  EXPECT_EQ(refused("BEGIN something").code(), Code::invalid_argument);
}

struct Refused {
  const char* sql;
  Code code;
  size_t position;
};

TEST(StatementParser, RefusalsNameThePlace) {
  for (const Refused& example : {
           Refused{"LOAD json", Code::permission, 0},
           Refused{"  LOAD httpfs", Code::permission, 2},
           Refused{"SET memory_limit = '1GB'", Code::permission, 4},
           Refused{"SET GLOBAL TimeZone = 'UTC'", Code::permission, 4},
           Refused{"RESET threads", Code::permission, 6},
           Refused{"CREATE OR REPLACE TABLE t AS SELECT 1", Code::unsupported, 7},
           Refused{"CREATE VIEW v AS SELECT 1", Code::unsupported, 7},
           Refused{"CREATE SCHEMA s", Code::unsupported, 7},
           Refused{"CREATE TOPIC t (id BIGINT PRIMARY KEY)", Code::unsupported, 26},
           Refused{"CREATE TOPIC t (id BIGINT DEFAULT 1)", Code::unsupported, 26},
           Refused{"CREATE TOPIC t (id)", Code::invalid_argument, 18},
           Refused{"CREATE TOPIC t (id BIGINT", Code::invalid_argument, 25},
           Refused{"CREATE TOPIC t (id BIGINT) WITH (a=1, A=2)", Code::invalid_argument, 38},
           Refused{"CREATE TOPIC t (ts TIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL 1 MONTH)",
                   Code::invalid_argument, 64},
           Refused{"CREATE TABLE t", Code::invalid_argument, 14},
           Refused{"CREATE TABLE x.y.z (a INT)", Code::invalid_argument, 13},
           Refused{"CREATE TABLE t (a INT) garbage", Code::invalid_argument, 23},
           Refused{"DROP TABLE", Code::invalid_argument, 10},
           Refused{"DROP SOMETHING x", Code::invalid_argument, 5},
           Refused{"CALL ziwa.wait(SELECT 1)", Code::invalid_argument, 15},
           Refused{"SELECT 'open", Code::invalid_argument, 7},
       }) {
    Error error = refused(example.sql);
    EXPECT_EQ(error.code(), example.code) << example.sql << ": " << error.to_string();
    EXPECT_EQ(error.position(), example.position) << example.sql << ": " << error.to_string();
  }
}

TEST(StatementParser, TooLongIsRefused) {
  std::string sql = "SELECT '" + std::string(kStatementBytesMax, 'x') + "'";
  EXPECT_EQ(refused(sql).code(), Code::exhausted);
}

TEST(StatementParser, Intervals) {
  EXPECT_EQ(*interval_us("5", "SECOND"), 5'000'000);
  EXPECT_EQ(*interval_us("1.5", "minutes"), 90'000'000);
  EXPECT_FALSE(interval_us("1", "month"));
  EXPECT_FALSE(interval_us("x", "second"));
  EXPECT_FALSE(interval_us("1e30", "weeks"));
}

}  // namespace
}  // namespace ziwa::sql
