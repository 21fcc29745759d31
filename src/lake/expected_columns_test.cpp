// What another engine does to the columns of a table, and who expects them as they were.
#include "base/sim_file.h"
#include "lake/actions_internal.h"
#include "lake/log_internal.h"
#include "lake/table.h"
#include "lake/testing/rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace ziwa::lake {
namespace {

using Columns = std::vector<data::Column>;
using ::testing::HasSubstr;

const Columns kColumns = {{.id = 1, .name = "id", .type = "BIGINT"},
                          {.id = 2, .name = "s", .type = "VARCHAR"},
                          {.id = 3, .name = "n", .type = "INTEGER", .not_null = true}};

class ExpectedColumns : public testing::Test {
 protected:
  void SetUp() override {
    table_ = Table::create(store(), *instance_, clock_, {.schema = {.columns = kColumns}}).value();
    ASSERT_TRUE(insert(*table_, "SELECT 1, 'a', 10").has_value());
  }
  std::shared_ptr<ObjectStore> store() { return make_local_store(files_, "/t"); }
  Status insert(Table& table, const std::string& sql) {
    Commit commit{.add = TRY(write_query(table, *instance_, sql))};
    TRY(table.commit(commit));
    return {};
  }
  /// Another engine's metaData with these columns, and a file of rows in them.
  void change(const Columns& columns, const std::string& rows, const std::string& partition = "") {
    std::shared_ptr<ObjectStore> other =
        make_local_store(files_, "/other" + std::to_string(++others_));
    Table::Create create{.schema = {.columns = columns}};
    if (!partition.empty()) create.partition_columns = {partition};
    auto made = Table::create(other, *instance_, clock_, create).value();
    auto written = write_query(*made, *instance_, rows).value();
    std::string lines;
    const std::string first(as_text(other->get(commit_key(0)).value()));
    std::istringstream all(first);
    for (std::string line; std::getline(all, line);) {
      if (line.find("\"metaData\"") != std::string::npos) lines += line + "\n";
    }
    for (const DataFile& file : written) {
      ASSERT_TRUE(store()->put(file.path, other->get(file.path).value()).has_value());
      lines += nlohmann::json::parse(data_file_to_json(file)).dump() + "\n";
    }
    auto version = open()->snapshot()->version() + 1;
    ASSERT_TRUE(store()->put_new(commit_key(version), as_bytes(lines)).has_value());
  }
  std::vector<std::string> rows(Table& table) {
    auto read = read_rows(*table.snapshot()->scan());
    EXPECT_TRUE(read.has_value()) << read.error().to_string();
    return read.value_or(std::vector<std::string>{});
  }
  std::shared_ptr<Table> open() {
    return Table::open(store(), *instance_, clock_, Table::Create{.schema = {.columns = kColumns}})
        .value();
  }
  void expect_refused(Table& table, const std::string& reason) {
    auto snapshot = table.snapshot();
    ASSERT_EQ(snapshot->schema().columns.size(), kColumns.size());
    auto read = read_rows(*snapshot->scan());
    ASSERT_FALSE(read.has_value());
    EXPECT_EQ(read.error().code(), Code::unsupported);
    EXPECT_THAT(read.error().to_string(), HasSubstr(reason));
    EXPECT_THAT(read.error().to_string(), HasSubstr("version 2"));
    Status written = insert(table, "SELECT 3, 'c', 30");
    ASSERT_FALSE(written.has_value());
    EXPECT_EQ(written.error().code(), Code::unsupported) << written.error().to_string();
    EXPECT_FALSE(table.changes(1, snapshot->version()).has_value());
    EXPECT_FALSE(table.preview({}).has_value());
  }

  SimFileSystem files_{1};
  ManualClock clock_;
  std::unique_ptr<duck::Instance> instance_ = duck::Instance::open(files_, {}).value();
  std::shared_ptr<Table> table_;
  int others_ = 0;
};

TEST_F(ExpectedColumns, AnAddedColumnIsLeftOutAndWrittenAsNull) {
  Columns more = kColumns;
  more.insert(more.begin(), {.id = 4, .name = "extra", .type = "DOUBLE"});
  change(more, "SELECT 0.5, 2, 'b', 20");
  ASSERT_TRUE(table_->refresh().has_value());
  for (const auto& table : {table_, open()}) {
    EXPECT_THAT(rows(*table), ::testing::UnorderedElementsAre("1|a|10", "2|b|20"));
    EXPECT_TRUE(table->changes(1, 2).has_value());
  }
  ASSERT_TRUE(insert(*table_, "SELECT 3, 'c', 30").has_value());
  EXPECT_THAT(rows(*open()), ::testing::UnorderedElementsAre("1|a|10", "2|b|20", "3|c|30"));
  auto all = Table::open(store(), *instance_, clock_).value();
  EXPECT_THAT(rows(*all),
              ::testing::UnorderedElementsAre("NULL|1|a|10", "0.5|2|b|20", "NULL|3|c|30"));
}

TEST_F(ExpectedColumns, ColumnsInAnotherOrderAreFoundByName) {
  change({kColumns[2], kColumns[1], kColumns[0]}, "SELECT 20, 'b', 2");
  ASSERT_TRUE(table_->refresh().has_value());
  EXPECT_THAT(rows(*table_), ::testing::UnorderedElementsAre("1|a|10", "2|b|20"));
}

TEST_F(ExpectedColumns, OthersAreRefusedWithTheReasonUntilTheyAreBack) {
  struct Case {
    Columns columns;
    std::string rows, partition, reason;
  };
  Columns renamed = kColumns;
  renamed[1].name = "q";
  Columns other_type = kColumns;
  other_type[0].type = "INTEGER";
  Columns nullable = kColumns;
  nullable[2].not_null = false;
  Columns not_null = kColumns;
  not_null[1].not_null = true;
  Columns added = kColumns;
  added.push_back({.id = 4, .name = "extra", .type = "DOUBLE", .not_null = true});
  const std::string same = "SELECT 2, 'b', 20";
  for (const Case& one : std::vector<Case>{
           {{kColumns[0], kColumns[2]}, "SELECT 2, 20", "", "no column \"s\" any more"},
           {renamed, same, "", "no column \"s\" any more"},
           {other_type, same, "", "\"id\" is INTEGER now, and was BIGINT"},
           {nullable, same, "", "\"n\" is without NOT NULL now"},
           {not_null, same, "", "\"s\" is NOT NULL now"},
           {added, "SELECT 2, 'b', 20, 0.5", "", "\"extra\" was added as NOT NULL"},
           {kColumns, same, "s", "partitioned by \"s\" now"}}) {
    SCOPED_TRACE(one.reason);
    files_.remove_all("/t").ignore("made anew");
    SetUp();
    change(one.columns, one.rows, one.partition);
    ASSERT_TRUE(table_->refresh().has_value());
    expect_refused(*table_, one.reason);
    expect_refused(*open(), one.reason);
    change(kColumns, "SELECT 4, 'd', 40");
    ASSERT_TRUE(table_->refresh().has_value());
    ASSERT_TRUE(insert(*table_, "SELECT 5, 'e', 50").has_value());
  }
}

}  // namespace
}  // namespace ziwa::lake
