#include "duck/refused_functions.h"
#include "sql/schema_names.h"
#include "sql/testing/sql_test.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <thread>

namespace ziwa::sql {
namespace {

using ::testing::HasSubstr;
using testing::TextRows;

class PermittedTest : public testing::SqlTest {
 protected:
  PermittedTest() : SqlTest(testing::SqlRig::Streams::fake) {}
  TextRows databases() {
    return rows("SELECT database_name FROM duckdb_databases() WHERE NOT internal ORDER BY 1");
  }
};

/// What DuckDB's parser takes for a space and ours might take for a letter.
const std::vector<std::string> kBlanks = {" ",
                                          "\xC2\xA0",
                                          "\xE2\x80\x80",
                                          "\xE2\x80\x83",
                                          "\xE2\x80\x8B",
                                          "\xE2\x80\xAF",
                                          "\xE2\x81\x9F",
                                          "\xE3\x80\x80",
                                          "\xEF\xBB\xBF",
                                          "/**/",
                                          "--\n"};

TEST_F(PermittedTest, NoBlankBeforeTheVerbLetsARefusedStatementThrough) {
  const auto before = databases();
  for (const std::string& blank : kBlanks) {
    for (const char* statement : {"ATTACH ':memory:' AS mm",
                                  "DETACH db",
                                  "LOAD json",
                                  "INSTALL json",
                                  "CHECKPOINT",
                                  "PRAGMA enable_profiling",
                                  "BEGIN",
                                  "COMMIT",
                                  "SET threads = 1",
                                  "SET GLOBAL TimeZone = 'UTC'",
                                  "RESET threads",
                                  "EXPORT DATABASE '/tmp/x'",
                                  "IMPORT DATABASE '/tmp/x'",
                                  "PREPARE p AS SELECT 1",
                                  "VACUUM",
                                  "ANALYZE",
                                  "CALL pragma_version()",
                                  "COPY FROM DATABASE db TO memory",
                                  "ALTER TABLE t ADD COLUMN a INT",
                                  "CREATE TABLE memory.main.x (a INT)",
                                  "CREATE SCHEMA memory.s",
                                  "CREATE VIEW memory.main.v AS SELECT 1",
                                  "CREATE MACRO memory.main.m() AS 1",
                                  "CREATE SEQUENCE memory.main.s",
                                  "CREATE TYPE memory.main.e AS ENUM ('a')",
                                  "CREATE SECRET s (TYPE s3)",
                                  "UPDATE EXTENSIONS",
                                  "USE memory",
                                  "USE temp",
                                  "USE system",
                                  "SET search_path = 'memory'",
                                  "SET search_path = 'public,memory.main'",
                                  "SET schema = 'memory.main'",
                                  "EXPLAIN ANALYZE LOAD json",
                                  "EXPLAIN ANALYZE CREATE TABLE memory.main.y AS SELECT 1 AS a",
                                  "EXPLAIN ANALYZE ATTACH ':memory:' AS m2",
                                  "EXPLAIN ANALYZE INSERT INTO memory.main.z VALUES (1)"}) {
      for (const char* end : {"", "\xC2\xA0"}) {
        SCOPED_TRACE(fmt::format("{:?}", blank + statement + end));
        auto done = testing::all_rows(*session_, blank + statement + end);
        if (done) {
          // What is a statement of ours (BEGIN, COMMIT) may pass; it is taken back.
          EXPECT_TRUE(std::string_view(statement) == "BEGIN" ||
                      std::string_view(statement) == "COMMIT");
          testing::all_rows(*session_, "ROLLBACK").ignore("there may be none");
        }
        ASSERT_EQ(rows("SELECT current_database(), current_schema()"),
                  (TextRows{{"db", "public"}}));
      }
    }
    auto other = open();
    ASSERT_TRUE(other);
  }
  EXPECT_EQ(databases(), before);
  EXPECT_EQ(rows("SELECT count(*) FROM duckdb_tables() WHERE database_name NOT IN ('db', 'temp')"),
            (TextRows{{"0"}}));
}

TEST_F(PermittedTest, WhatASessionMayRunStillRuns) {
  rows("CREATE TOPIC t (a BIGINT)");
  for (const std::string& blank : kBlanks) {
    rows(fmt::format("{}SELECT{}1", blank, blank));
    rows(fmt::format("{}INSERT INTO t VALUES (1){}", blank, blank));
  }
  for (const char* statement : {"FROM t",
                                "VALUES (1)",
                                "TABLE t",
                                "WITH c AS (SELECT 1) SELECT * FROM c",
                                "(SELECT 1)",
                                "SUMMARIZE t",
                                "DESCRIBE t",
                                "SHOW TABLES",
                                "EXPLAIN SELECT * FROM t",
                                "EXPLAIN ANALYZE SELECT * FROM t",
                                "CREATE TEMP TABLE tt AS SELECT 1 AS a",
                                "INSERT INTO tt VALUES (2)",
                                "UPDATE tt SET a = 3",
                                "DELETE FROM tt WHERE a = 3",
                                "CREATE TEMP VIEW tv AS SELECT 1",
                                "DROP VIEW tv",
                                "CREATE TEMP MACRO tm(x) AS x + 1",
                                "SELECT tm(1)",
                                "SET search_path = 'public'",
                                "RESET search_path",
                                "USE db.public",
                                "USE public",
                                "PRAGMA table_info('t')",
                                "SET VARIABLE v = 1",
                                "PIVOT t ON a IN (1, 2) USING count(*)"}) {
    SCOPED_TRACE(statement);
    rows(statement);
  }
  EXPECT_THAT(error("PIVOT t ON a USING count(*)").hint(), HasSubstr("IN"));
}

TEST_F(PermittedTest, TemporaryTablesStandBeforeObjectsOfTheirName) {
  rows("CREATE TABLE lake (a INT)");
  rows("INSERT INTO lake VALUES (1)");
  rows("CREATE TOPIC topic (a INT)");
  rows("INSERT INTO topic VALUES (1), (2)");
  rows("CREATE TEMP TABLE lake AS SELECT 99 AS a");
  rows("CREATE TEMP TABLE topic AS SELECT 1 AS _offset");
  rows("DELETE FROM topic WHERE _offset < 3");
  EXPECT_EQ(rows("SELECT count(*) FROM topic"), (TextRows{{"0"}})) << "the temporary one";
  EXPECT_EQ(rows("SELECT count(*) FROM public.topic"), (TextRows{{"2"}}));
  EXPECT_EQ(rows("SELECT a FROM lake"), (TextRows{{"99"}}));
  rows("DROP TABLE lake");
  EXPECT_EQ(rows("SELECT a FROM lake"), (TextRows{{"1"}})) << "the temporary one went first";
  rows("DROP TABLE lake");
  EXPECT_EQ(error("SELECT a FROM lake").code(), Code::not_found);
  rows("CREATE TEMP TABLE only_here (a INT)");
  rows("DROP TABLE IF EXISTS only_here");
  EXPECT_EQ(error("SELECT * FROM only_here").code(), Code::not_found);
  rows("DROP TABLE IF EXISTS only_here");
}

TEST_F(PermittedTest, CreateTableAsSeesWhatTheSessionSees) {
  rows("CREATE TEMP TABLE mine AS SELECT 7 AS a, 'x' AS b");
  rows("CREATE TEMP MACRO twice(x) AS x * 2");
  rows("CREATE TABLE made AS SELECT twice(a) AS a, b FROM mine");
  EXPECT_EQ(rows("SELECT a, b FROM made"), (TextRows{{"14", "x"}}));
  EXPECT_EQ(error("CREATE TABLE bad AS DELETE FROM made").code(), Code::invalid_argument);
  EXPECT_EQ(error("CREATE TABLE bad AS \xC2\xA0 DROP TABLE made").code(), Code::permission);
}

TEST_F(PermittedTest, TheSearchPathIsNeverEmptyAndShownAsItIsSet) {
  rows("CREATE TOPIC first.t1 (a INT)");
  rows("CREATE TOPIC \"a-b\".t2 (a INT)");
  rows("CREATE TOPIC t3 (a INT)");
  rows("SET search_path TO first, \"a-b\", public");
  const TextRows shown = rows("SHOW search_path");
  EXPECT_EQ(shown, (TextRows{{"first, \"a-b\", public"}}));
  for (const std::string& reset : {"RESET search_path", "SET search_path TO DEFAULT"}) {
    rows(reset);
    EXPECT_EQ(rows("SHOW search_path"), (TextRows{{"public"}}));
    rows("SELECT * FROM t3");
    EXPECT_EQ(error("SELECT * FROM t1").code(), Code::not_found);
    rows("SET search_path TO " + shown[0][0]);
    EXPECT_EQ(rows("SHOW search_path"), shown);
    rows("SELECT * FROM t1, t2, t3");
    rows(reset);
    rows(fmt::format("SET search_path = '{}'", shown[0][0]));
    EXPECT_EQ(rows("SHOW search_path"), shown);
  }
  EXPECT_EQ(error("SET search_path = ''").cause(), Cause::invalid_value);
  EXPECT_EQ(rows("SHOW search_path"), shown) << "as before";
  for (const char* object : {"t3", "\"a-b\".t2", "first.t1"})
    rows(fmt::format("DROP TOPIC {}", object));
}

TEST_F(PermittedTest, NamesAreLookedUpInEverySchemaOfThePath) {
  rows("CREATE TOPIC first.only_first (a INT)");
  rows("CREATE TOPIC only_public (a INT)");
  rows("SET search_path = 'first,public'");
  rows("SELECT * FROM only_first");
  rows("SELECT * FROM only_public");
  rows("CREATE MATERIALIZED VIEW v AS SELECT a FROM only_public");
  EXPECT_EQ(rows("SELECT schema FROM ziwa.views"), (TextRows{{"first"}}));
  rows("DROP MATERIALIZED VIEW v");
  rows("DELETE FROM only_public WHERE _offset < 1");
  rows("DROP TOPIC only_public");
  rows("DROP TOPIC only_first");
  EXPECT_EQ(error("DROP TOPIC only_first").code(), Code::not_found);
}

TEST_F(PermittedTest, RecordsAreDeletedWhereTheStatementSays) {
  rows("CREATE TOPIC t (a INT)");
  rows("INSERT INTO t SELECT * FROM range(10)");
  const TextRows all = {{"10"}};
  EXPECT_EQ(error("DELETE FROM t WHERE _offset < 100 AND _partition = 4294967296").code(),
            Code::invalid_argument);
  EXPECT_EQ(error("DELETE FROM t WHERE _offset < 100 AND _partition = -1").code(),
            Code::invalid_argument);
  EXPECT_EQ(error("CALL ziwa.delete_records('t', 0, -5)").code(), Code::invalid_argument);
  rows("DELETE FROM t WHERE _offset < -5");
  EXPECT_EQ(rows("SELECT count(*) FROM t"), all);
  rows("BEGIN");
  rows("SELECT count(*) FROM t");
  EXPECT_EQ(error("CALL ziwa.delete_records('t')").code(), Code::unsupported);
  rows("ROLLBACK");
  EXPECT_EQ(rows("SELECT count(*) FROM t"), all);
  rows("DELETE FROM t WHERE _offset <= 9223372036854775807");
  EXPECT_EQ(rows("SELECT count(*) FROM t"), (TextRows{{"0"}}));
}

TEST_F(PermittedTest, WhereQueriesSpillIsNobodysFolder) {
  const std::string spill = rows("SELECT current_setting('temp_directory')").at(0).at(0);
  ASSERT_FALSE(spill.empty());
  rows(fmt::format("COPY (SELECT 1 AS a) TO '{}/mine.csv'", rig_.files()));
  EXPECT_EQ(rows(fmt::format("SELECT a FROM '{}/mine.csv'", rig_.files())), (TextRows{{"1"}}));
  for (const std::string& folder : {spill, spill + "/.", rig_.files() + "/../tmp"}) {
    SCOPED_TRACE(folder);
    for (const char* statement :
         {"COPY (SELECT 1 AS a) TO '{}/evil.csv'", "COPY (SELECT 1 AS a) TO '{}/evil.parquet'",
          "SELECT * FROM read_csv('{}/evil.csv')", "SELECT * FROM glob('{}/*')",
          "SELECT * FROM read_text('{}/*')"}) {
      EXPECT_EQ(error(fmt::format(fmt::runtime(statement), folder)).code(), Code::permission)
          << statement;
    }
  }
  EXPECT_EQ(error("SELECT * FROM read_csv('/etc/passwd')").code(), Code::permission);
  EXPECT_THAT(error("SELECT * FROM read_csv('/etc/passwd')").hint(), HasSubstr("sql.files"));
}

/// Table functions of DuckDB's that any session may call. One that is neither here nor among the
/// refused ones is new: look at what it does before it goes into a list.
const std::set<std::string> kAllowedFunctions = {
    "duckdb_approx_database_count",
    "duckdb_columns",
    "duckdb_connection_count",
    "duckdb_constraints",
    "duckdb_coordinate_systems",
    "duckdb_databases",
    "duckdb_dependencies",
    "duckdb_extensions",
    "duckdb_external_file_cache",
    "duckdb_functions",
    "duckdb_indexes",
    "duckdb_keywords",
    "duckdb_log_contexts",
    "duckdb_logs",
    "duckdb_memory",
    "duckdb_optimizers",
    "duckdb_prepared_statements",
    "duckdb_schemas",
    "duckdb_secret_types",
    "duckdb_secrets",
    "duckdb_sequences",
    "duckdb_settings",
    "duckdb_table_sample",
    "duckdb_tables",
    "duckdb_temporary_files",
    "duckdb_types",
    "duckdb_variables",
    "duckdb_views",
    "generate_series",
    "glob",
    "icu_calendar_names",
    "json_each",
    "json_execute_serialized_sql",
    "json_tree",
    "nexmark",
    "parquet_bloom_probe",
    "parquet_file_metadata",
    "parquet_full_metadata",
    "parquet_kv_metadata",
    "parquet_metadata",
    "parquet_scan",
    "parquet_schema",
    "pg_timezone_names",
    "pragma_collations",
    "pragma_database_size",
    "pragma_metadata_info",
    "pragma_platform",
    "pragma_show",
    "pragma_storage_info",
    "pragma_table_info",
    "pragma_user_agent",
    "pragma_version",
    "query",
    "query_table",
    "range",
    "read_blob",
    "read_csv",
    "read_csv_auto",
    "read_json",
    "read_json_auto",
    "read_json_objects",
    "read_json_objects_auto",
    "read_ndjson",
    "read_ndjson_auto",
    "read_ndjson_objects",
    "read_parquet",
    "read_text",
    "repeat",
    "repeat_row",
    "sniff_csv",
    "sql_auto_complete",
    "summary",
    "test_all_types",
    "test_vector_types",
    "unnest",
    "which_secret",
    "ziwa_scan",  // Refuses by itself.
};

TEST_F(PermittedTest, NoFunctionOfATableChangesTheInstance) {
  const auto span = duck::refused_table_functions();
  const std::set<std::string> refused(span.begin(), span.end());
  std::set<std::string> unknown;
  for (const auto& row : rows(
           "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type = 'table'")) {
    if (!kAllowedFunctions.contains(row[0]) && !refused.contains(row[0])) unknown.insert(row[0]);
  }
  EXPECT_EQ(unknown, std::set<std::string>());
  for (const char* statement :
       {"SELECT * FROM enable_logging()",
        "SELECT * FROM enable_logging('QueryLog', storage_path := '/nope/log')",
        "FROM disable_logging()", "FROM truncate_duckdb_logs()", "FROM enable_profiling()",
        "FROM disable_profiling()", "FROM checkpoint()", "FROM force_checkpoint()",
        "FROM query('FROM enable_logging()')", "SELECT (SELECT count(*) FROM checkpoint())",
        "FROM read_duckdb('x.db')", "CREATE TEMP VIEW logging AS SELECT * FROM enable_logging()"}) {
    SCOPED_TRACE(statement);
    auto refused_now = error(statement);
    EXPECT_EQ(refused_now.code(), Code::permission) << refused_now.to_string();
  }
  ASSERT_TRUE(open());
  EXPECT_EQ(rows("SELECT 1"), (TextRows{{"1"}}));
}

TEST_F(PermittedTest, ATemporaryTableThatComesLaterIsNotPassedBy) {
  rows("CREATE TOPIC e (a INT)");
  rows("INSERT INTO e VALUES (1), (2)");
  rows("CREATE TABLE lake (a INT)");
  auto records = session_->prepare("DELETE FROM e WHERE _offset < 1");
  auto table = session_->prepare("DROP TABLE lake");
  ASSERT_TRUE(records && table);
  rows("CREATE TEMP TABLE e AS SELECT 0 AS _offset");
  rows("CREATE TEMP TABLE lake (a INT)");
  for (auto* prepared : {&*records, &*table}) {
    auto refused = session_->execute(**prepared, {});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), Code::unsupported);
  }
  EXPECT_EQ(rows("SELECT count(*) FROM public.e"), (TextRows{{"2"}}));
  EXPECT_EQ(rows("SELECT count(*) FROM public.lake"), (TextRows{{"0"}}));
}

class AttachTest : public PermittedTest {
 protected:
  AttachTest() {
    duckdb::DuckDB file(path_);
    EXPECT_FALSE(duckdb::Connection(file).Query("CREATE TABLE t AS SELECT 5 AS a")->HasError());
  }
  std::string attach(std::string_view name) const {
    return fmt::format("ATTACH '{}' AS {} (READ_ONLY)", path_, name);
  }
  const std::string path_ = rig_.files() + "/Public.db";
};

TEST_F(AttachTest, AFileTakesNoSchemasName) {
  rows("CREATE TOPIC here (a INT)");
  rows("CREATE TOPIC mine.t (a INT)");
  const auto before = databases();
  for (const char* name : {"public", "\"PUBLIC\"", "ziwa", "pg_catalog", "information_schema",
                           "main", "temp", "db", "system", "memory"}) {
    EXPECT_EQ(error(attach(name)).code(), Code::permission) << name;
  }
  EXPECT_EQ(error(fmt::format("ATTACH '{}' (READ_ONLY)", path_)).code(), Code::permission)
      << "the file's own name is Public";
  for (const char* name : {"mine", "MINE"}) {
    Error refused = error(attach(name));
    EXPECT_EQ(refused.code(), Code::already_exists);
    EXPECT_THAT(refused.message(), HasSubstr("schema"));
    EXPECT_THAT(refused.hint(), HasSubstr("ATTACH"));
  }
  EXPECT_EQ(databases(), before);
  rows("SELECT * FROM public.here");
  rows("DROP TOPIC mine.t");
  rows(attach("mine"));
  EXPECT_EQ(rows("SELECT a FROM mine.t"), (TextRows{{"5"}}))
      << "a schema goes with its last object";
}

TEST_F(AttachTest, ASchemaTakesNoFilesName) {
  rows(attach("old"));
  for (const char* create :
       {"CREATE TOPIC old.q (a INT)", "CREATE TABLE \"OLD\".q (a INT)",
        "CREATE TABLE old.q AS SELECT 1 AS a", "CREATE TOPIC IF NOT EXISTS old.q (a INT)"}) {
    Error refused = error(create);
    EXPECT_EQ(refused.code(), Code::already_exists) << create;
    EXPECT_TRUE(refused.position()) << create;
    EXPECT_THAT(refused.hint(), HasSubstr("DETACH")) << create;
  }
  EXPECT_EQ(rows("SELECT a FROM old.t"), (TextRows{{"5"}}));
  rows("DETACH old");
  rows("CREATE TOPIC old.q (a INT)");
  EXPECT_EQ(rows("SELECT count(*) FROM old.q"), (TextRows{{"0"}}));
}

TEST_F(AttachTest, ANameIsLookedAtWhenTheStatementRuns) {
  auto prepared = session_->prepare(attach("later"));
  ASSERT_TRUE(prepared) << prepared.error().to_string();
  auto other = open();
  ASSERT_TRUE(testing::all_rows(*other, "CREATE TOPIC later.t (a INT)"));
  auto refused = session_->execute(**prepared, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::already_exists);
  rows("BEGIN");
  rows(attach("held"));
  EXPECT_FALSE(testing::all_rows(*other, "CREATE TOPIC held.t (a INT)"))
      << "others find it before the COMMIT";
  rows("ROLLBACK");
  EXPECT_TRUE(testing::all_rows(*other, "CREATE TOPIC held.t (a INT)"));
}

TEST_F(AttachTest, OfTwoThatGiveANameAtOnceOneIsRefused) {
  auto other = open();
  for (int i = 0; i < 30; ++i) {
    const std::string create = fmt::format("CREATE TOPIC n{}.t (a INT)", i);
    bool made = false;
    std::thread maker([&] { made = testing::all_rows(*other, create).has_value(); });
    const bool attached = testing::all_rows(*session_, attach(fmt::format("n{}", i))).has_value();
    maker.join();
    EXPECT_FALSE(made && attached) << i;
    if (made || attached) rows(fmt::format("SELECT * FROM n{}.t", i));
    if (attached) rows(fmt::format("DETACH n{}", i));
  }
}

TEST(SchemaNamesTest, AClaimKeepsTheOtherKindOut) {
  using Use = SchemaNames::Use;
  SchemaNames names;
  auto first = names.claim("X", Use::schema);
  auto second = names.claim("x", Use::schema);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(names.claim("x", Use::file).error().code(), Code::already_exists);
  first->reset();
  EXPECT_FALSE(names.claim("x", Use::file));
  second->reset();
  EXPECT_TRUE(names.claim("x", Use::file));
  EXPECT_TRUE(names.claim("x", Use::schema)) << "that claim ended with its statement";
}

}  // namespace
}  // namespace ziwa::sql
