// What nobody needs goes, what somebody needs stays, also when the power fails in the middle.
#include "base/sim_file.h"
#include "base/slowness.h"
#include "lake/log_internal.h"
#include "lake/table.h"
#include "lake/testing/rows.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace ziwa::lake {
namespace {

using std::chrono::hours;

constexpr hours kDay(24);
/// The first day, a little after midnight.
constexpr int64_t kFirstDay = 20'000LL * 86'400'000 + 60'000;

class CleanUpTest : public testing::Test {
 protected:
  void SetUp() override {
    files_.set_clock(clock_);
    instance_ = duck::Instance::open(files_, {}).value();
  }
  std::shared_ptr<ObjectStore> store() { return make_local_store(files_, "/t", 7); }
  std::shared_ptr<Table> create(std::map<std::string, std::string> properties = {}) {
    properties.emplace("delta.checkpointInterval", "5");
    auto created =
        Table::create(store(), *instance_, clock_,
                      {.schema = {.columns = {{.id = 1, .name = "id", .type = "BIGINT"},
                                              {.id = 2, .name = "p", .type = "INTEGER"}}},
                       .partition_columns = {"p"},
                       .properties = std::move(properties)});
    EXPECT_TRUE(created.has_value()) << created.error().to_string();
    return *created;
  }
  std::shared_ptr<Table> open() { return Table::open(store(), *instance_, clock_).value(); }
  /// Commits row `number`.
  void insert(Table& table, int number) {
    Commit commit{.add =
                      write_query(table, *instance_, fmt::format("SELECT {}, 0", number)).value()};
    auto done = table.commit(commit);
    ASSERT_TRUE(done.has_value()) << done.error().to_string();
  }
  /// One commit a day: version n is of day n.
  void insert_daily(Table& table, int first, int last) {
    for (int number = first; number <= last; ++number) {
      clock_.advance(kDay);
      insert(table, number);
    }
  }
  /// Takes all rows away.
  void clear(Table& table) {
    Commit commit{.operation = "DELETE"};
    for (const auto& file : table.snapshot()->files()) commit.remove.push_back(*file);
    auto done = table.commit(commit);
    ASSERT_TRUE(done.has_value()) << done.error().to_string();
  }
  static Cleaned clean(Table& table, Needs needs = {}, bool only_us = true) {
    auto done = table.clean({.needs = [&] { return Result<Needs>(needs); }, .only_us = only_us});
    EXPECT_TRUE(done.has_value()) << done.error().to_string();
    return done.has_value() ? *done : Cleaned();
  }
  std::set<std::string> log() {
    std::set<std::string> names;
    for (const auto& object : store()->list("_delta_log/", "", 10'000).value())
      names.insert(object.key.substr(11));
    return names;
  }
  size_t data_files() { return store()->list("p=", "", 10'000)->size(); }
  std::set<int64_t> versions(Table& table) {
    std::set<int64_t> readable;
    for (int64_t version = 0; version <= table.snapshot()->version(); ++version) {
      auto snapshot = table.at_version(version);
      if (!snapshot.has_value()) {
        EXPECT_EQ(snapshot.error().code(), Code::not_found) << snapshot.error().to_string();
        EXPECT_NE(snapshot.error().message().find("was cleaned up"), std::string::npos)
            << snapshot.error().to_string();
        continue;
      }
      EXPECT_EQ(read_rows(*(*snapshot)->scan())->size(), static_cast<size_t>(version));
      readable.insert(version);
    }
    return readable;
  }
  static std::set<int64_t> between(int64_t first, int64_t last) {
    std::set<int64_t> all;
    for (int64_t version = first; version <= last; ++version) all.insert(version);
    return all;
  }

  SimFileSystem files_;
  ManualClock clock_{TimestampMs(kFirstDay)};
  std::unique_ptr<duck::Instance> instance_;
};

TEST_F(CleanUpTest, KeepsTheCheckpointBeforeTheRetentionAndWhatFollows) {
  auto table = create();
  insert_daily(*table, 1, 33);
  EXPECT_EQ(clean(*table).log, 0u) << "day 3 is the oldest kept one: no checkpoint before it";
  EXPECT_EQ(versions(*table), between(0, 33));
  insert_daily(*table, 34, 47);
  // Midnight of day 17 (47 - 30) lies before commit 17: what counts then is version 16.
  EXPECT_EQ(clean(*table).log, 15u + 2u) << "commits 0 to 14, checkpoints 5 and 10";
  EXPECT_EQ(versions(*table), between(15, 47));
  EXPECT_TRUE(log().contains("00000000000000000015.json"));
  EXPECT_TRUE(log().contains("00000000000000000015.checkpoint.parquet"));
  EXPECT_EQ(data_files(), 47u);
  auto again = open();
  EXPECT_EQ(again->snapshot()->version(), 47);
  EXPECT_EQ(versions(*again), between(15, 47));
  EXPECT_EQ(again->at_version(3).error().hint(), "the oldest that can be read is 15");
  EXPECT_EQ(again->changes(3, 20).error().code(), Code::not_found);
  EXPECT_EQ(again->info(3).error().code(), Code::not_found);
  EXPECT_TRUE(again->changes(15, 20).has_value());
}

TEST_F(CleanUpTest, WorksOnceADay) {
  auto table = create();
  insert_daily(*table, 1, 40);
  int asked = 0;
  auto once = [&] {
    auto done = table->clean({.needs = [&]() -> Result<Needs> {
                                ++asked;
                                return Needs();
                              },
                              .only_us = true});
    EXPECT_TRUE(done.has_value());
  };
  once();
  once();
  EXPECT_EQ(asked, 1);
  clock_.advance(kDay);
  once();
  EXPECT_EQ(asked, 2);
}

TEST_F(CleanUpTest, AVersionThatSomebodyNeedsStays) {
  auto table = create();
  insert_daily(*table, 1, 60);
  EXPECT_EQ(clean(*table, {.version = 7}).log, 5u);
  EXPECT_EQ(versions(*table), between(5, 60));
  // Let go, the next checkpoint is the occasion, though it is the same day.
  EXPECT_EQ(clean(*table).log, 0u);
  for (int number = 61; number <= 65; ++number) insert(*table, number);
  EXPECT_GT(clean(*table).log, 0u);
  EXPECT_EQ(versions(*table), between(25, 65));
}

TEST_F(CleanUpTest, PropertiesDecide) {
  auto never = create({{"delta.enableExpiredLogCleanup", "false"}});
  insert_daily(*never, 1, 60);
  EXPECT_EQ(clean(*never).log, 0u);
  EXPECT_EQ(versions(*never), between(0, 60));
  ASSERT_TRUE(files_.remove_all("/t"));

  auto briefly = create({{"delta.logRetentionDuration", "interval 2 days 12 hours"}});
  insert_daily(*briefly, 1, 20);
  clean(*briefly);
  EXPECT_EQ(versions(*briefly), between(15, 20)) << "midnight of day 17";
  ASSERT_TRUE(files_.remove_all("/t"));

  for (const char* senseless :
       {"interval 1 month", "soon", "interval", "3", "-3 days", "1 day x"}) {
    auto table = create({{"delta.logRetentionDuration", senseless}});
    insert_daily(*table, 1, 40);
    auto before = log();
    auto refused = table->clean({.needs = [] { return Result<Needs>(Needs()); }});
    ASSERT_FALSE(refused.has_value()) << senseless;
    EXPECT_EQ(refused.error().code(), Code::invalid_argument);
    EXPECT_NE(refused.error().message().find("delta.logRetentionDuration"), std::string::npos);
    EXPECT_EQ(log(), before);
    ASSERT_TRUE(files_.remove_all("/t"));
  }
}

TEST_F(CleanUpTest, ATableThatAsksForMoreThanWeKnowIsLeftAlone) {
  auto table = create();
  insert_daily(*table, 1, 60);
  // Another engine turns a feature on that only concerns writers.
  const std::string protocol =
      R"({"protocol":{"minReaderVersion":1,"minWriterVersion":7,"writerFeatures":["checkpointProtection"]}})";
  ASSERT_TRUE(store()->put_new("_delta_log/00000000000000000061.json", as_bytes(protocol)));
  auto before = log();
  EXPECT_EQ(clean(*table).log, 0u);
  EXPECT_EQ(log(), before);
}

TEST_F(CleanUpTest, NothingGoesWhenTheCheckpointIsBroken) {
  auto table = create();
  insert_daily(*table, 1, 60);
  ASSERT_TRUE(store()->put("_delta_log/00000000000000000025.checkpoint.parquet",
                           as_bytes(std::string_view("PAR1 no"))));
  auto before = log();
  auto refused = table->clean({.needs = [] { return Result<Needs>(Needs()); }});
  EXPECT_FALSE(refused.has_value());
  EXPECT_EQ(log(), before);
}

TEST_F(CleanUpTest, OnlyNamesOfTheLogGo) {
  auto table = create();
  const std::set<std::string> others = {"notes.txt", "00000000000000000003.json.bak", "3.json",
                                        "_sidecars/00000000000000000001.checkpoint.x.parquet",
                                        "00000000000000000004.checkpoint.tmp"};
  for (const std::string& name : others)
    ASSERT_TRUE(store()->put("_delta_log/" + name, as_bytes(std::string_view("x"))));
  for (const char* name :
       {"00000000000000000003.crc", "00000000000000000001.00000000000000000004.compacted.json",
        "00000000000000000002.checkpoint.0000000001.0000000002.parquet"})
    ASSERT_TRUE(store()->put(std::string("_delta_log/") + name, as_bytes(std::string_view("x"))));
  insert_daily(*table, 1, 60);
  EXPECT_EQ(clean(*table).log, 25u + 4u + 3u);
  for (const std::string& name : others) EXPECT_TRUE(log().contains(name)) << name;
  EXPECT_EQ(versions(*table), between(25, 60));
}

TEST_F(CleanUpTest, DataThatNoVersionNamesGoesAfterAWeek) {
  auto table = create();
  insert(*table, 1);
  auto lost = write_query(*table, *instance_, "SELECT 2, range FROM range(3)").value();
  auto pending = write_query(*table, *instance_, "SELECT 3, 3").value();
  ASSERT_TRUE(store()->put("p=9/of-another.parquet", as_bytes(std::string_view("x"))));
  ASSERT_TRUE(
      store()->put("_mine/part-00000-00000000-0000-4000-8000-000000000000.c000.zstd.parquet",
                   as_bytes(std::string_view("x"))));
  Needs needs{.version = {}, .files = std::set{pending[0].path}};
  clock_.advance(7 * kDay);
  EXPECT_EQ(clean(*table, needs).data, 0u) << "not older than a week";
  clock_.advance(kDay);
  EXPECT_EQ(clean(*table, {.version = {}, .files = std::nullopt}).data, 0u) << "not known";
  clock_.advance(kDay);
  EXPECT_EQ(clean(*table, needs).data, 3u);
  EXPECT_EQ(data_files(), 3u) << "of the table, pending, of another";
  EXPECT_TRUE(
      files_.exists("/t/_mine/part-00000-00000000-0000-4000-8000-000000000000.c000.zstd.parquet"));
  ASSERT_TRUE(table->commit({.add = pending}).has_value());
  EXPECT_EQ(read_rows(*table->snapshot()->scan()).value(),
            (std::vector<std::string>{"1|0", "3|3"}));
}

TEST_F(CleanUpTest, DataOfAnOldVersionStaysAsLongAsTheVersion) {
  auto table = create();
  insert_daily(*table, 1, 4);
  clear(*table);  // Version 5, with a checkpoint.
  for (int day = 0; day < 29; ++day) {
    clock_.advance(kDay);
    EXPECT_EQ(clean(*table).data, 0u);
  }
  EXPECT_EQ(read_rows(*table->at_version(4).value()->scan())->size(), 4u);
  EXPECT_EQ(open()->snapshot()->files().size(), 0u);
  for (int number = 6; number <= 10; ++number) insert(*table, number);
  clock_.advance(2 * kDay);
  auto cleaned = clean(*table);
  EXPECT_EQ(cleaned.log, 5u) << "commits 0 to 4";
  EXPECT_EQ(cleaned.data, 0u) << "commit 5 names them still";
  clock_.advance(31 * kDay);
  cleaned = clean(*table);
  EXPECT_EQ(cleaned.log, 6u) << "commits 5 to 9 and a checkpoint";
  EXPECT_EQ(cleaned.data, 4u);
  EXPECT_EQ(read_rows(*table->snapshot()->scan())->size(), 5u);
}

TEST_F(CleanUpTest, APinnedSnapshotOfTheOldVersionReadsOn) {
  auto table = create();
  insert_daily(*table, 1, 60);
  auto pinned = table->at_version(3).value();
  clean(*table);
  EXPECT_EQ(table->at_version(3).error().code(), Code::not_found);
  EXPECT_EQ(read_rows(*pinned->scan())->size(), 3u);
}

TEST_F(CleanUpTest, StagedFilesOfOtherRunsGo) {
  auto table = create();
  insert(*table, 1);
  auto writer = table->writer(1 << 20).value();
  auto rows = instance_->connect()->Query("SELECT 1::BIGINT, 5::INTEGER")->Fetch();
  ASSERT_TRUE(writer->write(*rows));
  const std::set<std::string> left = {
      "/t/p=1/.part.0123456789abcdef.tmp",
      "/t/_delta_log/.00000000000000000001.json.00000008ffffffff.tmp"};
  const std::set<std::string> not_ours = {"/t/p=1/.part.0123456789abcde.tmp", "/t/p=1/part.tmp",
                                          "/t/p=1/.part.0123456789ABCDEF.tmp", "/t/.tmp"};
  ASSERT_TRUE(files_.make_dirs("/t/p=1"));
  for (const auto& names : {left, not_ours}) {
    for (const auto& name : names)
      ASSERT_TRUE(
          files_.open(name, OpenMode::create_new).value()->append(as_bytes(std::string_view("x"))));
  }
  EXPECT_EQ(clean(*table, {}, false).staged, 0u) << "another program of ours may write here";
  clock_.advance(8 * kDay);
  EXPECT_EQ(clean(*table, {}, false).staged, 2u);
  for (const auto& name : left) {
    EXPECT_FALSE(files_.exists(name)) << name;
    ASSERT_TRUE(files_.open(name, OpenMode::create_new));
  }
  EXPECT_EQ(clean(*open(), {}, true).staged, 2u);
  for (const auto& name : not_ours) EXPECT_TRUE(files_.exists(name)) << name;
  auto written = writer->finish();
  ASSERT_TRUE(written.has_value()) << "its own staged file stays: " << written.error().to_string();
  ASSERT_TRUE(table->commit({.add = *written}).has_value());
  EXPECT_EQ(read_rows(*table->snapshot()->scan())->size(), 2u);
}

TEST_F(CleanUpTest, AFailureIsTriedAgainLater) {
  auto table = create();
  insert_daily(*table, 1, 60);
  int asked = 0;
  CleanUp how{.needs = [&]() -> Result<Needs> {
    if (++asked == 1) return Error(Code::unavailable, "not now");
    return Needs();
  }};
  EXPECT_FALSE(table->clean(how).has_value());
  EXPECT_EQ(versions(*table), between(0, 60));
  EXPECT_EQ(table->clean(how)->log, 0u);
  EXPECT_EQ(asked, 1) << "ten minutes";
  clock_.advance(std::chrono::minutes(10));
  EXPECT_GT(table->clean(how)->log, 0u);
}

TEST_F(CleanUpTest, ATableWhoseNextVersionsAnotherEngineCleanedUpGoesOnFromItsCheckpoint) {
  auto other = create({{"delta.logRetentionDuration", "interval 1 day"}});
  insert_daily(*other, 1, 3);
  auto reading = open();
  auto writing = open();
  auto rewriting = open();
  Commit rewrite{.operation = "DELETE", .read_version = 3};
  rewrite.remove.push_back(*rewriting->snapshot()->files().front());
  insert_daily(*other, 4, 12);
  clock_.advance(3 * kDay);
  EXPECT_GT(clean(*other).log, 0u);
  ASSERT_FALSE(log().contains("00000000000000000004.json"));
  ASSERT_EQ(reading->snapshot()->version(), 3);
  EXPECT_EQ(reading->refresh().value()->version(), 12);
  EXPECT_EQ(reading->snapshot()->files().size(), 12u);
  // Not as version 4, where nobody looks.
  insert(*writing, 13);
  EXPECT_EQ(writing->snapshot()->version(), 13);
  EXPECT_FALSE(log().contains("00000000000000000004.json"));
  EXPECT_EQ(open()->snapshot()->files().size(), 13u);
  // What it depends on cannot be judged any more.
  auto done = rewriting->commit(rewrite);
  ASSERT_FALSE(done.has_value());
  EXPECT_EQ(done.error().code(), Code::conflict) << done.error().to_string();
}

TEST_F(CleanUpTest, AFileThatIsAboutToBeCommittedStaysWhateverThePropertySays) {
  auto table = create({{"delta.deletedFileRetentionDuration", "interval 0 hours"}});
  insert(*table, 1);
  auto files = write_query(*table, *instance_, "SELECT 2, 0").value();
  clock_.advance(std::chrono::minutes(59));
  EXPECT_EQ(clean(*table, {}, false).data, 0u);
  ASSERT_TRUE(table->commit({.add = files}).has_value());
  EXPECT_EQ(read_rows(*table->snapshot()->scan()).value().size(), 2u);
}

/// Commits, takes rows away and cleans up while the power fails; what is in the table must be what
/// was acknowledged. Returns what is wrong, or empty.
std::string cut_often(uint64_t seed) {
  SimFileSystem files(seed);
  ManualClock clock{TimestampMs(kFirstDay)};
  files.set_clock(clock);
  std::mt19937_64 random(seed);
  std::set<int> rows;
  size_t removed = 0;
  int next = 0;
  for (int cut = 0; cut < 6; ++cut) {
    std::optional<int> maybe;  // Committed, but not acknowledged.
    auto live = [&]() -> Status {
      auto instance = TRY(duck::Instance::open(files, {}));
      auto store = [&] { return make_local_store(files, "/data/lake/7"); };
      auto opened = Table::open(store(), *instance, clock);
      if (!opened.has_value()) {
        opened = Table::create(store(), *instance, clock,
                               {.schema = {.columns = {{.id = 1, .name = "id", .type = "BIGINT"},
                                                       {.id = 2, .name = "p", .type = "INTEGER"}}},
                                .partition_columns = {"p"},
                                .properties = {{"delta.checkpointInterval", "3"},
                                               {"delta.logRetentionDuration", "interval 3 days"}}});
      }
      auto table = TRY(std::move(opened));
      for (int i = 0; i < 14; ++i) {
        clock.advance(kDay);
        Commit commit{.transaction = Commit::Transaction{"test", next}};
        commit.add =
            TRY(write_query(*table, *instance, fmt::format("SELECT {}, {}", next, next % 2)));
        maybe = next++;
        TRY(table->commit(commit));
        rows.insert(*std::exchange(maybe, std::nullopt));
        TRY(write_query(*table, *instance, "SELECT -1, 0"));  // Never committed.
        auto cleaned =
            TRY(table->clean({.needs = [] { return Result<Needs>(Needs()); }, .only_us = true}));
        removed += cleaned.log + cleaned.data;
      }
      return {};
    };
    files.die_after(1 + random() % 700);
    live().ignore("the power fails");
    files.cut_power();
    auto instance = duck::Instance::open(files, {}).value();
    auto table = Table::open(make_local_store(files, "/data/lake/7"), *instance, clock);
    if (!table.has_value()) {
      if (rows.empty() && table.error().code() == Code::not_found) continue;
      return "cannot be opened: " + table.error().to_string();
    }
    auto read = read_rows(*(*table)->snapshot()->scan());
    if (!read.has_value()) return "cannot be read: " + read.error().to_string();
    std::set<int> now;
    for (const std::string& row : *read) now.insert(std::atoi(row.c_str()));
    if (maybe && now.contains(*maybe)) rows.insert(*maybe);
    if (now != rows)
      return fmt::format("{} rows, not {}, after cut {}", now.size(), rows.size(), cut);
    // Every version from the oldest on can be read, or says that it was cleaned up.
    for (int64_t version = 0; version <= (*table)->snapshot()->version(); version += 3) {
      auto old = (*table)->at_version(version);
      if (!old.has_value() && old.error().code() != Code::not_found)
        return fmt::format("version {}: {}", version, old.error().to_string());
      if (old.has_value() && !read_rows(*(*old)->scan()).has_value())
        return fmt::format("version {} has lost files", version);
    }
  }
  return removed > 20 ? "" : "nothing was cleaned up";
}

TEST(CleanUpNamesTest, APartOutOfRangeMakesNoCheckpointWhole) {
  auto part = [](int number, int total) {
    return fmt::format("{}{:020}.checkpoint.{:010}.{:010}.parquet", kLogFolder, 4, number, total);
  };
  EXPECT_EQ(newest_checkpoint({part(1, 2), part(3, 2)}, 9).has_value(), false);
  EXPECT_EQ(newest_checkpoint({part(0, 2), part(1, 2)}, 9).has_value(), false);
  auto whole = newest_checkpoint({part(0, 2), part(1, 2), part(2, 2)}, 9);
  ASSERT_TRUE(whole.has_value());
  EXPECT_EQ(whole->keys, (std::vector{part(1, 2), part(2, 2)}));
}

TEST(CleanUpNamesTest, ANumberBelowZeroIsNoVersion) {
  std::string key = std::string(kLogFolder) + "-0000000000000000001.json";
  EXPECT_EQ(commit_of(key), std::nullopt);
  EXPECT_FALSE(is_covered(key, 5)) << "nobody of us wrote it";
  EXPECT_EQ(commit_of(commit_key(1)), 1);
}

TEST(CleanUpPowerTest, NothingThatIsNeededIsLost) {
  for (uint64_t seed = 1; seed <= 10 / static_cast<uint64_t>(kSlowness); ++seed)
    ASSERT_EQ(cut_often(seed), "") << "seed " << seed;
}

}  // namespace
}  // namespace ziwa::lake
