#include "log/testing/packed_batch.h"
#include "sql/testing/sql_test.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ziwa::sql {
namespace {

using testing::all_rows;
using testing::TextRows;

class TableTest : public testing::SqlTest {
 protected:
  TableTest() : SqlTest(testing::SqlRig::Streams::real) {}
};

TEST_F(TableTest, CreateInsertSelect) {
  rows("CREATE TABLE o (id BIGINT NOT NULL, ts TIMESTAMP, country VARCHAR)");
  EXPECT_EQ(rows("SELECT count(*) FROM o"), (TextRows{{"0"}}));
  rows("INSERT INTO o VALUES (1, '2001-01-31 10:00:00', 'KE'), (2, '2001-02-01', NULL)");
  rows("INSERT INTO o (id) VALUES (3)");
  EXPECT_EQ(rows("SELECT * FROM o ORDER BY id"), (TextRows{{"1", "2001-01-31 10:00:00", "KE"},
                                                           {"2", "2001-02-01 00:00:00", "NULL"},
                                                           {"3", "NULL", "NULL"}}));
  EXPECT_EQ(error("INSERT INTO o VALUES (NULL, NULL, NULL)").code(), Code::invalid_argument);
  EXPECT_EQ(rows("SELECT kind FROM ziwa.journal WHERE kind = 'table'").size(), 2);
}

TEST_F(TableTest, PartitionsAreHiddenAndPruned) {
  rows(
      "CREATE TABLE p (id BIGINT, ts TIMESTAMP, country VARCHAR) PARTITIONED BY (month(ts), "
      "country)");
  rows(
      "INSERT INTO p SELECT range, TIMESTAMP '2001-01-01' + INTERVAL (range) DAY, 'c' || (range % "
      "2) FROM range(90)");
  EXPECT_EQ(rows("SELECT count(*), count(DISTINCT country), min(id), max(id) FROM p"),
            (TextRows{{"90", "2", "0", "89"}}));
  EXPECT_EQ(rows("SELECT count(*) FROM p WHERE ts >= '2001-02-01' AND ts < '2001-03-01'"),
            (TextRows{{"28"}}));
  EXPECT_EQ(rows("SELECT count(*) FROM p WHERE country = 'c1'"), (TextRows{{"45"}}));
  EXPECT_EQ(rows("SELECT files, rows, partitioned_by FROM ziwa.tables"),
            (TextRows{{"6", "90", "month(ts), country"}}));
  EXPECT_EQ(rows("DESCRIBE p").size(), 3);
  EXPECT_EQ(error("CREATE TABLE q (a INT) PARTITIONED BY (month(a))").code(),
            Code::invalid_argument);
  EXPECT_EQ(error("CREATE TABLE q (a INT) PARTITIONED BY (bucket(a))").code(), Code::unsupported);
  EXPECT_EQ(error("CREATE TABLE q (a INT) PARTITIONED BY (b)").cause(), Cause::undefined_column);
}

TEST_F(TableTest, CreateTableAsIsAllOrNothing) {
  rows("CREATE TABLE a AS SELECT range AS id, 'n' || range AS name FROM range(5000)");
  EXPECT_EQ(rows("SELECT count(*), max(name) FROM a"), (TextRows{{"5000", "n999"}}));
  rows("CREATE TABLE b AS SELECT a.id * 2 AS twice FROM a WHERE id < 3");
  EXPECT_EQ(rows("SELECT * FROM b ORDER BY 1"), (TextRows{{"0"}, {"2"}, {"4"}}));
  EXPECT_EQ(error("CREATE TABLE c AS SELECT CAST(name AS INT) AS x FROM a").code(),
            Code::invalid_argument);
  EXPECT_EQ(rows("SELECT count(*) FROM ziwa.objects WHERE name = 'c'"), (TextRows{{"0"}}));
  EXPECT_EQ(error("CREATE TABLE c AS SELECT wrong FROM a").position(), 25);
  EXPECT_EQ(error("CREATE TABLE c AS INSERT INTO a VALUES (1, 'x')").code(),
            Code::invalid_argument);
  rows("CREATE TABLE IF NOT EXISTS a AS SELECT 1 AS other");
  EXPECT_EQ(rows("SELECT count(*) FROM a"), (TextRows{{"5000"}}));
}

TEST_F(TableTest, FilesAreLoaded) {
  for (const char* format : {"csv", "parquet", "json"}) {
    std::string file = fmt::format("{}/x.{}", rig_.files(), format);
    rows(fmt::format("COPY (SELECT range AS id, 'n' AS name FROM range(7)) TO '{}' (FORMAT {})",
                     file, format));
    rows(fmt::format("CREATE TABLE t_{} (id BIGINT, name VARCHAR)", format));
    rows(fmt::format("COPY t_{} FROM '{}' (FORMAT {})", format, file, format));
    EXPECT_EQ(rows(fmt::format("SELECT count(*), sum(id) FROM t_{}", format)),
              (TextRows{{"7", "21"}}));
    rows(fmt::format("CREATE TABLE as_{} AS SELECT * FROM '{}'", format, file));
    EXPECT_EQ(rows(fmt::format("SELECT count(*), sum(id) FROM as_{}", format)),
              (TextRows{{"7", "21"}}));
  }
}

TEST_F(TableTest, ATransactionKeepsTheTablesVersion) {
  rows("CREATE TABLE v AS SELECT 1 AS a");
  rows("BEGIN");
  EXPECT_EQ(rows("SELECT count(*) FROM v"), (TextRows{{"1"}}));
  auto other = *rig_.database().session();
  ASSERT_TRUE(all_rows(*other, "INSERT INTO v VALUES (2)"));
  EXPECT_EQ(rows("SELECT count(*) FROM v"), (TextRows{{"1"}}));
  rows("COMMIT");
  EXPECT_EQ(rows("SELECT count(*) FROM v"), (TextRows{{"2"}}));
}

TEST_F(TableTest, RecordsThatDoNotDecodeAreDeadLetters) {
  rows("CREATE TOPIC t (id BIGINT NOT NULL)");
  rows("CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t");
  append("t", {R"({"id": 1})", R"({"id": "no"})", R"({"id": null})", R"({"id": 2})"});
  EXPECT_EQ(rows("SELECT id, _offset FROM t ORDER BY id"), (TextRows{{"1", "0"}, {"2", "3"}}));
  EXPECT_EQ(rows("SELECT count(*) FROM t"), (TextRows{{"2"}}));
  EXPECT_EQ(rows("SELECT n FROM v"), (TextRows{{"2"}}));
  EXPECT_EQ(
      rows("SELECT topic, partition, \"offset\", decode(value) FROM ziwa.dead_letters ORDER BY 3"),
      (TextRows{{"t", "0", "1", R"({"id": "no"})"}, {"t", "0", "2", R"({"id": null})"}}));
}

TEST_F(TableTest, DeadLettersAreThereWhetherOrNotSomethingReadsTheTopic) {
  rows("CREATE TOPIC t (id BIGINT NOT NULL)");
  const char* query =
      "SELECT topic, \"offset\", entry > 0, decode(value) FROM ziwa.dead_letters ORDER BY 2";
  append("t", {"one"});
  append("t", {R"({"id": 1})"});
  append("t", {"three"});
  const TextRows two = {{"t", "0", "true", "one"}, {"t", "2", "true", "three"}};
  EXPECT_EQ(rows(query), two);
  rows("CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t");
  EXPECT_EQ(rows(query), two);
  rows("DROP MATERIALIZED VIEW v");
  append("t", {"four"});
  EXPECT_EQ(rows(query), (TextRows{two[0], two[1], {"t", "3", "true", "four"}}));
  EXPECT_EQ(rows("SELECT count(*) FROM ziwa.dead_letters"), (TextRows{{"3"}}));
}

TEST_F(TableTest, BatchesThatCannotBeReadAreLeftOutAndAreDeadLetters) {
  const char* letters =
      "SELECT topic, \"offset\", entry > 0, octet_length(value), reason LIKE 'the batch of offsets "
      "% "
      "cannot be read: %' FROM ziwa.dead_letters ORDER BY topic, 2";
  rows("CREATE TOPIC t (id BIGINT NOT NULL)");
  rows("CREATE TOPIC plain");
  for (const char* topic : {"t", "plain"}) {
    append(topic, {R"({"id": 1})"});
    append_batch(topic, log::testing::unreadable_batch(3, TimestampMs(1'000)));
    append(topic, {"bad", R"({"id": 2})"});
    append_batch(topic, log::testing::unreadable_batch(2, TimestampMs(1'000)));
    append_batch(topic, log::testing::unreadable_batch(2, TimestampMs(1'000)));
  }
  const TextRows wanted = {{"plain", "1", "true", "0", "true"}, {"plain", "6", "true", "0", "true"},
                           {"plain", "8", "true", "0", "true"}, {"t", "1", "true", "0", "true"},
                           {"t", "4", "true", "3", "false"},    {"t", "6", "true", "0", "true"},
                           {"t", "8", "true", "0", "true"}};
  auto check = [&](std::string_view when) {
    EXPECT_EQ(rows("SELECT id, _offset FROM t ORDER BY id"), (TextRows{{"1", "0"}, {"2", "5"}}))
        << when;
    EXPECT_EQ(rows("SELECT count(*) FROM t"), (TextRows{{"2"}})) << when;
    EXPECT_EQ(rows("SELECT count(*) FROM t WHERE _timestamp >= '1970-01-01 00:00:00.5'"),
              (TextRows{{"0"}}))
        << when;
    EXPECT_EQ(rows("SELECT _offset FROM t WHERE _offset >= 2"), (TextRows{{"5"}})) << when;
    EXPECT_EQ(rows("SELECT _offset FROM plain ORDER BY 1"), (TextRows{{"0"}, {"4"}, {"5"}}))
        << when;
    EXPECT_EQ(rows(letters), wanted) << when;
    EXPECT_EQ(rows("SELECT \"offset\" FROM ziwa.dead_letters WHERE topic = 'plain' ORDER BY 1"),
              (TextRows{{"1"}, {"6"}, {"8"}}))
        << when;
  };
  check("no view reads them");
  rows("CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t");
  rows("CREATE MATERIALIZED VIEW w AS SELECT count(*) AS n FROM plain");
  check("views read them");
  EXPECT_EQ(rows("SELECT v.n, w.n FROM v, w"), (TextRows{{"2", "3"}}));
}

TEST_F(TableTest, DeadLettersOfTopicsOfTheSameNameAreKeptApart) {
  rows("CREATE TOPIC t (id BIGINT NOT NULL)");
  rows("CREATE TOPIC other.t (id BIGINT NOT NULL)");
  append("t", {"here"});
  append("t", {"there"}, "other");
  const char* query =
      "SELECT topic, partition, \"offset\", decode(value) FROM ziwa.dead_letters ORDER BY 1";
  const TextRows both = {{"other.t", "0", "0", "there"}, {"t", "0", "0", "here"}};
  EXPECT_EQ(rows(query), both) << "no view reads them";
  rows("CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t");
  EXPECT_EQ(rows(query), both) << "a view reads one of them";
  rows("CREATE MATERIALIZED VIEW w AS SELECT count(*) AS n FROM other.t");
  EXPECT_EQ(rows(query), both);
}

TEST_F(TableTest, ASinkDoesNotPutWhatMayBeNullIntoWhatMayNot) {
  rows("CREATE TOPIC t (a INT)");
  rows("CREATE TABLE h (a INT NOT NULL)");
  EXPECT_EQ(error("CREATE SINK s INTO h FROM t").code(), Code::invalid_argument);
}

TEST_F(TableTest, SinksNeedMatchingColumns) {
  rows("CREATE TOPIC t (id BIGINT, name VARCHAR)");
  rows("CREATE TABLE good (name VARCHAR, id BIGINT)");
  rows("CREATE TABLE bad (id INTEGER, name VARCHAR)");
  rows("CREATE SINK s INTO good FROM t WITH (commit_interval = '2 seconds')");
  EXPECT_EQ(rows("SHOW SINKS")[0][1], "s");
  EXPECT_EQ(error("CREATE SINK s2 INTO bad FROM t").code(), Code::invalid_argument);
  EXPECT_EQ(error("CREATE SINK s3 INTO t FROM good").code(), Code::unsupported);
  EXPECT_EQ(error("DROP TABLE good").code(), Code::conflict);
  rows("DROP SINK s");
  rows("DROP TABLE good");
}

}  // namespace
}  // namespace ziwa::sql
