// The server cleans its lake up: folders of dropped tables go, but not under a reader, and not
// those that a user placed; what a start refers to stays.
#include "app/lake_tables.h"

#include "app/engines.h"
#include "base/log.h"
#include "base/sim_file.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <random>

namespace ziwa::app {
namespace {

/// The time of the machine, and days more.
class LaterClock final : public Clock {
 public:
  TimestampMs now() const override { return TimestampMs(real_.now().value + later_ms_); }
  int64_t monotonic_ns() const override { return real_.monotonic_ns(); }
  void advance_days(int days) { later_ms_ += days * 86'400'000LL; }

 private:
  SystemClock real_;
  std::atomic<int64_t> later_ms_ = 0;
};

using Texts = std::vector<std::string>;

class LakeTablesTest : public testing::Test {
 protected:
  void SetUp() override {
    set_log_level(LogLevel::off);
    for (auto [name, value] : {std::pair("stream.checkpoint.interval", checkpoint_interval_),
                               {"state.cache.bytes", "1 MiB"},
                               {"state.write_buffer.bytes", "1 MiB"},
                               {"sql.memory", "64 MiB"}}) {
      ASSERT_TRUE(settings_.set(name, value, "test").has_value());
    }
    fs_.set_clock(clock_);
    open();
  }
  void TearDown() override {
    engines_.reset();
    set_log_level(LogLevel::info);
  }
  void open() {
    auto opened = try_open();
    ASSERT_TRUE(opened.has_value()) << opened.error().to_string();
  }
  Status try_open() {
    engines_.reset();
    engines_ =
        TRY(Engines::open({.fs = fs_, .clock = clock_, .metrics = metrics_, .settings = settings_},
                          {.data_directory = "/data"}));
    return {};
  }
  void crash() {
    engines_.reset();
    fs_.cut_power();
    open();
  }
  static Result<Texts> query(sql::Session& session, const std::string& sql) {
    auto rows = TRY(session.query(sql));
    Texts out;
    while (auto* chunk = TRY(rows->next())) {
      for (size_t row = 0; row < chunk->size(); ++row)
        out.push_back(chunk->GetValue(0, row).ToString());
    }
    return out;
  }
  Result<Texts> try_query(const std::string& sql) {
    auto session = TRY(engines_->database().session());
    return query(*session, sql);
  }
  Texts ask(const std::string& sql) {
    auto rows = try_query(sql);
    EXPECT_TRUE(rows.has_value()) << sql << ": " << rows.error().to_string();
    return rows.has_value() ? *rows : Texts();
  }
  void follow() {
    auto followed = engines_->stream().wait(engines_->journal().durable(), 60'000);
    EXPECT_TRUE(followed.has_value()) << followed.error().to_string();
  }
  void maintain() {
    auto done = engines_->maintain();
    EXPECT_TRUE(done.has_value()) << done.error().to_string();
  }
  std::string folder_of(const std::string& table) {
    return catalog::table_directory(*engines_->catalog().snapshot()->find("public", table),
                                    "/data/lake");
  }
  size_t folders() {
    const auto entries = fs_.list("/data/lake").value();
    return static_cast<size_t>(std::ranges::count_if(entries, &FileInfo::is_directory));
  }
  size_t log_objects(const std::string& folder) { return fs_.list(folder + "/_delta_log")->size(); }

  const char* checkpoint_interval_ = "1 hour";
  SimFileSystem fs_;
  LaterClock clock_;
  Metrics metrics_;
  Settings settings_;
  std::unique_ptr<Engines> engines_;
};

TEST_F(LakeTablesTest, ADroppedTableGoesWhenItsLastReaderHasGone) {
  ask("CREATE TABLE t AS SELECT * FROM range(10) r(n)");
  ask("CREATE TABLE other AS SELECT 1 AS n");
  auto folder = folder_of("t");
  auto reader = engines_->database().session().value();
  ASSERT_TRUE(query(*reader, "BEGIN"));
  ASSERT_EQ(query(*reader, "SELECT count(*) FROM t").value(), Texts{"10"});
  ask("DROP TABLE t");
  follow();
  maintain();
  EXPECT_TRUE(fs_.exists(folder + "/_delta_log"));
  EXPECT_EQ(query(*reader, "SELECT sum(n) FROM t").value(), Texts{"45"});
  ASSERT_TRUE(query(*reader, "COMMIT"));
  EXPECT_FALSE(query(*reader, "SELECT sum(n) FROM t"));
  reader.reset();
  maintain();
  EXPECT_FALSE(fs_.exists(folder));
  EXPECT_EQ(folders(), 1u);
  ask("CREATE TABLE t AS SELECT 2 AS n");
  EXPECT_NE(folder_of("t"), folder);
  EXPECT_EQ(ask("SELECT n FROM t UNION ALL SELECT n FROM other ORDER BY n"), (Texts{"1", "2"}));
}

TEST_F(LakeTablesTest, ACrashBetweenTheDropAndTheRemovalIsMadeGoodByTheNextStart) {
  ask("CREATE TABLE t AS SELECT 1 AS n");
  ask("CREATE TABLE kept AS SELECT 7 AS n");
  ask("DROP TABLE t");
  crash();
  ASSERT_TRUE(fs_.make_dirs("/data/lake/notes"));
  EXPECT_EQ(folders(), 3u);
  EXPECT_EQ(ask("SELECT n FROM kept"), Texts{"7"});
  ask("CREATE TABLE t AS SELECT 2 AS n");
  maintain();
  EXPECT_EQ(folders(), 3u) << "kept, t and what is not ours";
  EXPECT_TRUE(fs_.exists("/data/lake/notes"));
  crash();
  EXPECT_EQ(ask("SELECT n FROM kept UNION ALL SELECT n FROM t ORDER BY n"), (Texts{"2", "7"}));
}

TEST_F(LakeTablesTest, TheFolderOfATableThatAUserPlacedStays) {
  auto instance = duck::Instance::open(fs_, {}).value();
  LakeTables tables(fs_, *instance, clock_, "/data/lake");
  const data::Schema schema{.columns = {{.id = 1, .name = "id", .type = "BIGINT"}}};
  catalog::Object object{.id = ObjectId(77), .schema = "public", .name = "placed"};
  object.definition = catalog::TableDefinition{.schema = schema, .location = "/elsewhere/t"};
  catalog::Object managed{.id = ObjectId(78), .schema = "public", .name = "managed"};
  managed.definition = catalog::TableDefinition{.schema = schema, .location = "/data/lake/78"};
  for (const auto& each : {object, managed}) {
    ASSERT_TRUE(lake::Table::create(lake::make_local_store(fs_, each.table().location), *instance,
                                    clock_, {.schema = schema}));
    ASSERT_TRUE(tables.table(each).has_value());
    auto dropped = std::make_shared<const catalog::Object>(each);
    ASSERT_TRUE(tables.watcher().apply({{.before = dropped, .after = nullptr}}, EntryNumber(1)));
  }
  EXPECT_EQ(tables.table(managed).error().code(), Code::not_found) << "it was dropped";
  tables.clean(*engines_->catalog().snapshot(),
               [](const catalog::Object&) { return Result<lake::Needs>(lake::Needs()); });
  EXPECT_FALSE(fs_.exists("/data/lake/78"));
  EXPECT_TRUE(fs_.exists("/elsewhere/t/_delta_log"));
}

TEST_F(LakeTablesTest, WhatAStartRefersToStaysWhenTheLogIsCleaned) {
  ask("CREATE TABLE t (n BIGINT)");
  ask("CREATE MATERIALIZED VIEW v AS SELECT count(*) AS c, sum(n) AS s FROM t");
  for (int n = 1; n <= 12; ++n) ask("INSERT INTO t VALUES (" + std::to_string(n) + ")");
  follow();
  ASSERT_TRUE(engines_->stream().checkpoint());
  for (int n = 13; n <= 35; ++n) ask("INSERT INTO t VALUES (" + std::to_string(n) + ")");
  follow();
  clock_.advance_days(40);
  size_t before = log_objects(folder_of("t"));
  maintain();
  EXPECT_EQ(log_objects(folder_of("t")), before - 10) << "the checkpoint of views refers to 12";
  crash();
  follow();
  EXPECT_EQ(ask("SELECT c || ' ' || s FROM v"), Texts{"35 630"});
  EXPECT_EQ(ask("SELECT count(*) FROM t"), Texts{"35"});
  ASSERT_TRUE(engines_->stream().checkpoint());
  clock_.advance_days(1);
  maintain();
  EXPECT_LE(log_objects(folder_of("t")), before - 30);
  crash();
  follow();
  EXPECT_EQ(ask("SELECT c || ' ' || s FROM v"), Texts{"35 630"});
  ask("INSERT INTO t VALUES (36)");
  follow();
  EXPECT_EQ(ask("SELECT c || ' ' || s FROM v"), Texts{"36 666"});
}

TEST_F(LakeTablesTest, WhatACrashLeftGoes) {
  ask("CREATE TABLE t (n BIGINT)");
  ask("INSERT INTO t VALUES (1)");
  auto folder = folder_of("t");
  const auto staged = folder + "/.part-00000-x.0123456789abcdef.tmp";
  const auto lost = folder + "/part-00000-00000000-0000-4000-8000-000000000000.c000.zstd.parquet";
  for (const auto& path : {staged, lost})
    ASSERT_TRUE(write_file_atomically(fs_, path, as_bytes(std::string_view("x"))));
  crash();
  maintain();
  EXPECT_FALSE(fs_.exists(staged));
  EXPECT_TRUE(fs_.exists(lost)) << "perhaps another program writes it";
  clock_.advance_days(8);
  maintain();
  EXPECT_FALSE(fs_.exists(lost));
  EXPECT_EQ(ask("SELECT n FROM t"), Texts{"1"});
}

/// Tables come and go while the power fails: what is acknowledged is there, and in the end no
/// folder is left that no table has.
TEST_F(LakeTablesTest, PowerCutsAnywhereLeaveNothingAndTakeNothing) {
  std::mt19937_64 random(4711);
  std::map<std::string, bool> tables;  // Name -> surely there (true) or surely not.
  for (int cut = 0; cut < 12; ++cut) {
    fs_.die_after(1 + random() % 400);
    for (int step = 0; step < 12 && !fs_.dead(); ++step) {
      std::string name = "t" + std::to_string(random() % 4);
      auto known = tables.find(name);
      bool create = known == tables.end() || !known->second;
      auto done = try_query(create ? fmt::format("CREATE TABLE {0} AS SELECT '{0}' AS n", name)
                                   : fmt::format("DROP TABLE {}", name));
      if (done.has_value()) {
        tables[name] = create;
      } else {
        tables.erase(name);  // Either.
      }
      if (random() % 3 == 0) engines_->maintain().ignore("the power may be gone");
    }
    engines_.reset();
    fs_.cut_power();
    open();
    auto snapshot = engines_->catalog().snapshot();
    for (int i = 0; i < 4; ++i) {
      std::string name = "t" + std::to_string(i);
      bool there = snapshot->find("public", name) != nullptr;
      auto known = tables.find(name);
      if (known != tables.end()) ASSERT_EQ(there, known->second) << name << " after cut " << cut;
      if (there) ASSERT_EQ(ask("SELECT n FROM " + name), Texts{name}) << "after cut " << cut;
      tables[name] = there;
    }
    maintain();
    size_t count = 0;
    for (const auto& object : snapshot->all()) count += object->kind() == catalog::Kind::table;
    ASSERT_EQ(folders(), count) << "after cut " << cut;
  }
}

}  // namespace
}  // namespace ziwa::app
