#include "lake/lineage.h"

#include "base/sim_file.h"
#include "lake/testing/rows.h"

#include <gtest/gtest.h>

namespace ziwa::lake {
namespace {

class LineageTest : public testing::Test {
 protected:
  void SetUp() override {
    auto created =
        Table::create(make_local_store(files_, "/t"), *instance_, clock_,
                      {.schema = {.columns = {{.id = 1, .name = "id", .type = "BIGINT"}}}});
    ASSERT_TRUE(created.has_value()) << created.error().to_string();
    table_ = *created;
  }
  std::string put(const std::string& values) { return replace({}, values, true); }
  /// Commits one file in place of others; gives its path.
  std::string replace(const std::set<std::string>& paths, const std::string& values,
                      bool data_change) {
    Commit commit{.operation = "OPTIMIZE", .data_change = data_change};
    if (!values.empty())
      commit.add = write_query(*table_, *instance_, "SELECT unnest([" + values + "])").value();
    for (const auto& file : table_->snapshot()->files()) {
      if (paths.contains(file->path)) commit.remove.push_back(*file);
    }
    EXPECT_EQ(commit.remove.size(), paths.size());
    auto done = table_->commit(commit);
    EXPECT_TRUE(done.has_value()) << done.error().to_string();
    return commit.add.empty() ? "" : commit.add.front().path;
  }
  Result<std::set<std::string>> found(const TableSnapshotPtr& from) {
    std::set<std::string> paths;
    for (const auto& file : TRY(files_with_rows_of(*from, *table_->snapshot())))
      paths.insert(file->path);
    return paths;
  }
  static Code code_of(const Result<std::set<std::string>>& paths) {
    return paths.has_value() ? Code::internal : paths.error().code();
  }
  using Paths = std::set<std::string>;

  SimFileSystem files_{1};
  ManualClock clock_;
  std::unique_ptr<duck::Instance> instance_ = duck::Instance::open(files_, {}).value();
  std::shared_ptr<Table> table_;
};

TEST_F(LineageTest, CompactionsPassItOn) {
  auto a = put("1");
  auto b = put("2");
  auto c = put("3");
  auto from = table_->snapshot();
  EXPECT_EQ(found(from).value(), (Paths{a, b, c}));
  auto later = put("4");
  auto ab = replace({a, b}, "1, 2", false);
  EXPECT_EQ(found(from).value(), (Paths{ab, c}));
  auto abc = replace({ab, c}, "1, 2, 3", false);
  EXPECT_EQ(found(from).value(), (Paths{abc}));
  replace({later}, "5", true);
  EXPECT_EQ(found(from).value(), (Paths{abc})) << "what others do among themselves";
  replace({abc}, "", true);
  EXPECT_EQ(found(from).value(), Paths());
}

TEST_F(LineageTest, RowsThatChangedOrWereMixedAreNoOnes) {
  auto a = put("1");
  auto from = table_->snapshot();
  auto later = put("2");
  auto mixed = replace({a, later}, "1, 2", false);
  EXPECT_EQ(code_of(found(from)), Code::conflict);
  auto mixed_from = table_->snapshot();
  replace({mixed}, "1, 3", true);
  EXPECT_EQ(code_of(found(mixed_from)), Code::conflict);
}

}  // namespace
}  // namespace ziwa::lake
