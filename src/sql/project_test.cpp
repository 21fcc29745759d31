#include "sql/testing/project_rig.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

namespace ziwa::sql {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::TextRows;
using Lines = std::vector<std::string>;

class ProjectTest : public ::testing::Test {
 protected:
  Lines apply(bool allow_drop = false) {
    auto done = project_.apply(allow_drop);
    EXPECT_TRUE(done) << (done ? "" : done.error().to_string());
    if (!done) return {};
    auto again = project_.diff();
    EXPECT_TRUE(again) << (again ? "" : again.error().to_string());
    if (again) EXPECT_THAT(*again, IsEmpty()) << "nothing is left to do";
    return *done;
  }
  Error refused(bool allow_drop = false) {
    auto before = testing::describe_objects(*project_.rig().catalog().snapshot());
    auto files = lake_directories();
    auto done = project_.apply(allow_drop);
    EXPECT_EQ(testing::describe_objects(*project_.rig().catalog().snapshot()), before);
    EXPECT_EQ(lake_directories(), files) << "nothing stays of a table that was not made";
    if (!done) {
      EXPECT_THAT(done.error().message(), Not(HasSubstr("exception_type")));
      return done.error();
    }
    ADD_FAILURE() << "it was applied";
    return Error(Code::internal, "applied");
  }
  Lines diff() {
    auto lines = project_.diff();
    EXPECT_TRUE(lines) << (lines ? "" : lines.error().to_string());
    return lines.value_or(Lines{});
  }
  size_t lake_directories() {
    std::error_code missing;
    std::filesystem::directory_iterator at(project_.rig().directory() + "/lake", missing);
    return static_cast<size_t>(std::distance(begin(at), end(at)));
  }
  TextRows rows(std::string_view sql) { return project_.rows(sql); }

  testing::ProjectRig project_;
};

TEST_F(ProjectTest, WhatAnObjectDependsOnMayStandInALaterFile) {
  project_.write("a.sql",
                 "CREATE MATERIALIZED VIEW v3 AS SELECT k, count(*) AS n FROM v2 GROUP BY k;");
  project_.write("b.sql",
                 "CREATE SINK hist INTO Kept FROM EV3; "
                 "CREATE MATERIALIZED VIEW v2 AS SELECT * FROM Db.Public.Ev3 WHERE id > 0;");
  project_.write("c.sql", "CREATE TABLE kept (id BIGINT, k VARCHAR);");
  project_.write("d/e.sql", "CREATE TOPIC ev3 (id BIGINT, k VARCHAR);");
  EXPECT_EQ(diff(),
            (Lines{"create topic public.ev3", "create view public.v2", "create view public.v3",
                   "create table public.kept", "create sink public.hist"}));
  apply();
  EXPECT_EQ(project_.objects().size(), 5u);
}

// Review finding 15.
TEST_F(ProjectTest, WhatDependsOnARecreatedObjectIsRecreatedOnce) {
  project_.write("a.sql",
                 "CREATE MATERIALIZED VIEW v3 AS SELECT k, count(*) AS n FROM ev3 GROUP BY k;"
                 "CREATE SINK hist INTO kept FROM ev3; CREATE TABLE kept (id BIGINT, k VARCHAR);"
                 "CREATE MATERIALIZED VIEW v4 AS SELECT n, count(*) AS m FROM v3 GROUP BY n;");
  project_.write("b.sql", "CREATE TOPIC ev3 (id BIGINT, k VARCHAR);");
  apply();
  auto objects = project_.objects();
  project_.write("b.sql", "CREATE TOPIC ev3 (id BIGINT, k VARCHAR) WITH (partitions = 2);");
  Lines expected{"recreate topic public.ev3 !", "recreate view public.v3 !",
                 "recreate sink public.hist", "recreate view public.v4 !"};
  EXPECT_EQ(diff(), expected);
  EXPECT_THAT(refused().message(),
              HasSubstr("recreate view \"public.v3\" (topic \"public.ev3\" is recreated)"));
  EXPECT_EQ(apply(true), expected);
  EXPECT_EQ(project_.objects(), objects);
  // Both change.
  project_.write("a.sql",
                 "CREATE MATERIALIZED VIEW v3 AS SELECT k, count(*) AS n2 FROM ev3 GROUP BY k;"
                 "CREATE SINK hist INTO kept FROM ev3; CREATE TABLE kept (id BIGINT, k VARCHAR);"
                 "CREATE MATERIALIZED VIEW v4 AS SELECT n2, count(*) AS m FROM v3 GROUP BY n2;");
  project_.write("b.sql", "CREATE TOPIC ev3 (id BIGINT, k VARCHAR) WITH (partitions = 3);");
  EXPECT_EQ(apply(true), expected);
  EXPECT_EQ(project_.objects(), objects);
}

// Review finding 16.
TEST_F(ProjectTest, AViewMayUseAColumnThatALaterFileAdds) {
  project_.write("a.sql",
                 "CREATE MATERIALIZED VIEW v AS SELECT k, count(*) AS n FROM ev GROUP BY k;");
  project_.write("b.sql", "CREATE TOPIC ev (id BIGINT, k VARCHAR);");
  apply();
  project_.write("a.sql",
                 "CREATE SINK s INTO t FROM ev;"
                 "CREATE MATERIALIZED VIEW v AS SELECT k, sum(z) AS n FROM ev GROUP BY k;");
  project_.write("b.sql",
                 "CREATE TABLE t (id BIGINT, k VARCHAR, z INT);"
                 "CREATE TOPIC ev (id BIGINT, k VARCHAR, z INT);");
  EXPECT_EQ(apply(true), (Lines{"recreate topic public.ev !", "create table public.t",
                                "create sink public.s", "recreate view public.v !"}));
}

TEST_F(ProjectTest, ACircleIsNamed) {
  project_.write("a.sql", "CREATE MATERIALIZED VIEW a AS SELECT * FROM b;");
  project_.write("b.sql",
                 "CREATE MATERIALIZED VIEW b AS SELECT * FROM C;"
                 "CREATE MATERIALIZED VIEW c AS SELECT * FROM (SELECT * FROM a);");
  Error error = refused();
  EXPECT_EQ(error.code(), Code::invalid_argument);
  EXPECT_THAT(error.message(),
              HasSubstr("a.sql:1: the declarations form a circle: \"a\" reads \"b\" "
                        "reads \"c\" reads \"a\""));
  project_.write("a.sql", "CREATE MATERIALIZED VIEW a AS SELECT * FROM a;");
  project_.write("b.sql", "");
  EXPECT_THAT(refused().message(), HasSubstr("\"a\" reads \"a\""));
}

TEST_F(ProjectTest, ALongChainInReverse) {
  std::string sql;
  for (int i = 60; i > 0; --i)
    sql += fmt::format("CREATE MATERIALIZED VIEW v{} AS SELECT * FROM v{} WHERE k > {};\n", i,
                       i - 1, i);
  project_.write("a.sql", sql);
  project_.write("b.sql", "CREATE TOPIC v0 (k BIGINT);");
  EXPECT_EQ(apply().size(), 61u);
}

// Review finding 21.
TEST_F(ProjectTest, NamesAreThoseOfASchemaWithoutRegardToCase) {
  project_.write("a.sql",
                 "CREATE TOPIC s1.same (a BIGINT); CREATE TOPIC S2.same (a BIGINT);"
                 "CREATE MATERIALIZED VIEW s1.v AS SELECT * FROM s2.same;");
  apply();
  project_.write("a.sql",
                 "CREATE TOPIC s1.same (a INT); CREATE TOPIC s3.Same (a INT);"
                 "CREATE TOPIC s2.same (a BIGINT);"
                 "CREATE MATERIALIZED VIEW s1.v AS SELECT * FROM s2.same;");
  EXPECT_EQ(apply(true),
            (Lines{"recreate topic s1.same !", "create topic s3.Same", "alter topic s2.same"}));
  project_.write("b.sql", "CREATE TOPIC \"S1\".\"SAME\" (a INT);");
  EXPECT_THAT(refused().message(),
              HasSubstr("b.sql:1: \"SAME\" is declared twice, first at a.sql:1"));
}

TEST_F(ProjectTest, AnotherSpellingIsNoOtherObject) {
  project_.write(
      "a.sql",
      "CREATE TOPIC flights (a BIGINT); CREATE MATERIALIZED VIEW v AS SELECT a FROM flights;");
  apply();
  auto id = project_.rig().catalog().snapshot()->find("public", "flights")->id;
  project_.write(
      "a.sql",
      "CREATE TOPIC Flights (a bigint); CREATE MATERIALIZED VIEW v AS select a FROM flights;");
  auto changes = project_.query("CALL ziwa.diff('" + project_.folder() + "')");
  ASSERT_TRUE(changes);
  ASSERT_EQ(changes->size(), 2u);
  EXPECT_EQ((*changes)[0][4], "renamed from \"public.flights\"");
  EXPECT_EQ((*changes)[1][4], "written differently");
  EXPECT_EQ(apply(), (Lines{"alter topic public.Flights", "alter view public.v"}));
  auto renamed = project_.rig().catalog().snapshot()->find("public", "flights");
  EXPECT_EQ(renamed->name, "Flights");
  EXPECT_EQ(renamed->id, id);
  project_.write("a.sql",
                 "-- a comment\nCREATE TOPIC   Flights (a bigint) ;\n\nCREATE MATERIALIZED VIEW v "
                 "AS\n select a FROM flights;");
  EXPECT_THAT(apply(), IsEmpty());
}

TEST_F(ProjectTest, OptionsChangeInPlace) {
  project_.write(
      "a.sql",
      "CREATE TOPIC t (a BIGINT); CREATE TABLE h (a BIGINT); CREATE SINK s INTO h FROM t;"
      "CREATE MATERIALIZED VIEW v AS SELECT a FROM t;");
  apply();
  project_.write("a.sql",
                 "CREATE TOPIC t (a BIGINT) WITH (retention = '1 day'); CREATE TABLE h (a BIGINT);"
                 "CREATE SINK s INTO h FROM t WITH (commit_interval = '1 second');"
                 "CREATE MATERIALIZED VIEW v AS SELECT a FROM t;");
  auto sink = project_.rig().catalog().snapshot()->find("public", "s")->id;
  EXPECT_EQ(apply(), (Lines{"alter topic public.t", "alter sink public.s"}));
  EXPECT_EQ(project_.rig().catalog().snapshot()->find("public", "s")->id, sink)
      << "a new sink would write everything a second time";
}

TEST_F(ProjectTest, OthersObjectsAreSafe) {
  project_.write("a.sql", "CREATE TOPIC t (a BIGINT); CREATE TOPIC u (a BIGINT);");
  apply();
  ASSERT_TRUE(project_.query("CREATE MATERIALIZED VIEW mine AS SELECT a FROM t"));
  ASSERT_TRUE(project_.query("CREATE TOPIC free (a INT)"));
  project_.write("a.sql", "CREATE TOPIC t (a INT); CREATE TOPIC w (a INT);");
  Error error = refused(true);
  EXPECT_EQ(error.code(), Code::conflict);
  EXPECT_THAT(error.message(),
              HasSubstr("a.sql:1: topic \"public.t\" has to go (its declaration changed), "
                        "but view \"public.mine\""));
  project_.write("a.sql", "CREATE TOPIC u (a BIGINT);");
  EXPECT_THAT(refused(true).message(), HasSubstr("view \"public.mine\""));
  project_.write(
      "a.sql", "CREATE TOPIC t (a BIGINT); CREATE TOPIC u (a BIGINT); CREATE TOPIC FREE (a INT);");
  EXPECT_THAT(refused(true).message(), HasSubstr("belongs to no project"));
}

TEST_F(ProjectTest, WhatIsNotDeclaredAnyMoreIsDroppedWithWhatDependsOnIt) {
  project_.write("a.sql",
                 "CREATE TOPIC t (a BIGINT); CREATE TOPIC u (a BIGINT);"
                 "CREATE MATERIALIZED VIEW v AS SELECT a FROM t;"
                 "CREATE MATERIALIZED VIEW w AS SELECT a FROM v;");
  apply();
  project_.write("a.sql",
                 "CREATE TOPIC u (a BIGINT); CREATE MATERIALIZED VIEW w AS SELECT a FROM u;");
  EXPECT_EQ(refused().code(), Code::conflict);
  EXPECT_EQ(apply(true),
            (Lines{"drop view public.v !", "drop topic public.t !", "recreate view public.w !"}));
  project_.write("a.sql", "CREATE MATERIALIZED VIEW w AS SELECT a FROM u;");
  EXPECT_THAT(refused(true).message(), HasSubstr("a.sql:1"));
}

TEST_F(ProjectTest, AKindMayChange) {
  project_.write("a.sql",
                 "CREATE TOPIC x (a BIGINT); CREATE MATERIALIZED VIEW v AS SELECT a FROM x;");
  apply();
  project_.write("a.sql",
                 "CREATE TABLE x (a BIGINT); CREATE MATERIALIZED VIEW v AS SELECT a FROM x;");
  EXPECT_EQ(apply(true), (Lines{"recreate table public.x !", "recreate view public.v !"}));
  EXPECT_EQ(project_.objects(), (Lines{"view public.v", "table public.x"}));
}

// Review finding 17.
TEST_F(ProjectTest, StatementsReadFilesOfTheProjectOnly) {
  project_.write("data/d.csv", "a,b\n1,x\n2,y\n");
  project_.write("data/e.csv", "a,b\n3,z\n");
  project_.write("a.sql",
                 "CREATE TABLE d (a INT, b VARCHAR) WITH (file = 'data/d.csv');"
                 "CREATE TABLE e AS SELECT a FROM 'data/e.csv' JOIN read_csv(['data/d.csv', "
                 "'data/e.csv']) x USING (a);"
                 "CREATE TABLE f AS SELECT count(*) AS n FROM read_csv('data/*.csv');");
  apply();
  EXPECT_EQ(rows("SELECT * FROM d ORDER BY a"), (TextRows{{"1", "x"}, {"2", "y"}}));
  EXPECT_EQ(rows("SELECT a FROM e"), (TextRows{{"3"}}));
  EXPECT_EQ(rows("SELECT n FROM f"), (TextRows{{"3"}}));
  auto outside = project_.query("SELECT * FROM read_csv('" + project_.folder() + "/data/d.csv')");
  ASSERT_FALSE(outside) << "a session may not";
  EXPECT_EQ(outside.error().code(), Code::permission);

  std::string secret = project_.rig().directory() + "/secret.csv";
  ASSERT_TRUE(
      write_file_atomically(posix_file_system(), secret, as_bytes(std::string_view("a\n1\n"))));
  std::filesystem::create_symlink(secret, project_.folder() + "/link.csv");
  for (const std::string& path :
       {secret, std::string("../secret.csv"), std::string("data/../../secret.csv"),
        std::string("link.csv"), std::string("../*.csv")}) {
    project_.write("b.sql", "CREATE TABLE s AS SELECT * FROM read_csv('" + path + "');");
    Error error = refused();
    EXPECT_EQ(error.code(), Code::permission) << path << ": " << error.to_string();
    EXPECT_THAT(error.message(), HasSubstr("b.sql:1: ")) << path;
    EXPECT_THAT(error.message(), HasSubstr("outside of the project")) << path;
    EXPECT_THAT(error.hint(), HasSubstr("sql.files")) << path;
    project_.write("b.sql", "CREATE TABLE s (a INT) WITH (file = '" + path + "');");
    EXPECT_EQ(refused().code(), Code::permission) << path;
  }
  std::string allowed = project_.rig().files() + "/ok.csv";
  ASSERT_TRUE(
      write_file_atomically(posix_file_system(), allowed, as_bytes(std::string_view("a\n7\n"))));
  project_.write("b.sql", "CREATE TABLE s (a INT) WITH (file = '" + allowed + "');");
  apply();
  EXPECT_EQ(rows("SELECT * FROM s"), (TextRows{{"7"}}));
}

TEST_F(ProjectTest, AFileThatNestsDeeplyIsRefused) {
  const std::string deep = std::string(200'000, '[') + std::string(200'000, ']');
  project_.write("j.json", deep);
  for (const std::string& statement :
       {std::string("CREATE TABLE j (json JSON) WITH (file = 'j.json');"),
        std::string("CREATE TABLE j WITH (file = 'j.json') AS FROM 'j.json';"),
        std::string("CREATE TABLE j AS SELECT * FROM read_json('*.json');")}) {
    project_.write("a.sql", statement);
    EXPECT_THAT(refused().to_string(), HasSubstr("nests deeper than 1000 levels")) << statement;
  }
  const std::string file = project_.rig().files() + "/j.json";
  ASSERT_TRUE(write_file_atomically(posix_file_system(), file, as_bytes(std::string_view(deep))));
  for (const std::string& statement :
       {"CREATE TABLE j AS FROM '" + file + "'", "SELECT count(*) FROM '" + file + "'"}) {
    auto refused = project_.query(statement);
    ASSERT_FALSE(refused) << statement;
    EXPECT_EQ(refused.error().code(), Code::invalid_argument) << refused.error().to_string();
    EXPECT_THAT(refused.error().message(), HasSubstr("nests deeper than 1000 levels"));
  }
  ASSERT_TRUE(project_.query("CREATE TABLE k (json JSON)"));
  auto copied = project_.query("COPY k FROM '" + file + "' (FORMAT json)");
  EXPECT_TRUE(copied || copied.error().code() == Code::invalid_argument);
}

// Review finding 18.
TEST_F(ProjectTest, AFilesValuesAreCastByName) {
  project_.write("d.csv", "b,a,c\n007,1,2001-02-03 04:05:06\n,2,\n");
  project_.write("a.sql", "CREATE TABLE d (a INT, b VARCHAR, c TIMESTAMP) WITH (file = 'd.csv');");
  apply();
  EXPECT_EQ(rows("SELECT * FROM d ORDER BY a"),
            (TextRows{{"1", "007", "2001-02-03 04:05:06"}, {"2", "NULL", "NULL"}}));
  ASSERT_TRUE(project_.query("COPY (SELECT 300 AS n, 'x' AS s) TO '" + project_.rig().files() +
                             "/p.parquet'"));
  std::filesystem::copy(project_.rig().files() + "/p.parquet", project_.folder() + "/p.parquet");
  project_.write("j.jsonl", "{\"n\": 1, \"s\": \"one\"}\n{\"n\": 2, \"s\": \"two\"}\n");
  project_.write("b.sql",
                 "CREATE TABLE p (s VARCHAR, n DOUBLE) WITH (file = 'p.parquet');"
                 "CREATE TABLE j (n TINYINT, s VARCHAR) WITH (file = 'j.jsonl');");
  apply();
  EXPECT_EQ(rows("SELECT * FROM p"), (TextRows{{"x", "300.0"}}));
  EXPECT_EQ(rows("SELECT * FROM j ORDER BY n"), (TextRows{{"1", "one"}, {"2", "two"}}));
}

TEST_F(ProjectTest, AValueThatDoesNotFitIsNamed) {
  project_.write("d.csv", "a,b\n1,x\n2,y\noops,z\n");
  project_.write(
      "a.sql",
      "CREATE TOPIC before (a INT);\nCREATE TABLE d (a INT, b VARCHAR) WITH (file = 'd.csv');");
  Error error = refused();
  EXPECT_EQ(error.code(), Code::invalid_argument);
  EXPECT_THAT(error.message(), HasSubstr("a.sql:2: d.csv, line 4: "));
  EXPECT_THAT(error.message(), HasSubstr("\"a\""));
  EXPECT_THAT(error.message(), HasSubstr("oops"));
  EXPECT_THAT(error.message(), HasSubstr("INTEGER"));
  EXPECT_THAT(error.message(), Not(HasSubstr("\n")));

  project_.write("d.csv", "a,c\n1,x\n");
  EXPECT_THAT(refused().message(),
              HasSubstr("d.csv has a column \"c\" that table \"d\" does not have"));
  project_.write("d.csv", "a\n1\n");
  EXPECT_THAT(refused().message(), HasSubstr("d.csv has no column \"b\""));
  project_.remove("d.csv");
  error = refused();
  EXPECT_EQ(error.code(), Code::not_found);
  EXPECT_THAT(error.message(), HasSubstr("d.csv"));

  ASSERT_TRUE(project_.query("COPY (SELECT CAST(r AS INTEGER) AS n FROM range(5000) t(r)) TO '" +
                             project_.rig().files() + "/p.parquet'"));
  std::filesystem::copy(project_.rig().files() + "/p.parquet", project_.folder() + "/p.parquet");
  project_.write("a.sql", "CREATE TABLE p (n SMALLINT NOT NULL) WITH (file = 'p.parquet');");
  EXPECT_EQ(apply().size(), 1u);
  project_.write("a.sql", "CREATE TABLE p (n TINYINT) WITH (file = 'p.parquet');");
  EXPECT_THAT(refused(true).message(),
              HasSubstr("p.parquet: row 129, column \"n\" (INTEGER to TINYINT)"));
  project_.write("a.sql", "CREATE TABLE q (a INT NOT NULL) WITH (file = 'q.csv');");
  project_.write("q.csv", "a\n1\n\"\"\n");
  EXPECT_FALSE(project_.apply(true)) << "NULL or an empty text: neither fits";
}

// Review finding 18b.
TEST_F(ProjectTest, AFileWhoseColumnsChangeMakesTheTableAgain) {
  project_.write("d.csv", "a,b\n1,x\n");
  project_.write("a.sql",
                 "CREATE TABLE d3 WITH (file = 'd.csv') AS SELECT * FROM read_csv('d.csv');");
  apply();
  project_.write("d.csv", "a,b,c\n1,x,2.5\n");
  EXPECT_EQ(apply(), (Lines{"recreate table public.d3"})) << "all it held came from the file";
  EXPECT_EQ(rows("SELECT * FROM d3"), (TextRows{{"1", "x", "2.5"}}));
  project_.write("d.csv", "a,b,c\n1.5,x,2.5\n");
  EXPECT_EQ(apply(), (Lines{"recreate table public.d3"}));
  ASSERT_TRUE(project_.query("INSERT INTO d3 VALUES (7, 'mine', 7)"));
  project_.write("d.csv", "a\n1\n");
  EXPECT_EQ(refused().code(), Code::conflict);
  EXPECT_EQ(apply(true), (Lines{"recreate table public.d3 !"}));
  EXPECT_EQ(rows("SELECT * FROM d3"), (TextRows{{"1"}}));
}

// Review findings 19 and 20.
TEST_F(ProjectTest, AFileIsLoadedOncePerContent) {
  project_.write("d.csv", "a,b\n1,x\n2,y\n");
  project_.write("a.sql",
                 "CREATE TABLE d (a INT, b VARCHAR) WITH (file = 'd.csv');"
                 "CREATE MATERIALIZED VIEW v AS SELECT a FROM d;");
  apply();
  auto id = project_.rig().catalog().snapshot()->find("public", "d")->id;
  project_.write("d.csv", "a,b\n2,y\n3,z\n");
  EXPECT_EQ(diff(), (Lines{"load table public.d"}));
  EXPECT_EQ(apply(), (Lines{"load table public.d"}));
  EXPECT_EQ(rows("SELECT a FROM d ORDER BY a"), (TextRows{{"2"}, {"3"}}));
  EXPECT_EQ(project_.rig().catalog().snapshot()->find("public", "d")->id, id);
  project_.write("d.csv", "a,b\n");
  apply();
  EXPECT_THAT(rows("SELECT a FROM d"), IsEmpty());
  project_.write("d.csv", "a,b\n5,v\n");
  apply();
  EXPECT_EQ(rows("SELECT a FROM d"), (TextRows{{"5"}}));
}

TEST_F(ProjectTest, AFileThatCannotBeLoadedAgainChangesNothing) {
  project_.write("d.csv", "a,b\n1,x\n");
  project_.write("a.sql", "CREATE TABLE d (a INT, b VARCHAR) WITH (file = 'd.csv');");
  apply();
  project_.write("d.csv", "a,b\n1,x\nbroken,y\n");
  project_.write("a.sql",
                 "CREATE TOPIC extra3 (a INT); CREATE TABLE new3 AS SELECT 1 AS one;\n"
                 "CREATE TABLE d (a INT, b VARCHAR) WITH (file = 'd.csv');");
  EXPECT_THAT(refused(true).message(), HasSubstr("a.sql:2: d.csv, line 3"));
  EXPECT_EQ(rows("SELECT * FROM d"), (TextRows{{"1", "x"}}));
  project_.write("d.csv", "a,b\n2,x\n");
  EXPECT_EQ(apply().size(), 3u);
  EXPECT_EQ(rows("SELECT * FROM d"), (TextRows{{"2", "x"}}));
}

TEST_F(ProjectTest, RowsThatAreNotOfTheFileAreNotLostUnasked) {
  project_.write("d.csv", "a\n1\n");
  project_.write("a.sql", "CREATE TABLE d (a INT) WITH (file = 'd.csv');");
  apply();
  ASSERT_TRUE(project_.query("INSERT INTO d VALUES (77)"));
  EXPECT_THAT(diff(), IsEmpty());
  project_.write("d.csv", "a\n2\n");
  EXPECT_EQ(diff(), (Lines{"load table public.d !"}));
  EXPECT_THAT(refused().message(), HasSubstr("rows that are not of its file"));
  EXPECT_EQ(rows("SELECT a FROM d ORDER BY a"), (TextRows{{"1"}, {"77"}}));
  EXPECT_EQ(apply(true), (Lines{"load table public.d !"}));
  EXPECT_EQ(rows("SELECT a FROM d"), (TextRows{{"2"}}));
  project_.write("d.csv", "a\n3\n");
  EXPECT_EQ(apply(), (Lines{"load table public.d"})) << "they are gone";
}

TEST_F(ProjectTest, AQueryOverAFileMayChange) {
  project_.write("d.csv", "a\n1\n2\n");
  project_.write("a.sql",
                 "CREATE TABLE d WITH (file = 'd.csv') AS SELECT * FROM 'd.csv' WHERE a > 1;");
  apply();
  project_.write("a.sql",
                 "CREATE TABLE d WITH (file = 'd.csv') AS SELECT * FROM 'd.csv' WHERE a < 2;");
  EXPECT_EQ(apply(), (Lines{"load table public.d"}));
  EXPECT_EQ(rows("SELECT * FROM d"), (TextRows{{"1"}}));
}

TEST_F(ProjectTest, ATableMayBeMadeFromWhatTheSameApplyMakes) {
  project_.write("d.csv", "a\n1\n2\n");
  project_.write("a.sql",
                 "CREATE TABLE c AS SELECT sum(a) AS s FROM b; CREATE TABLE b AS SELECT a FROM d;"
                 "CREATE TABLE n AS SELECT count(*) AS n FROM t;");
  project_.write("b.sql", "CREATE TABLE d (a INT) WITH (file = 'd.csv'); CREATE TOPIC t (a INT);");
  apply();
  EXPECT_EQ(rows("SELECT s FROM c"), (TextRows{{"3"}}));
  EXPECT_EQ(rows("SELECT n FROM n"), (TextRows{{"0"}}));
  project_.write("d.csv", "a\n10\n");
  project_.write("c.sql", "CREATE TABLE later AS SELECT a FROM d;");
  EXPECT_EQ(apply(), (Lines{"load table public.d", "create table public.later"}));
  EXPECT_EQ(rows("SELECT a FROM later"), (TextRows{{"10"}})) << "what the same apply loads";
  EXPECT_EQ(rows("SELECT s FROM c"), (TextRows{{"3"}})) << "made once";
  project_.write(
      "c.sql",
      "CREATE TABLE later AS SELECT a FROM d; CREATE MATERIALIZED VIEW v AS SELECT a FROM d;"
      "CREATE TABLE of_view AS SELECT * FROM v;");
  EXPECT_EQ(refused().code(), Code::unsupported);
}

/// Table "d" of a project as a crash between the catalog's commit and the Delta commit leaves it.
class PromisedLoadTest : public ProjectTest {
 protected:
  /// Applied, with one row: 1.
  void SetUp() override {
    project_.write("d.csv", "a\n1\n");
    project_.write("a.sql", "CREATE TABLE d (a INT) WITH (file = 'd.csv');");
    apply();
  }
  catalog::Catalog& catalog() { return project_.rig().catalog(); }
  catalog::ObjectPtr object() { return catalog().snapshot()->find("public", "d"); }
  /// As another engine sees it.
  std::shared_ptr<lake::Table> open() {
    auto opened = lake::Table::open(
        lake::make_local_store(
            posix_file_system(),
            catalog::table_directory(*object(), project_.rig().directory() + "/lake")),
        *project_.rig().duck(), project_.rig().clock());
    EXPECT_TRUE(opened);
    return *opened;
  }
  std::vector<lake::DataFile> write(const std::vector<int>& values) {
    auto writer = open()->writer(1 << 20);
    EXPECT_TRUE(writer);
    duckdb::DataChunk chunk;
    chunk.Initialize(duckdb::Allocator::DefaultAllocator(), {duckdb::LogicalType::INTEGER});
    for (size_t i = 0; i < values.size(); ++i)
      chunk.SetValue(0, i, duckdb::Value::INTEGER(values[i]));
    chunk.SetCardinality(values.size());
    EXPECT_TRUE((*writer)->write(chunk));
    return (*writer)->finish().value();
  }
  /// A load of `value` in place of what the table holds now.
  catalog::PendingLoad pending(int value) {
    return {.replaces = open()->snapshot()->version(),
            .files = {lake::data_file_to_json(write({value}).front())}};
  }
  void promise(const catalog::PendingLoad& pending) {
    ASSERT_TRUE(catalog().commit([&](catalog::Transaction& transaction) -> Status {
      catalog::Object promised = *transaction.snapshot()->find("public", "d");
      auto& definition = std::get<catalog::TableDefinition>(promised.definition);
      definition.loads = 1;
      definition.pending_load = pending;
      TRY(transaction.replace(promised));
      return {};
    }));
  }
  /// What OPTIMIZE (or, with `data_change`, UPDATE) of another engine does to all files.
  void rewrite(const std::vector<int>& values, bool data_change) {
    auto other = open();
    lake::Commit commit{.operation = "OPTIMIZE", .add = write(values), .data_change = data_change};
    for (const auto& file : other->snapshot()->files()) commit.remove.push_back(*file);
    ASSERT_TRUE(other->commit(commit));
  }
  void restart() {
    project_.forget_session();
    project_.rig().reopen_database();
  }
};

TEST_F(PromisedLoadTest, IsCarriedOutAtTheNextStartOnce) {
  ASSERT_TRUE(project_.query("INSERT INTO d VALUES (50)"));
  auto load = pending(99);
  promise(load);
  // Committed after the plan looked: it stays.
  ASSERT_TRUE(project_.query("INSERT INTO d VALUES (51)"));
  for (int start = 0; start < 3; ++start) {
    restart();
    EXPECT_EQ(rows("SELECT a FROM d ORDER BY a"), (TextRows{{"51"}, {"99"}}));
    EXPECT_FALSE(object()->table().pending_load);
    // Killed after the Delta commit: the promise is still there, the rows too.
    promise(load);
  }
}

TEST_F(PromisedLoadTest, ReplacesItsRowsAlsoWhereAnotherEngineCompactedThem) {
  ASSERT_TRUE(project_.query("INSERT INTO d VALUES (50)"));
  promise(pending(99));
  rewrite({1, 50}, false);
  ASSERT_TRUE(project_.query("INSERT INTO d VALUES (51)"));
  restart();
  EXPECT_EQ(rows("SELECT a FROM d ORDER BY a"), (TextRows{{"51"}, {"99"}}));
}

TEST_F(PromisedLoadTest, IsGivenUpWhereAnotherEngineChangedItsRows) {
  project_.write("d.csv", "a\n99\n");
  promise(pending(99));
  rewrite({2}, true);
  restart();
  EXPECT_EQ(rows("SELECT a FROM d"), (TextRows{{"2"}})) << "neither lost nor doubled";
  EXPECT_FALSE(object()->table().pending_load);
  EXPECT_THAT(refused().message(), HasSubstr("d"));
  apply(true);
  EXPECT_EQ(rows("SELECT a FROM d"), (TextRows{{"99"}}));
}

TEST_F(ProjectTest, ADiffChangesNothing) {
  project_.write("d.csv", "a\n1\n");
  project_.write("a.sql", "CREATE TABLE d (a INT) WITH (file = 'd.csv'); CREATE TOPIC t (a INT);");
  EXPECT_EQ(diff().size(), 2u);
  EXPECT_THAT(project_.objects(), IsEmpty());
  EXPECT_EQ(lake_directories(), 0u);
}

TEST_F(ProjectTest, StatementsThatDeclareNothingAreRefused) {
  project_.write("a.sql", "CREATE TOPIC t (a INT);\n\nINSERT INTO t VALUES (1);");
  EXPECT_THAT(refused().message(), HasSubstr("a.sql:3: a project declares objects"));
  project_.write("a.sql", "CREATE TOPIC t (a INT);\nSELEC 1;");
  EXPECT_THAT(refused().message(), HasSubstr("a.sql:2: "));
  project_.write("a.sql",
                 "CREATE MATERIALIZED VIEW v AS\nSELECT nope FROM t; CREATE TOPIC t (a INT);");
  EXPECT_THAT(refused().message(), HasSubstr("a.sql:1: "));
}

}  // namespace
}  // namespace ziwa::sql
