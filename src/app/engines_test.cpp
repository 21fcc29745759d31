// A start: on a data directory that was moved since an older Ziwa wrote it, and on a full disk.
#include "app/engines.h"

#include "base/log.h"
#include "base/sim_file.h"

#include <gtest/gtest.h>

namespace ziwa::app {
namespace {

class EnginesTest : public testing::Test {
 protected:
  void SetUp() override {
    set_log_level(LogLevel::off);
    for (auto [name, value] : {std::pair("state.cache.bytes", "1 MiB"),
                               {"state.write_buffer.bytes", "1 MiB"},
                               {"sql.memory", "64 MiB"}}) {
      ASSERT_TRUE(settings_.set(name, value, "test").has_value());
    }
  }
  void TearDown() override {
    engines_.reset();
    set_log_level(LogLevel::info);
  }
  Status open() {
    engines_.reset();
    engines_ =
        TRY(Engines::open({.fs = fs_, .clock = clock_, .metrics = metrics_, .settings = settings_},
                          {.data_directory = "/data"}));
    return {};
  }
  /// The first value, or the error.
  std::string ask(const std::string& sql) {
    auto first = [&]() -> Result<std::string> {
      auto session = TRY(engines_->database().session());
      auto rows = TRY(session->query(sql));
      std::string value;
      while (auto* chunk = TRY(rows->next())) {
        if (value.empty() && chunk->size() > 0) value = chunk->GetValue(0, 0).ToString();
      }
      return value;
    }();
    return first ? *first : first.error().to_string();
  }
  /// As a Ziwa of before wrote it: with the absolute path that the table had when it was made.
  void write_place(ObjectId table, const std::string& place) {
    auto& meta = engines_->meta();
    const std::string key = fmt::format("object/{:016x}", table.value);
    std::string json = meta.get(meta.table("catalog"), key).value().value();
    const std::string nowhere = "\"location\":\"\"";
    ASSERT_NE(json.find(nowhere), std::string::npos) << json;
    json.replace(json.find(nowhere), nowhere.size(), fmt::format("\"location\":\"{}\"", place));
    state::WriteBatch batch;
    batch.put(meta.table("catalog"), key, json);
    ASSERT_TRUE(meta.write(batch, true));
  }

  SimFileSystem fs_;
  SystemClock clock_;
  Metrics metrics_;
  Settings settings_;
  std::unique_ptr<Engines> engines_;
};

TEST_F(EnginesTest, AnOlderCatalogOpensWhereverTheDataDirectoryIsNow) {
  ASSERT_TRUE(open());
  ask("CREATE TABLE t AS SELECT 7 AS n");
  const ObjectId table = engines_->catalog().snapshot()->find("public", "t")->id;
  write_place(table, fmt::format("/before/lake/{}", table));
  ASSERT_TRUE(engines_->stop());
  ASSERT_TRUE(open());
  EXPECT_EQ(ask("SELECT n FROM t"), "7");
  EXPECT_EQ(ask("SELECT location FROM ziwa.tables"), fmt::format("/data/lake/{}", table));
  ask("INSERT INTO t VALUES (8)");
  EXPECT_EQ(ask("SELECT sum(n) FROM t"), "15");
  EXPECT_FALSE(fs_.exists("/before"));
  ask("DROP TABLE t");
  ASSERT_TRUE(engines_->maintain());
  EXPECT_FALSE(fs_.exists(fmt::format("/data/lake/{}", table))) << "it is a managed table";
}

TEST_F(EnginesTest, AViewThatFiltersByItsWindowIsThereAfterAStart) {
  ASSERT_TRUE(open());
  ask("CREATE TOPIC e (id BIGINT, ts TIMESTAMP)");
  ask("CREATE MATERIALIZED VIEW v AS SELECT id, window_start FROM tumble(e, ts, INTERVAL 1 HOUR) "
      "WHERE window_start > TIMESTAMP '2024-01-01 01:00:00'");
  ask("INSERT INTO e VALUES (1, '2024-01-01 01:30:00'), (2, '2024-01-01 02:30:00')");
  EXPECT_EQ(ask("SELECT id FROM v"), "2");
  ASSERT_TRUE(engines_->stop());
  ASSERT_TRUE(open());
  EXPECT_EQ(ask("SELECT state FROM ziwa.views"), "running");
  EXPECT_EQ(ask("SELECT id FROM v"), "2");
}

/// Each part is whole by itself; what one does not know would be removed from the others.
TEST_F(EnginesTest, PartsOfAnotherDirectoryOrPlaceAreRefusedAndNothingIsChanged) {
  ASSERT_TRUE(open());
  ask("CREATE TABLE t AS SELECT 7 AS n");
  ask("CREATE TOPIC e (a INT)");
  ask("INSERT INTO e VALUES (1)");
  engines_.reset();
  auto other =
      Engines::open({.fs = fs_, .clock = clock_, .metrics = metrics_, .settings = settings_},
                    {.data_directory = "/other"});
  ASSERT_TRUE(other.has_value()) << other.error().to_string();
  other->reset();
  auto exchange = [&](const std::string& a, const std::string& b) {
    ASSERT_TRUE(fs_.rename(a, "/aside"));
    ASSERT_TRUE(fs_.rename(b, a));
    ASSERT_TRUE(fs_.rename("/aside", b));
  };
  const std::pair<std::string, std::string> pairs[] = {
      {"/data/meta", "/data/state"},       {"/data/meta", "/other/meta"},
      {"/data/state", "/other/state"},     {"/data/log", "/other/log"},
      {"/data/journal", "/other/journal"}, {"/data/lake", "/other/lake"}};
  for (const auto& [a, b] : pairs) {
    exchange(a, b);
    for (int i = 0; i < 2; ++i) {
      auto opened = open();
      ASSERT_FALSE(opened) << a << " and " << b;
      EXPECT_EQ(opened.error().code(), Code::corrupt) << opened.error().to_string();
      EXPECT_NE(opened.error().hint(), "");
    }
    exchange(a, b);
  }
  Status opened = open();
  ASSERT_TRUE(opened) << opened.error().to_string();
  EXPECT_EQ(ask("SELECT n FROM t"), "7");
  EXPECT_EQ(ask("SELECT a FROM e"), "1");
}

TEST_F(EnginesTest, AStartWithoutRoomSaysWhatToDo) {
  ASSERT_TRUE(open());
  ask("CREATE TABLE t AS SELECT 7 AS n");
  ASSERT_TRUE(engines_->stop());
  engines_.reset();
  fs_.set_capacity(1);
  auto opened = open();
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().cause(), Cause::disk_full) << opened.error().to_string();
  EXPECT_NE(opened.error().hint().find("free some space"), std::string::npos)
      << opened.error().to_string();
  fs_.set_capacity(0);
  ASSERT_TRUE(open());
  EXPECT_EQ(ask("SELECT n FROM t"), "7");
}

}  // namespace
}  // namespace ziwa::app
