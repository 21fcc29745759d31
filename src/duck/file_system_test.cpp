#include "duck/file_system.h"

#include "base/sim_file.h"
#include "duck/instance.h"

#include <gtest/gtest.h>

namespace ziwa::duck {
namespace {

class DuckFilesTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* directory : {"/sim/in/a", "/sim/in/b", "/sim/out"})
      ASSERT_TRUE(files_.make_dirs(directory).has_value());
    put("/sim/in/a/1.csv", "x,y\n1,a\n");
    put("/sim/in/a/2.csv", "x,y\n2,b\n");
    put("/sim/in/b/3.csv", "x,y\n3,c\n");
    put("/sim/out/4.csv", "x,y\n4,d\n");
    auto opened = Instance::open(files_, {.allowed_directories = {"/sim/in"}});
    ASSERT_TRUE(opened.has_value()) << opened.error().to_string();
    instance_ = std::move(*opened);
    connection_ = instance_->connect();
  }
  void put(const std::string& path, std::string_view text) {
    ASSERT_TRUE(write_file_atomically(files_, path, as_bytes(text)).has_value());
  }
  /// The first column of the first row as text, or the error.
  std::string ask(const std::string& sql) {
    auto result = connection_->Query(sql);
    if (result->HasError()) return to_error(result->GetErrorObject()).to_string();
    return result->RowCount() == 0 ? "" : result->GetValue(0, 0).ToString();
  }
  Code code(const std::string& sql) {
    auto result = connection_->Query(sql);
    EXPECT_TRUE(result->HasError()) << sql;
    return result->HasError() ? to_error(result->GetErrorObject()).code() : Code::internal;
  }

  SimFileSystem files_;
  std::unique_ptr<Instance> instance_;
  std::unique_ptr<duckdb::Connection> connection_;
};

TEST_F(DuckFilesTest, GlobsGoThroughTheFileLayer) {
  EXPECT_EQ(ask("SELECT sum(x) FROM '/sim/in/a/1.csv'"), "1");
  EXPECT_EQ(ask("SELECT sum(x) FROM '/sim/in/a/*.csv'"), "3");
  EXPECT_EQ(ask("SELECT sum(x) FROM '/sim/in/**/*.csv'"), "6");
  EXPECT_EQ(ask("SELECT sum(x) FROM '/sim/*/[ab]/?.csv'"), "6");
  EXPECT_EQ(ask("SELECT string_agg(parse_filename(filename), ' ' ORDER BY filename) FROM "
                "read_csv('/sim/in/a/*.csv', filename=true)"),
            "1.csv 2.csv");
  EXPECT_EQ(code("SELECT * FROM '/sim/in/nothere*.csv'"), Code::io);
}

TEST_F(DuckFilesTest, CopyWritesAndReadsBack) {
  EXPECT_EQ(ask("COPY (SELECT range AS r FROM range(10000)) TO '/sim/in/r.parquet'"), "10000");
  EXPECT_TRUE(files_.exists("/sim/in/r.parquet"));
  EXPECT_EQ(ask("SELECT sum(r) FROM '/sim/in/r.parquet'"), "49995000");
  EXPECT_EQ(ask("COPY (SELECT range AS r FROM range(10000)) TO '/sim/in/r.csv.gz'"), "10000");
  EXPECT_EQ(ask("SELECT sum(r) FROM '/sim/in/r.csv.gz'"), "49995000");
  EXPECT_EQ(ask("COPY (SELECT range AS r, range % 2 AS p FROM range(10)) TO '/sim/in/parts' "
                "(FORMAT parquet, PARTITION_BY (p))"),
            "10");
  EXPECT_EQ(ask("SELECT sum(r) FROM read_parquet('/sim/in/parts/**/*.parquet', "
                "hive_partitioning=true) WHERE p = 1"),
            "25");
}

TEST_F(DuckFilesTest, LockedInstanceKeepsToItsFolders) {
  ASSERT_TRUE(instance_->lock().has_value());
  EXPECT_EQ(ask("SELECT sum(x) FROM '/sim/in/a/*.csv'"), "3");
  EXPECT_EQ(code("SELECT * FROM '/sim/out/4.csv'"), Code::permission);
  EXPECT_EQ(code("SELECT * FROM '/sim/in/../out/4.csv'"), Code::permission);
  EXPECT_EQ(code("SELECT * FROM '/sim/in/*/../../out/4.csv'"), Code::permission);
  EXPECT_EQ(code("COPY (SELECT 1) TO '/sim/out/x.csv'"), Code::permission);
  EXPECT_EQ(code("SELECT * FROM read_text('/etc/hostname')"), Code::permission);
  EXPECT_EQ(code("ATTACH '/sim/out/x.db'"), Code::permission);
  EXPECT_EQ(code("LOAD 'tpch'"), Code::permission);
  EXPECT_EQ(code("INSTALL tpch"), Code::permission);
  EXPECT_EQ(code("SET memory_limit = '1GB'"), Code::permission);
  EXPECT_EQ(code("SET enable_external_access = true"), Code::permission);
}

TEST_F(DuckFilesTest, SymbolicLinksDoNotLeadOut) {
  auto& posix = posix_file_system();
  std::string root = testing::TempDir() + "duck_links_" + std::to_string(::getpid());
  ASSERT_TRUE(posix.remove_all(root).has_value());
  ASSERT_TRUE(posix.make_dirs(root + "/in").has_value());
  ASSERT_TRUE(posix.make_dirs(root + "/out").has_value());
  ASSERT_TRUE(
      write_file_atomically(posix, root + "/out/secret.csv", as_bytes("x\n1\n")).has_value());
  ASSERT_EQ(::symlink((root + "/out").c_str(), (root + "/in/link").c_str()), 0);
  auto instance = Instance::open(posix, {.allowed_directories = {root + "/in"}});
  ASSERT_TRUE(instance.has_value());
  ASSERT_TRUE((*instance)->lock().has_value());
  connection_ = (*instance)->connect();
  EXPECT_EQ(code("SELECT * FROM '" + root + "/in/link/secret.csv'"), Code::permission);
  EXPECT_EQ(code("SELECT * FROM '" + root + "/in/*/secret.csv'"), Code::permission);
  // Nor are the names of what lies there told.
  connection_ = (*instance)->connect_user();
  ASSERT_TRUE(write_file_atomically(posix, root + "/in/a.csv", as_bytes("x\n2\n")).has_value());
  EXPECT_EQ(ask("SELECT string_agg(parse_filename(file), ',') FROM glob('" + root + "/in/**')"),
            "a.csv");
  EXPECT_EQ(code("SELECT * FROM glob('" + root + "/in/l*/*')"), Code::permission);
  EXPECT_EQ(ask("SELECT count(*) FROM glob('" + root + "/in/*.parquet')"), "0");
  // Writing to a link that leads to nothing would make what it leads to.
  ASSERT_EQ(::symlink((root + "/out/new.csv").c_str(), (root + "/in/dangling.csv").c_str()), 0);
  ASSERT_EQ(::symlink("dangling.csv", (root + "/in/twice.csv").c_str()), 0);
  ASSERT_EQ(::symlink("../out/folder", (root + "/in/folder").c_str()), 0);
  ASSERT_EQ(::symlink("loop", (root + "/in/loop").c_str()), 0);
  for (const char* path : {"/in/dangling.csv", "/in/twice.csv", "/in/folder/x.csv"})
    EXPECT_EQ(code("COPY (SELECT 1) TO '" + root + path + "'"), Code::permission) << path;
  EXPECT_NE(ask("COPY (SELECT 1) TO '" + root + "/in/loop'"), "1");
  EXPECT_EQ((*instance)->files().list(root + "/out").value().size(), 1u);
  ASSERT_EQ(::symlink("made.csv", (root + "/in/inner.csv").c_str()), 0);
  EXPECT_EQ(ask("COPY (SELECT 1) TO '" + root + "/in/inner.csv'"), "1");
  EXPECT_TRUE((*instance)->files().exists(root + "/in/made.csv"));
  connection_.reset();
  ASSERT_TRUE(posix.remove_all(root).has_value());
}

/// The own directory lies in an allowed one, and links lead into it.
class OwnDirectoryTest : public DuckFilesTest {
 protected:
  void SetUp() override {
    ASSERT_TRUE(posix_.remove_all(root_).has_value());
    ASSERT_TRUE(posix_.make_dirs(root_ + "/own/lake/1").has_value());
    for (const char* file : {"/own/lake/1/x.csv", "/own/VERSION", "/a.csv"})
      ASSERT_TRUE(write_file_atomically(posix_, root_ + file, as_bytes("x\n1\n")).has_value());
    ASSERT_EQ(::symlink((root_ + "/own").c_str(), (root_ + "/link").c_str()), 0);
    ASSERT_EQ(::symlink((root_ + "/own/VERSION").c_str(), (root_ + "/link.csv").c_str()), 0);
    open(512u << 20);
  }
  void open(uint64_t memory_bytes) {
    connection_.reset();
    auto instance = Instance::open(posix_, {.memory_bytes = memory_bytes,
                                            .temp_directory = root_ + "/own/tmp",
                                            .allowed_directories = {testing::TempDir()},
                                            .own_directory = root_ + "/own"});
    ASSERT_TRUE(instance.has_value());
    instance_ = std::move(*instance);
    ASSERT_TRUE(instance_->lock().has_value());
    connection_ = instance_->connect_user();
  }
  void TearDown() override {
    connection_.reset();
    instance_.reset();
    ASSERT_TRUE(posix_.remove_all(root_).has_value());
  }
  void expect_refused(const std::string& sql) {
    auto result = connection_->Query(sql);
    ASSERT_TRUE(result->HasError()) << sql;
    Error error = to_error(result->GetErrorObject());
    EXPECT_EQ(error.code(), Code::permission) << sql << ": " << error.to_string();
    EXPECT_NE(error.message().find("is in the data directory"), std::string::npos)
        << sql << ": " << error.to_string();
  }
  void expect_all_refused() {
    for (const char* path :
         {"/own/lake/1/x.csv", "/own/VERSION", "/own/lake/*/x.csv", "/own/**/*.csv", "/o*n/VERSION",
          "/a/../own/VERSION", "/link/VERSION", "/link.csv", "/l*k/lake/1/*.csv"})
      expect_refused("SELECT * FROM read_text('" + root_ + path + "')");
  }

  FileSystem& posix_ = posix_file_system();
  const std::string root_ = testing::TempDir() + "duck_own_" + std::to_string(::getpid());
};

TEST_F(OwnDirectoryTest, IsNotReadByStatementsOfUsers) {
  expect_all_refused();
  EXPECT_EQ(instance_->readable_path("", root_ + "/own/VERSION").error().code(), Code::permission);
  EXPECT_EQ(ask("SELECT count(*) FROM glob('" + root_ + "/**')"), "2") << "a.csv and link.csv";
  EXPECT_EQ(ask("SELECT count(*) FROM '" + root_ + "/**/a*.csv'"), "1");
  EXPECT_EQ(ask("SELECT count(*) FROM '" + root_ + "/a.csv'"), "1");
  connection_ = instance_->connect_within(root_);
  expect_all_refused();
  expect_refused("SELECT * FROM read_text('own/VERSION')");
  EXPECT_EQ(instance_->readable_path(root_, "own/VERSION").error().code(), Code::permission);
  EXPECT_EQ(ask("SELECT count(*) FROM 'a.csv'"), "1");
  connection_ = instance_->connect_trusted();
  EXPECT_EQ(ask("SELECT count(*) FROM '" + root_ + "/own/lake/1/x.csv'"), "1");
}

TEST_F(OwnDirectoryTest, IsNotWrittenByStatementsOfUsers) {
  ASSERT_EQ(::symlink((root_ + "/own/new.csv").c_str(), (root_ + "/dangling.csv").c_str()), 0);
  for (const char* path :
       {"/own/VERSION", "/own/new.csv", "/link/VERSION", "/link.csv", "/dangling.csv"})
    expect_refused("COPY (SELECT 1) TO '" + root_ + path + "' (FORMAT csv)");
  expect_refused("COPY (SELECT 1 AS p, 2 AS x) TO '" + root_ +
                 "' (FORMAT parquet, PARTITION_BY (p), OVERWRITE)");
  expect_refused("COPY (SELECT 1 AS p, 2 AS x) TO '" + root_ +
                 "/own' (FORMAT parquet, PARTITION_BY (p))");
  EXPECT_EQ(as_text(read_file(posix_, root_ + "/own/VERSION").value()), "x\n1\n");
  EXPECT_EQ(as_text(read_file(posix_, root_ + "/a.csv").value()), "x\n1\n");
  EXPECT_EQ(posix_.list(root_ + "/own").value().size(), 2u);
  EXPECT_EQ(ask("COPY (SELECT 1) TO '" + root_ + "/owner.csv' (FORMAT csv)"), "1");
}

TEST_F(OwnDirectoryTest, TakesWhatIsSpilt) {
  open(20u << 20);
  EXPECT_EQ(ask("SELECT count(*) FROM (SELECT DISTINCT range * 7 + range % 3, range::VARCHAR || "
                "'xxxxxxxxxxxxxxxxxxxxxxxx' s FROM range(1200000))"),
            "1200000");
  EXPECT_TRUE(posix_.exists(root_ + "/own/tmp"));
}

TEST_F(DuckFilesTest, FullDiskIsExhausted) {
  files_.set_capacity(10'000);
  EXPECT_EQ(code("COPY (SELECT range, random() FROM range(100000)) TO '/sim/in/big.parquet'"),
            Code::exhausted);
}

TEST_F(DuckFilesTest, ErrorsHaveCodesPositionsAndHints) {
  auto failed = [&](const std::string& sql) {
    return to_error(connection_->Query(sql)->GetErrorObject(), sql);
  };
  Error missing = failed("SELECT 1 + x FROM nothere");
  EXPECT_EQ(missing.code(), Code::not_found);
  EXPECT_EQ(missing.position(), 18u);
  EXPECT_EQ(missing.message().find("LINE"), std::string::npos) << missing.message();
  Error column = failed("SELECT lenght('x')");
  EXPECT_EQ(column.code(), Code::invalid_argument);
  EXPECT_NE(column.hint().find("length"), std::string::npos) << column.to_string();
  EXPECT_EQ(failed("SELEC 1").position(), 0u);
  std::string lines = "SELECT 'ä', 1\n  -- x\nFROM range(1), nothere";
  EXPECT_EQ(failed(lines).position(), lines.find("nothere"));
  std::string same_line = "SELECT 'äöü', nothere";
  EXPECT_EQ(failed(same_line).position(), same_line.find("nothere"));
  std::string wide = "SELECT " + std::string(300, '1') + "::VARCHAR, nothere, " +
                     std::string(300, '2') + "::VARCHAR";
  EXPECT_EQ(failed(wide).position(), wide.find("nothere"));
  EXPECT_EQ(failed("SELECT CAST('x' AS INTEGER)").code(), Code::invalid_argument);
  ask("CREATE TABLE t (a INTEGER)");
  EXPECT_EQ(failed("CREATE TABLE t (a INTEGER)").code(), Code::already_exists);
}

TEST_F(DuckFilesTest, SpillsThroughTheFileLayer) {
  auto opened = Instance::open(files_, {.memory_bytes = 20u << 20, .temp_directory = "/sim/spill"});
  ASSERT_TRUE(opened.has_value());
  uint64_t before = files_.mutations();
  ASSERT_TRUE((*opened)->lock().has_value());
  connection_ = (*opened)->connect_user();
  EXPECT_EQ(ask("SELECT count(*) FROM (SELECT range, random() r, range::VARCHAR || "
                "'xxxxxxxxxxxxxxxxxxxxxxxx' s FROM "
                "range(600000) ORDER BY r)"),
            "600000");
  EXPECT_EQ(ask("SELECT count(*) FROM (SELECT DISTINCT range * 7 + range % 3, range::VARCHAR || "
                "'xxxxxxxxxxxxxxxxxxxxxxxx' s FROM "
                "range(1200000))"),
            "1200000");
  EXPECT_GT(files_.mutations(), before);
  connection_.reset();
}

TEST_F(DuckFilesTest, SpillsNoMoreThanItMay) {
  auto opened = Instance::open(
      files_,
      {.memory_bytes = 20u << 20, .temp_directory = "/sim/spill", .temp_bytes_max = 1u << 20});
  ASSERT_TRUE(opened.has_value());
  connection_ = (*opened)->connect_user();
  auto result = connection_->Query(
      "SELECT count(*) FROM (SELECT range, random() r, range::VARCHAR || "
      "'xxxxxxxxxxxxxxxxxxxxxxxx' s FROM range(3000000) ORDER BY r)");
  ASSERT_TRUE(result->HasError());
  EXPECT_EQ(to_error(result->GetErrorObject()).code(), Code::exhausted);
  EXPECT_EQ(ask("SELECT count(*) FROM range(10)"), "10");
  connection_.reset();
}

}  // namespace
}  // namespace ziwa::duck
