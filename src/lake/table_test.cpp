#include "lake/table.h"

#include "base/sim_file.h"
#include "duck/chunk.h"
#include "lake/testing/rows.h"

#include <gtest/gtest.h>

namespace ziwa::lake {
namespace {

class TableTest : public testing::Test {
 protected:
  void SetUp() override {
    auto opened = duck::Instance::open(files_, {});
    ASSERT_TRUE(opened.has_value()) << opened.error().to_string();
    instance_ = std::move(*opened);
  }
  std::shared_ptr<ObjectStore> store(const std::string& name = "t") {
    return make_local_store(files_, "/lake/" + name);
  }
  std::shared_ptr<Table> create(const Table::Create& create, const std::string& name = "t") {
    auto table = Table::create(store(name), *instance_, clock_, create);
    EXPECT_TRUE(table.has_value()) << table.error().to_string();
    return table.has_value() ? *table : nullptr;
  }
  std::shared_ptr<Table> open(const std::string& name = "t") {
    auto table = Table::open(store(name), *instance_, clock_);
    EXPECT_TRUE(table.has_value()) << table.error().to_string();
    return table.has_value() ? *table : nullptr;
  }
  /// Writes the rows of a query and commits them.
  Result<TableSnapshotPtr> insert(Table& table, const std::string& sql, Commit commit = {}) {
    commit.add = TRY(write_query(table, *instance_, sql));
    return table.commit(commit);
  }
  std::vector<std::string> rows(const TableSnapshot& snapshot,
                                const data::ScanRequest& request = {}) {
    auto read = read_rows(*snapshot.scan(), request);
    EXPECT_TRUE(read.has_value()) << read.error().to_string();
    return read.has_value() ? *read : std::vector<std::string>();
  }

  SimFileSystem files_;
  ManualClock clock_;
  std::unique_ptr<duck::Instance> instance_;
};

data::Schema two_columns() {
  return {.columns = {{.id = 7, .name = "id", .type = "BIGINT", .not_null = true},
                      {.id = 9, .name = "word", .type = "VARCHAR"}}};
}

TEST_F(TableTest, WritesCommitsAndReads) {
  auto table = create({.schema = two_columns()});
  EXPECT_EQ(table->snapshot()->version(), 0);
  auto inserted = insert(*table, "SELECT range, 'w' || range FROM range(3)");
  ASSERT_TRUE(inserted.has_value()) << inserted.error().to_string();
  EXPECT_EQ((*inserted)->version(), 1);
  EXPECT_EQ(rows(**inserted), (std::vector<std::string>{"0|w0", "1|w1", "2|w2"}));
  EXPECT_EQ((*inserted)->scan()->row_count(), 3u);
  auto again = open();
  EXPECT_EQ(again->snapshot()->version(), 1);
  EXPECT_EQ(again->snapshot()->schema(), two_columns());
  EXPECT_EQ(rows(*again->snapshot()), rows(**inserted));
}

TEST_F(TableTest, RefusesASecondTableAndAMissingOne) {
  create({.schema = two_columns()});
  EXPECT_EQ(Table::create(store(), *instance_, clock_, {.schema = two_columns()}).error().code(),
            Code::already_exists);
  EXPECT_EQ(Table::open(store("other"), *instance_, clock_).error().code(), Code::not_found);
}

TEST_F(TableTest, CheckpointsEveryTenVersions) {
  auto table = create({.schema = two_columns(), .partition_columns = {"word"}});
  for (int i = 1; i <= 25; ++i) {
    Commit commit{.transaction = Commit::Transaction{"sink", i}};
    auto done = insert(
        *table,
        fmt::format("SELECT {}, CASE WHEN {} % 5 = 0 THEN NULL ELSE 'a b/%{}' END", i, i, i % 3),
        commit);
    ASSERT_TRUE(done.has_value()) << done.error().to_string();
  }
  EXPECT_TRUE(files_.exists("/lake/t/_delta_log/00000000000000000020.checkpoint.parquet"));
  // The commits before the checkpoint are not needed any more.
  for (int i = 0; i < 20; ++i)
    ASSERT_TRUE(files_.remove(fmt::format("/lake/t/_delta_log/{:020}.json", i)).has_value());
  auto again = open();
  ASSERT_NE(again, nullptr);
  EXPECT_EQ(again->snapshot()->version(), 25);
  EXPECT_EQ(again->snapshot()->transaction_version("sink"), 25);
  EXPECT_EQ(rows(*again->snapshot()), rows(*table->snapshot()));
  EXPECT_EQ(again->at_version(19).error().code(), Code::not_found);
  EXPECT_EQ(rows(**again->at_version(22)).size(), 22u);
  // A broken hint is only a hint.
  ASSERT_TRUE(write_file_atomically(files_, "/lake/t/_delta_log/_last_checkpoint",
                                    as_bytes("{\"version\":99}"))
                  .has_value());
  EXPECT_EQ(open()->snapshot()->version(), 25);
  ASSERT_TRUE(
      write_file_atomically(files_, "/lake/t/_delta_log/_last_checkpoint", as_bytes("rubbish"))
          .has_value());
  EXPECT_EQ(open()->snapshot()->version(), 25);
}

}  // namespace
}  // namespace ziwa::lake
