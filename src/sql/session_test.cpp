#include "sql/testing/sql_test.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

namespace ziwa::sql {
namespace {

using testing::all_rows;
using ::testing::HasSubstr;
using testing::TextRows;

class SessionTest : public testing::SqlTest {
 protected:
  SessionTest() : SqlTest(testing::SqlRig::Streams::fake) {}
  void make_topic() {
    rows(
        "CREATE TOPIC t (id BIGINT NOT NULL, name VARCHAR) WITH (partitions=2, partition_by='id')");
    rows("INSERT INTO t VALUES (1, 'one'), (2, 'two'), (3, NULL)");
  }
};

TEST_F(SessionTest, OrdinaryQueriesRun) {
  EXPECT_EQ(rows("SELECT 1 + 1, 'a'"), (TextRows{{"2", "a"}}));
  EXPECT_EQ(rows("SELECT count(*) FROM range(100000)"), (TextRows{{"100000"}}));
}

TEST_F(SessionTest, ATopicIsATable) {
  make_topic();
  EXPECT_EQ(rows("SELECT * FROM t ORDER BY id"),
            (TextRows{{"1", "one"}, {"2", "two"}, {"3", "NULL"}}));
  EXPECT_EQ(rows("SELECT name FROM db.public.t WHERE id = 2"), (TextRows{{"two"}}));
  EXPECT_EQ(rows("SELECT count(*) FROM t"), (TextRows{{"3"}}));
  EXPECT_EQ(rows("SELECT a.id FROM t a JOIN t b ON a.id = b.id + 1 ORDER BY 1"),
            (TextRows{{"2"}, {"3"}}));
  EXPECT_EQ(rows("DESCRIBE t")[0][0], "id");
  EXPECT_EQ(
      rows("SELECT table_schema, table_name FROM information_schema.tables WHERE table_name = 't'"),
      (TextRows{{"public", "t"}}));
}

TEST_F(SessionTest, EveryTopicHasVirtualColumns) {
  make_topic();
  EXPECT_EQ(rows("SELECT count(*), count(DISTINCT _partition), min(_offset), count(_entry), "
                 "count(_timestamp) FROM t"),
            (TextRows{{"3", "2", "0", "3", "3"}}));
  EXPECT_EQ(
      rows("SELECT CAST(_key AS VARCHAR), json_extract(decode(_value), '$.id') FROM t ORDER BY id"),
      (TextRows{{"1", "1"}, {"2", "2"}, {"3", "3"}}));
  EXPECT_EQ(
      rows("SELECT id, _partition >= 0 FROM t WHERE _offset < 1000 AND _partition < 5 ORDER BY id")
          .size(),
      3);
  EXPECT_EQ(rows("SELECT id FROM t WHERE _offset >= 1000"), TextRows{});
  EXPECT_EQ(rows("SELECT id FROM t WHERE _timestamp > now()::TIMESTAMP + INTERVAL 1 DAY"),
            TextRows{});
}

TEST_F(SessionTest, ARawTopicHasKeyAndValue) {
  rows("CREATE TOPIC r");
  rows("INSERT INTO r VALUES ('k'::BLOB, 'v'::BLOB), (NULL, NULL)");
  EXPECT_EQ(rows("SELECT * FROM r"), (TextRows{{"k", "v"}, {"NULL", "NULL"}}));
  EXPECT_EQ(rows("SELECT _value, _offset FROM r WHERE _key = 'k'::BLOB"), (TextRows{{"v", "0"}}));
}

TEST_F(SessionTest, InsertSaysHowManyAndNullsAreRefused) {
  make_topic();
  auto inserted = session_->query("INSERT INTO t SELECT range, 'x' FROM range(10, 5010)");
  ASSERT_TRUE(inserted);
  EXPECT_EQ((*inserted)->command(), "INSERT");
  EXPECT_EQ((*inserted)->affected(), 5000);
  EXPECT_TRUE((*inserted)->columns().empty());
  inserted->reset();
  EXPECT_EQ(rows("SELECT count(*), count(DISTINCT id) FROM t"), (TextRows{{"5003", "5003"}}));
  Error refused = error("INSERT INTO t VALUES (7, 'ok'), (NULL, 'no')");
  EXPECT_EQ(refused.code(), Code::invalid_argument);
  EXPECT_EQ(rows("SELECT count(*) FROM t"), (TextRows{{"5003"}})) << "all or nothing";
  rows("INSERT INTO t (id) VALUES (9)");
  EXPECT_EQ(rows("SELECT name FROM t WHERE id = 9"), (TextRows{{"NULL"}}));
}

TEST_F(SessionTest, PreparedStatementsTakeParameters) {
  make_topic();
  auto insert = session_->prepare("INSERT INTO t VALUES ($1, $2)");
  ASSERT_TRUE(insert) << insert.error().to_string();
  ASSERT_EQ((*insert)->parameter_types().size(), 2);
  EXPECT_EQ((*insert)->parameter_types()[0], duckdb::LogicalType::BIGINT);
  for (int i = 10; i < 13; ++i)
    ASSERT_TRUE(session_->execute(**insert, {duckdb::Value::BIGINT(i), duckdb::Value("p")}));
  auto select = session_->prepare("SELECT count(*) AS n FROM t WHERE name = ? AND id > ?");
  ASSERT_TRUE(select) << select.error().to_string();
  EXPECT_EQ((*select)->columns()[0].name, "n");
  for (int64_t above : {9, 10, 11}) {
    auto result = session_->execute(**select, {duckdb::Value("p"), duckdb::Value::BIGINT(above)});
    ASSERT_TRUE(result) << result.error().to_string();
    EXPECT_EQ((**(*result)->next()).GetValue(0, 0).GetValue<int64_t>(), 12 - above);
  }
  EXPECT_EQ(session_->execute(**select, {}).error().code(), Code::invalid_argument);
}

/// DuckDB's plans of some statements can run once only; those who prepare one do not know.
TEST_F(SessionTest, EveryPreparedStatementRunsAgainAndAgain) {
  make_topic();
  rows("CREATE TEMP TABLE kept (a INTEGER)");
  const std::pair<const char*, std::vector<duckdb::Value>> statements[] = {
      {"CREATE TEMP TABLE IF NOT EXISTS made AS SELECT 1 AS a", {}},
      {"CREATE TEMP TABLE IF NOT EXISTS given AS SELECT $1::INTEGER AS a", {duckdb::Value(7)}},
      {"CREATE OR REPLACE TEMP TABLE replaced AS SELECT range AS a, 'x' AS b FROM range(3)", {}},
      {"CREATE TEMP TABLE IF NOT EXISTS plain (a INTEGER DEFAULT 4, CHECK (a > 1))", {}},
      {"CREATE OR REPLACE TEMP VIEW seen AS SELECT 1 AS a", {}},
      {"CREATE OR REPLACE TEMP MACRO plus_one(x) AS x + 1", {}},
      {"CREATE TEMP MACRO IF NOT EXISTS plus_two(x) AS x + 2", {}},
      {"CREATE TEMP SEQUENCE IF NOT EXISTS numbers", {}},
      {"DROP TABLE IF EXISTS nothing", {}},
      {"INSERT INTO kept VALUES ($1)", {duckdb::Value(3)}},
      {"UPDATE kept SET a = a + 1", {}},
      {"DELETE FROM kept WHERE a = $1", {duckdb::Value(5)}},
      {"INSERT INTO t VALUES (9, 'nine')", {}},
      {"EXPLAIN SELECT * FROM kept", {}},
      {"EXPLAIN ANALYZE SELECT * FROM kept", {}},
      {"SET search_path = 'public'", {}},
      {"RESET search_path", {}},
      {"SET VARIABLE v = 1", {}},
      {"SHOW search_path", {}},
      {"PRAGMA show_tables", {}},
      {"SHOW TABLES", {}},
      {"DESCRIBE t", {}},
      {"SUMMARIZE t", {}},
      {"FROM t", {}},
      {"VALUES (1), (2)", {}},
      {"EXPLAIN STREAM SELECT id FROM t", {}},
      {"CALL ziwa.checkpoint()", {}},
      {"BEGIN", {}},
      {"COMMIT", {}},
  };
  std::vector<std::unique_ptr<Prepared>> prepared;
  for (const auto& [text, values] : statements) {
    auto made = session_->prepare(text);
    ASSERT_TRUE(made.has_value()) << text << ": " << made.error().to_string();
    prepared.push_back(std::move(*made));
  }
  for (int round = 1; round <= 3; ++round) {
    for (size_t i = 0; i < prepared.size(); ++i) {
      auto answer = session_->execute(*prepared[i], statements[i].second);
      ASSERT_TRUE(answer.has_value())
          << statements[i].first << ": " << answer.error().to_string() << ", round " << round;
      while (auto chunk = (*answer)->next()) {
        if (*chunk == nullptr) break;
      }
    }
    EXPECT_EQ(rows("SELECT * FROM made"), (TextRows{{"1"}}));
    EXPECT_EQ(rows("SELECT * FROM given"), (TextRows{{"7"}}));
    EXPECT_EQ(rows("SELECT count(a), max(b) FROM replaced"), (TextRows{{"3", "x"}}));
    EXPECT_EQ(rows("SELECT * FROM seen"), (TextRows{{"1"}}));
    EXPECT_EQ(rows("SELECT plus_one(1), plus_two(1)"), (TextRows{{"2", "3"}}));
    EXPECT_EQ(error("INSERT INTO plain VALUES (1)").code(), Code::invalid_argument);
    rows("SELECT count(*) FROM duckdb_views()");
    EXPECT_EQ(rig_.duck()->failure(), "");
  }
  EXPECT_EQ(rows("SELECT count(*) FROM t WHERE id = 9"), (TextRows{{"3"}}));
}

TEST_F(SessionTest, WritesAreRefusedWhileViewsStandStillForWantOfRoom) {
  make_topic();
  rows("CREATE TABLE l (a INTEGER)");
  const auto entries = rig_.journal().durable();
  rig_.fake_engine().room = Error(Code::exhausted, "no room").because(Cause::disk_full);
  for (const char* write : {"INSERT INTO t VALUES (4, 'four')", "INSERT INTO l VALUES (1)",
                            "CREATE TOPIC u (a INTEGER)", "CREATE TABLE m AS SELECT 1 AS a",
                            "CREATE MATERIALIZED VIEW v AS SELECT id FROM t"}) {
    EXPECT_EQ(error(write).cause(), Cause::disk_full) << write;
  }
  EXPECT_EQ(rig_.journal().durable(), entries);
  EXPECT_EQ(rows("SELECT count(*) FROM t"), (TextRows{{"3"}}));
  rows("CREATE TEMP TABLE mine AS SELECT 1 AS a");
  rows("DROP TABLE l");
  rig_.fake_engine().room = {};
  rows("INSERT INTO t VALUES (4, 'four')");
}

TEST_F(SessionTest, AGapInTheParametersIsNamed) {
  auto gap = session_->prepare("SELECT $2");
  ASSERT_FALSE(gap);
  EXPECT_EQ(gap.error().code(), Code::invalid_argument);
  EXPECT_NE(gap.error().message().find("$2 leaves a gap"), std::string::npos)
      << gap.error().to_string();
  auto named = session_->prepare("SELECT $name");
  ASSERT_FALSE(named);
  EXPECT_EQ(named.error().code(), Code::unsupported) << named.error().to_string();
}

TEST_F(SessionTest, APreparedStatementOutlivesTheObjectsVersion) {
  make_topic();
  auto select = session_->prepare("SELECT id FROM t");
  ASSERT_TRUE(select);
  auto other = open();
  ASSERT_TRUE(all_rows(*other, "DROP TOPIC t"));
  auto gone = session_->execute(**select, {});
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code(), Code::not_found);
  ASSERT_TRUE(all_rows(*other, "CREATE TOPIC t (id BIGINT, more VARCHAR)"));
  EXPECT_TRUE(session_->execute(**select, {}));
}

TEST_F(SessionTest, ATransactionKeepsItsEpoch) {
  make_topic();
  rows("BEGIN");
  EXPECT_EQ(session_->transaction_state(), TransactionState::open);
  EXPECT_EQ(rows("SELECT count(*) FROM t"), (TextRows{{"3"}}));
  auto other = open();
  ASSERT_TRUE(all_rows(*other, "INSERT INTO t VALUES (4, 'four')"));
  ASSERT_TRUE(all_rows(*other, "CREATE TOPIC later"));
  EXPECT_EQ(all_rows(*other, "SELECT count(*) FROM t").value(), (TextRows{{"4"}}));
  EXPECT_EQ(rows("SELECT count(*) FROM t"), (TextRows{{"3"}}));
  rows("COMMIT");
  EXPECT_EQ(session_->transaction_state(), TransactionState::idle);
  EXPECT_EQ(rows("SELECT count(*) FROM t"), (TextRows{{"4"}}));
}

TEST_F(SessionTest, ADroppedTopicStaysReadableInAnOlderTransaction) {
  make_topic();
  rows("BEGIN");
  EXPECT_EQ(rows("SELECT count(*) FROM ziwa.topics"), (TextRows{{"1"}}));
  auto other = open();
  ASSERT_TRUE(all_rows(*other, "DROP TOPIC t"));
  // The catalog of the transaction still has it; its records are gone, which is said and does not
  // crash.
  auto result = all_rows(*session_, "SELECT count(*) FROM t");
  EXPECT_FALSE(result);
  rows("ROLLBACK");
  EXPECT_EQ(error("SELECT * FROM t").code(), Code::not_found);
}

TEST_F(SessionTest, ATransactionWritesWhenItCommits) {
  make_topic();
  auto other = open();
  rows("BEGIN");
  EXPECT_EQ(session_->query("INSERT INTO t VALUES (5, 'x')").value()->affected(), 1);
  rows("INSERT INTO t VALUES (6, 'y')");
  EXPECT_EQ(all_rows(*other, "SELECT count(*) FROM t").value(), (TextRows{{"3"}}));
  rows("COMMIT");
  EXPECT_EQ(rows("SELECT count(*) FROM t"), (TextRows{{"5"}}));
  rows("BEGIN");
  rows("INSERT INTO t VALUES (7, 'z')");
  rows("ROLLBACK");
  EXPECT_EQ(rows("SELECT count(*) FROM t"), (TextRows{{"5"}}));
}

TEST_F(SessionTest, ATransactionHasOneTargetAndNoDdl) {
  make_topic();
  rows("CREATE TOPIC u (id INT)");
  rows("BEGIN");
  rows("INSERT INTO t VALUES (5, 'x')");
  EXPECT_EQ(error("INSERT INTO u VALUES (1)").code(), Code::unsupported);
  EXPECT_EQ(session_->transaction_state(), TransactionState::failed);
  EXPECT_EQ(error("SELECT 1").code(), Code::conflict);
  rows("COMMIT");  // of a failed transaction: rolls back
  EXPECT_EQ(session_->transaction_state(), TransactionState::idle);
  EXPECT_EQ(rows("SELECT count(*) FROM t"), (TextRows{{"3"}}));
  rows("BEGIN");
  EXPECT_EQ(error("CREATE TOPIC x").code(), Code::unsupported);
  rows("ROLLBACK");
  EXPECT_EQ(rows("SELECT count(*) FROM ziwa.topics"), (TextRows{{"2"}}));
}

TEST_F(SessionTest, APreparedCommitLooksAtItsTransaction) {
  make_topic();
  auto commit = session_->prepare("COMMIT");
  ASSERT_TRUE(commit);
  rows("BEGIN");
  rows("INSERT INTO t VALUES (5, 'x')");
  error("SELECT wrong");
  auto ended = session_->execute(**commit, {});
  ASSERT_TRUE(ended) << ended.error().to_string();
  EXPECT_EQ((*ended)->command(), "ROLLBACK");
  EXPECT_EQ(rows("SELECT count(*) FROM t"), (TextRows{{"3"}}));
  rows("BEGIN");
  rows("INSERT INTO t VALUES (5, 'x')");
  EXPECT_EQ(session_->execute(**commit, {}).value()->command(), "COMMIT");
  EXPECT_EQ(rows("SELECT count(*) FROM t"), (TextRows{{"4"}}));
  rows("COMMIT");
  rows("BEGIN READ ONLY");
  EXPECT_FALSE(all_rows(*session_, "INSERT INTO t VALUES (6, 'x')"));
  rows("ROLLBACK");
  EXPECT_EQ(rows("SELECT count(*) FROM t"), (TextRows{{"4"}}));
}

TEST_F(SessionTest, ErrorsHaveCodePositionAndHint) {
  make_topic();
  Error missing = error("SELECT wrong FROM t");
  EXPECT_EQ(missing.code(), Code::invalid_argument);
  EXPECT_EQ(missing.position(), 7);
  EXPECT_EQ(error("SELECT * FROM nothing").code(), Code::not_found);
  Error syntax = error("SELEC 1");
  EXPECT_EQ(syntax.code(), Code::invalid_argument);
  Error column = error("SELECT * FROM tumble(t, wrong, INTERVAL 1 MINUTE)");
  EXPECT_EQ(column.position(), 24);
  Error option = error("CREATE TOPIC o (a INT) WITH (partition=3)");
  EXPECT_EQ(option.code(), Code::invalid_argument);
  EXPECT_THAT(option.hint(), HasSubstr("partitions"));
  EXPECT_EQ(option.position(), 29);
  Error type = error("CREATE TOPIC o (a BIGNIT)");
  EXPECT_EQ(type.position(), 18);
}

TEST_F(SessionTest, NamesAreTakenAndMissedClearly) {
  make_topic();
  EXPECT_EQ(error("CREATE TOPIC t (a INT)").code(), Code::already_exists);
  EXPECT_EQ(error("CREATE TOPIC T (a INT)").code(), Code::already_exists) << "case does not matter";
  rows("CREATE TOPIC IF NOT EXISTS t (a INT)");
  EXPECT_EQ(error("DROP TOPIC tt").code(), Code::not_found);
  rows("DROP TOPIC IF EXISTS tt");
  EXPECT_EQ(error("DROP TABLE t").code(), Code::not_found) << "t is a topic";
  EXPECT_EQ(error("CREATE TOPIC ziwa.x").code(), Code::permission);
  EXPECT_EQ(error("CREATE TOPIC a (_offset INT)").code(), Code::invalid_argument);
  EXPECT_EQ(error("CREATE TOPIC a (b INT, B INT)").code(), Code::already_exists);
}

TEST_F(SessionTest, SchemasComeWithTheirObjects) {
  rows("CREATE TOPIC shop.orders (id INT)");
  rows("INSERT INTO shop.orders VALUES (1)");
  EXPECT_EQ(rows("SELECT * FROM shop.orders"), (TextRows{{"1"}}));
  rows("SET search_path = 'shop'");
  EXPECT_EQ(rows("SELECT * FROM orders"), (TextRows{{"1"}}));
  rows("CREATE TOPIC bills (id INT)");
  EXPECT_EQ(rows("SELECT schema, name FROM ziwa.topics ORDER BY name"),
            (TextRows{{"shop", "bills"}, {"shop", "orders"}}));
  rows("USE db.public");
  EXPECT_EQ(error("SELECT * FROM bills").code(), Code::not_found);
}

TEST_F(SessionTest, SystemTablesAreTables) {
  make_topic();
  EXPECT_EQ(
      rows("SHOW TOPICS"),
      (TextRows{{"public", "t", "2", "json", "3", rows("SELECT bytes FROM ziwa.topics")[0][0]}}));
  EXPECT_EQ(rows("SELECT sum(records) FROM ziwa.partitions WHERE topic = 't'"), (TextRows{{"3"}}));
  EXPECT_EQ(rows("SELECT kind FROM ziwa.journal WHERE kind = 'catalog'").size(), 1);
  EXPECT_EQ(rows("SELECT value FROM ziwa.settings WHERE name = 'sql.read.timeout'"),
            (TextRows{{"30 s"}}));
  EXPECT_EQ(rows("SELECT epoch = journal FROM ziwa.epoch"), (TextRows{{"true"}}));
  EXPECT_EQ(rows("SELECT state FROM ziwa.statements WHERE sql LIKE 'CREATE%'"),
            (TextRows{{"done"}}));
  for (const char* table : {"views", "sinks", "tables", "objects", "late_rows", "dead_letters",
                            "idle_marks", "metrics", "sessions"}) {
    rows(fmt::format("SELECT * FROM ziwa.{}", table));
  }
  EXPECT_EQ(error("INSERT INTO ziwa.topics SELECT * FROM ziwa.topics").code(), Code::permission);
  EXPECT_EQ(rows("SELECT number FROM ziwa.journal WHERE number <= 2").size(), 2);
}

TEST_F(SessionTest, AWriteIsReadByItsSessionOnceItIsPublished) {
  make_topic();
  rig_.fake_engine().freeze(rig_.journal().durable());
  rows("INSERT INTO t VALUES (4, 'four')");
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    rig_.fake_engine().freeze(std::nullopt);
  });
  EXPECT_EQ(rows("SELECT count(*) FROM t"), (TextRows{{"4"}}));
  later.join();
}

TEST_F(SessionTest, RowsSayTheirEpoch) {
  make_topic();
  auto result = session_->query("SELECT * FROM t");
  ASSERT_TRUE(result);
  ASSERT_TRUE((*result)->next());
  EXPECT_EQ((*result)->epoch(), rig_.journal().durable());
  auto constant = session_->query("SELECT 1");
  ASSERT_TRUE((*constant)->next());
  EXPECT_EQ((*constant)->epoch(), Epoch(0));
}

TEST_F(SessionTest, ResultsStreamAndCanBeLeft) {
  auto result = session_->query("SELECT * FROM range(100000000000)");
  ASSERT_TRUE(result) << result.error().to_string();
  ASSERT_TRUE((*result)->next());
  result->reset();
  EXPECT_EQ(rows("SELECT 1"), (TextRows{{"1"}}));
}

TEST_F(SessionTest, CancelStopsAQuery) {
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    session_->cancel();
  });
  Error stopped = error(
      "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range + b.range = -1");
  EXPECT_EQ(stopped.code(), Code::cancelled);
  later.join();
  EXPECT_EQ(rows("SELECT 1"), (TextRows{{"1"}}));
}

TEST_F(SessionTest, CancelStopsAWait) {
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    session_->cancel();
  });
  EXPECT_EQ(error("CALL ziwa.wait(999999)").code(), Code::cancelled);
  later.join();
  EXPECT_EQ(error("CALL ziwa.wait(999999, 10)").code(), Code::unavailable);
}

TEST_F(SessionTest, FilesOutsideTheAllowedFoldersAreRefused) {
  EXPECT_EQ(error("SELECT * FROM read_csv('/etc/passwd')").code(), Code::permission);
  EXPECT_EQ(error("COPY (SELECT 1) TO '/tmp/ziwa_should_not_be.csv'").code(), Code::permission);
  EXPECT_EQ(error("SELECT * FROM read_text('" + rig_.directory() + "/journal/x')").code(),
            Code::permission);
  rows("COPY (SELECT range AS id, 'n' || range AS name FROM range(3)) TO '" + rig_.files() +
       "/a.csv'");
  EXPECT_EQ(rows("SELECT count(*) FROM '" + rig_.files() + "/a.csv'"), (TextRows{{"3"}}));
}

TEST_F(SessionTest, CopyLoadsAFileIntoATopic) {
  make_topic();
  for (const char* format : {"csv", "parquet", "json"}) {
    std::string file = rig_.files() + "/load." + format;
    rows(fmt::format(
        "COPY (SELECT range + 100 AS id, 'n' AS name FROM range(5)) TO '{}' (FORMAT {})", file,
        format));
    auto copied = session_->query(fmt::format("COPY t FROM '{}' (FORMAT {})", file, format));
    ASSERT_TRUE(copied) << copied.error().to_string();
    EXPECT_EQ((*copied)->affected(), 5);
  }
  EXPECT_EQ(rows("SELECT count(*) FROM t WHERE name = 'n'"), (TextRows{{"15"}}));
}

TEST_F(SessionTest, SettingsOfTheEngineAreRefusedAndTheSessionsOwnWork) {
  EXPECT_EQ(error("SET threads = 8").code(), Code::permission);
  EXPECT_EQ(error("PRAGMA memory_limit='1GB'").code(), Code::permission);
  EXPECT_EQ(error("LOAD httpfs").code(), Code::permission);
  EXPECT_EQ(error("ATTACH ':memory:' AS other").code(), Code::permission);
  rows("SET TimeZone = 'Asia/Tokyo'");
  EXPECT_EQ(rows("SELECT TIMESTAMPTZ '2001-01-01 00:00:00+00'::VARCHAR"),
            (TextRows{{"2001-01-01 09:00:00+09"}}));
  auto other = open();
  EXPECT_EQ(all_rows(*other, "SELECT TIMESTAMPTZ '2001-01-01 00:00:00+00'::VARCHAR").value(),
            (TextRows{{"2001-01-01 00:00:00+00"}}));
}

TEST_F(SessionTest, TemporaryTablesBelongToTheSession) {
  rows("CREATE TEMP TABLE scratch AS SELECT 42 AS a");
  EXPECT_EQ(rows("SELECT a FROM scratch"), (TextRows{{"42"}}));
  auto other = open();
  EXPECT_FALSE(all_rows(*other, "SELECT a FROM scratch"));
  rows("DROP TABLE scratch");
  EXPECT_EQ(error("DROP TABLE scratch").code(), Code::not_found);
}

TEST_F(SessionTest, DeletingRecordsMovesTheStart) {
  rows("CREATE TOPIC d (id INT)");
  rows("INSERT INTO d SELECT range FROM range(10)");
  rows("DELETE FROM d WHERE _offset < 4");
  EXPECT_EQ(rig_.fake_engine().checkpoints, 1) << "readers get a checkpoint first";
  EXPECT_EQ(rows("SELECT min(id), count(*) FROM d"), (TextRows{{"4", "6"}}));
  EXPECT_EQ(rows("CALL ziwa.delete_records('d', 0, -1)"), (TextRows{{"0", "10"}}));
  EXPECT_EQ(rows("SELECT count(*) FROM d"), (TextRows{{"0"}}));
  EXPECT_EQ(error("DELETE FROM d WHERE id = 1").code(), Code::unsupported);
  EXPECT_EQ(error("UPDATE d SET id = 1").code(), Code::unsupported);
  EXPECT_EQ(error("CALL ziwa.delete_records('nothing')").code(), Code::not_found);
  EXPECT_THAT(error("CALL ziwa.delete_record('d')").hint(), HasSubstr("delete_records"));
}

TEST_F(SessionTest, APreparedStatementFollowsTheSearchPath) {
  rows("CREATE TABLE a.t (x INT)");
  rows("CREATE TABLE b.t (x INT)");
  rows("CREATE TABLE c.t (y VARCHAR)");
  rows("INSERT INTO b.t VALUES (7)");
  rows("SET search_path TO a");
  auto count = session_->prepare("SELECT count(*) FROM t");
  auto all = session_->prepare("SELECT * FROM t");
  auto insert = session_->prepare("INSERT INTO t VALUES (1)");
  ASSERT_TRUE(count && all && insert);
  auto run = [&](Prepared& prepared) {
    auto result = session_->execute(prepared, {});
    EXPECT_TRUE(result) << (result ? "" : result.error().to_string());
    return result ? testing::text_of(**result).value_or(TextRows{}) : TextRows{};
  };
  EXPECT_EQ(run(**count), (TextRows{{"0"}}));
  EXPECT_EQ(run(**all), TextRows{});
  rows("SET search_path TO b");
  EXPECT_EQ(run(**count), (TextRows{{"1"}}));
  EXPECT_EQ(run(**all), (TextRows{{"7"}}));
  run(**insert);
  EXPECT_EQ(rows("SELECT count(*) FROM b.t"), (TextRows{{"2"}}));
  EXPECT_EQ(rows("SELECT count(*) FROM a.t"), (TextRows{{"0"}}));
  rows("CREATE TEMP TABLE t AS SELECT 1 AS x WHERE false");
  EXPECT_EQ(run(**count), (TextRows{{"0"}}));
  rows("DROP TABLE temp.t");
  rows("SET search_path TO c");
  for (int i = 0; i < 2; ++i) {
    auto changed = session_->execute(**all, {});
    ASSERT_FALSE(changed);
    EXPECT_EQ(changed.error().message(), "cached plan must not change result type");
  }
  EXPECT_EQ(run(**count), (TextRows{{"0"}}));
}

TEST_F(SessionTest, TumbleGivesWindows) {
  rows("CREATE TOPIC w (ts TIMESTAMP, v INT)");
  rows(
      "INSERT INTO w VALUES ('2001-01-01 00:00:59', 1), ('2001-01-01 00:01:00', 2), ('1969-12-31 "
      "23:59:59', 3), (NULL, 4)");
  EXPECT_EQ(
      rows("SELECT v, window_start, window_end FROM tumble(w, ts, INTERVAL 1 MINUTE) ORDER BY v"),
      (TextRows{{"1", "2001-01-01 00:00:00", "2001-01-01 00:01:00"},
                {"2", "2001-01-01 00:01:00", "2001-01-01 00:02:00"},
                {"3", "1969-12-31 23:59:00", "1970-01-01 00:00:00"},
                {"4", "NULL", "NULL"}}));
  EXPECT_EQ(error("SELECT * FROM tumble(w, ts, INTERVAL 0 MINUTE)").code(), Code::invalid_argument);
  EXPECT_EQ(error("SELECT * FROM tumble(w, ts, INTERVAL 1 MONTH)").code(), Code::invalid_argument);
  EXPECT_EQ(
      rows("SELECT count(*) FROM tumble(w, ts, INTERVAL 1 HOUR) a, tumble(w, ts, INTERVAL 1 DAY) b "
           "WHERE a.window_start = b.window_start"),
      (TextRows{{"4"}}));
}

TEST_F(SessionTest, ExplainStreamShowsThePlan) {
  make_topic();
  auto plan = rows("EXPLAIN STREAM SELECT name, count(*) AS n FROM t GROUP BY name");
  ASSERT_FALSE(plan.empty());
  EXPECT_EQ(error("EXPLAIN STREAM SELECT now() FROM t").code(), Code::unsupported);
  EXPECT_EQ(error("EXPLAIN STREAM SELECT wrong FROM t").position(), 22);
}

TEST_F(SessionTest, AViewDependsOnItsSources) {
  make_topic();
  rows("CREATE MATERIALIZED VIEW v AS SELECT name, count(*) AS n FROM t GROUP BY name");
  EXPECT_EQ(rows("SELECT kind, depends_on FROM ziwa.objects WHERE name = 'v'"),
            (TextRows{{"view", "[public.t]"}}));
  Error used = error("DROP TOPIC t");
  EXPECT_EQ(used.code(), Code::conflict);
  EXPECT_THAT(used.message(), HasSubstr("view v"));
  EXPECT_EQ(error("INSERT INTO v VALUES ('a', 1)").code(), Code::unsupported);
  EXPECT_EQ(error("CREATE MATERIALIZED VIEW bad AS SELECT random() AS r FROM t").code(),
            Code::unsupported);
  EXPECT_EQ(error("CREATE MATERIALIZED VIEW bad AS SELECT id, id FROM t").code(),
            Code::invalid_argument);
  EXPECT_EQ(error("CREATE MATERIALIZED VIEW bad AS SELECT * FROM ziwa.topics").code(),
            Code::unsupported);
  rows("DROP TOPIC t CASCADE");
  EXPECT_EQ(rows("SELECT count(*) FROM ziwa.objects"), (TextRows{{"0"}}));
}

TEST_F(SessionTest, PinsEndWithTheirTransactions) {
  make_topic();
  rows("BEGIN");
  rows("SELECT count(*) FROM t");
  EXPECT_EQ(rows("SELECT pins FROM ziwa.epoch"), (TextRows{{"1"}}));
  rows("ROLLBACK");
  {
    auto left = session_->query("SELECT * FROM t, range(100000000)");
    ASSERT_TRUE((*left)->next());
    auto other = open();
    EXPECT_EQ(all_rows(*other, "SELECT pins FROM ziwa.epoch").value(), (TextRows{{"2"}}));
  }
  EXPECT_EQ(rows("SELECT pins FROM ziwa.epoch"), (TextRows{{"1"}}));
}

TEST_F(SessionTest, RowsEndWhenTheSessionGoesOn) {
  auto first = session_->query("SELECT * FROM range(100000000)");
  ASSERT_TRUE((*first)->next());
  EXPECT_EQ(rows("SELECT 1"), (TextRows{{"1"}}));
  EXPECT_EQ((*first)->next().error().code(), Code::cancelled);
  auto second = session_->query("SELECT * FROM range(3)");
  first->reset();  // must not end the second
  EXPECT_TRUE((*second)->next());
}

TEST_F(SessionTest, ATransactionDoesNotWriteIntoATableThatWasDropped) {
  rows("CREATE TABLE gone (a INT)");
  for (bool again : {false, true}) {
    rows("BEGIN");
    rows("INSERT INTO gone VALUES (1)");
    auto other = open();
    ASSERT_TRUE(all_rows(*other, "DROP TABLE gone"));
    if (again) ASSERT_TRUE(all_rows(*other, "CREATE TABLE gone (a INT)"));
    EXPECT_EQ(error("COMMIT").code(), Code::conflict);
    if (!again) rows("CREATE TABLE gone (a INT)");
  }
  EXPECT_EQ(rows("SELECT count(*) FROM gone"), (TextRows{{"0"}}));
}

}  // namespace
}  // namespace ziwa::sql
