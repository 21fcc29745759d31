#include "stream/testing/small_plans.h"
#include "stream/testing/stream_rig.h"

#include <fmt/format.h>

#include <random>

// Sinks that cannot write for a while, or for long: what is kept for them, and that nobody waits.
namespace ziwa::stream {
namespace {

using testing::Bag;
using testing::copy_of;
using testing::counts;
using testing::kColumns;
using testing::StreamRig;

/// A topic, a view that copies it, one that counts, and a sink of the topic or of the copy.
struct Sinks {
  explicit Sinks(bool of_view, uint64_t seed = 1, Engine::Options options = {}) : rig(seed) {
    rig.options = options;
    rig.patient = false;
    rig.open();
    topic = rig.create_topic({.columns = kColumns, .partitions = 1});
    copy = rig.create_view("copy", copy_of(topic));
    counted = rig.create_view("counted", counts(topic));
    table = rig.create_table("out", kColumns);
    sink = rig.create_sink("s", of_view ? copy : topic, table);
    rig.settle();
  }
  void produce(int rows = 1) {
    append(rows);
    rig.settle();
  }
  void append(int rows) {
    std::vector<std::string> records;
    for (int i = 0; i < rows; ++i) {
      records.push_back(fmt::format(R"({{"id":{},"k":"a"}})", ++produced));
      ++wanted[fmt::format("{}|a", produced)];
    }
    rig.produce(topic, 0, records);
  }
  void finish() {
    for (int i = 0; i < 2; ++i) {
      auto finished = rig.core().finish_sinks(true);
      ASSERT_TRUE(finished.has_value()) << finished.error().to_string();
      rig.checkpoint();
      rig.settle();
    }
  }
  int kept_rows() {
    auto cursor = rig.store().cursor(rig.store().table("state"));
    const std::string prefix = id_prefix(sink);
    int count = 0;
    for (cursor->seek(prefix); cursor->valid() && cursor->key().starts_with(prefix); cursor->next())
      ++count;
    return count;
  }
  void wait(int seconds = 100) {
    rig.clock().advance(std::chrono::seconds(seconds));
    rig.core().retry_broken();
    rig.settle();
  }
  void fail(std::string_view call, Code code = Code::exhausted) {
    rig.fault = [this, call, code](std::string_view asked) -> Status {
      if (asked != call) return {};
      ++faults;
      return Error(code, "the table fails to order");
    };
  }
  void restart() {
    rig.crash();
    rig.open();
    rig.settle();
  }
  std::string state() { return rig.state_of(sink); }
  std::string error() { return rig.error_of(sink); }
  bool can_delete(int before) {
    return rig.log().delete_records({topic, 0}, Offset(before)).has_value();
  }
  /// All rows are in the table, each once, and all is well.
  void expect_whole() {
    EXPECT_EQ(state(), "running");
    EXPECT_EQ(error(), "");
    EXPECT_EQ(rig.table(table), wanted);
    ASSERT_TRUE(rig.journal().sync().has_value());
    rig.settle();  // With what entered of the table's versions.
    EXPECT_TRUE(rig.core().sinks_hold(rig.core().epoch()));
    EXPECT_FALSE(rig.core().next_retry_ns().has_value());
  }

  StreamRig rig;
  ObjectId topic, copy, counted, table, sink;
  int produced = 0;
  int faults = 0;
  Bag wanted;
};

TEST(SinkCare, ATableThatCannotBeOpenedAtStartLosesNoRow) {
  for (bool of_view : {false, true}) {
    SCOPED_TRACE(of_view);
    Sinks t(of_view);
    t.produce();
    t.finish();
    EXPECT_EQ(t.rig.table(t.table), t.wanted);
    t.produce();
    t.rig.checkpoint();
    t.fail("open", Code::corrupt);
    for (int start = 0; start < 2; ++start) {
      t.restart();
      t.produce();
      t.rig.checkpoint();
      EXPECT_EQ(t.state(), of_view ? "retrying" : "backfilling");
      EXPECT_THAT(t.error(), ::testing::HasSubstr("its table cannot be opened"));
      EXPECT_EQ(t.rig.view(t.counted), (Bag{{fmt::format("a|{}", t.produced), 1}}));
      EXPECT_EQ(t.can_delete(1), true) << "that one is in a file";
      EXPECT_EQ(t.can_delete(2), of_view) << "it is kept for the sink of a topic";
    }
    t.rig.fault = {};
    t.wait();
    t.finish();
    t.expect_whole();
    EXPECT_TRUE(t.can_delete(t.produced));
  }
}

TEST(SinkCare, FilesThatWaitForTheirTableAreCommittedWhenItIsOpen) {
  for (bool of_view : {false, true}) {
    SCOPED_TRACE(of_view);
    Sinks t(of_view);
    t.produce();
    t.fail("commit", Code::io);
    t.finish();
    EXPECT_EQ(t.state(), "retrying");
    t.fail("open", Code::io);
    t.restart();
    t.finish();
    EXPECT_TRUE(t.rig.table(t.table).empty());
    t.rig.fault = {};
    t.wait();
    t.finish();
    t.expect_whole();
  }
}

TEST(SinkCare, ASinkIsMadeWhoseTableCannotBeOpened) {
  Sinks t(false);
  t.fail("open", Code::not_found);
  auto other = t.rig.create_sink("other", t.copy, t.table);
  t.produce();
  EXPECT_EQ(t.rig.state_of(other), "backfilling");
  EXPECT_THAT(t.rig.error_of(other), ::testing::HasSubstr("its table cannot be opened"));
  t.rig.fault = {};
  t.wait();
  t.finish();
  EXPECT_EQ(t.rig.state_of(other), "running");
  EXPECT_EQ(t.rig.table(t.table), (Bag{{"1|a", 2}}));
}

TEST(SinkCare, AViewsSinkThatCannotWriteHoldsUpNobody) {
  for (std::string_view call : {"write", "finish"}) {
    for (bool restarts : {false, true}) {
      SCOPED_TRACE(fmt::format("{} {}", call, restarts));
      Sinks t(true);
      t.produce();
      t.finish();
      t.fail(call);
      t.produce(10);
      for (int turn = 0; turn < 5; ++turn) t.finish();
      EXPECT_EQ(t.faults, 1) << "it does not try again at once";
      EXPECT_EQ(t.state(), "retrying");
      EXPECT_THAT(t.error(), ::testing::HasSubstr("it tries again every 1 s"));
      ASSERT_TRUE(t.rig.core().next_retry_ns().has_value());
      t.wait(1);
      t.finish();
      EXPECT_THAT(t.error(), ::testing::HasSubstr("it tries again every 2 s"));
      if (restarts) {
        t.restart();
        EXPECT_EQ(t.state(), call == "write" ? "retrying" : "running");
      }
      t.produce(10);
      t.finish();
      EXPECT_EQ(t.rig.view(t.counted), (Bag{{"a|21", 1}}));
      EXPECT_FALSE(t.rig.core().sinks_hold(t.rig.core().epoch()));
      t.rig.fault = {};
      t.wait();
      t.finish();
      t.expect_whole();
    }
  }
}

TEST(SinkCare, KeptRowsAreWrittenSomeAtATime) {
  Sinks t(true, 1, {.backfill_rows = 10});
  t.rig.checkpoint();
  t.fail("open");
  t.restart();
  t.produce(45);
  t.rig.checkpoint();
  t.produce(10);
  t.rig.fault = {};
  t.rig.clock().advance(std::chrono::seconds(100));
  t.rig.core().retry_broken();
  int slices = 0;
  while (*t.rig.core().advance_backfills()) {
    if (++slices != 2) continue;
    t.append(5);
    ASSERT_TRUE(t.rig.core().step(1'000).has_value());
    t.rig.checkpoint();
  }
  EXPECT_GE(slices, 5);
  t.finish();
  t.expect_whole();
}

TEST(SinkCare, ARowThatWasKeptAndIsGoneIsAnError) {
  Sinks t(true);
  t.fail("write");
  t.produce(3);
  t.rig.checkpoint();
  state::WriteBatch batch;
  auto cursor = t.rig.store().cursor(t.rig.store().table("state"));
  cursor->seek(id_prefix(t.sink));
  ASSERT_TRUE(cursor->valid());
  cursor->next();
  batch.remove(t.rig.store().table("state"), cursor->key());
  ASSERT_TRUE(t.rig.store().write(batch, true).has_value());
  t.rig.fault = {};
  t.wait();
  EXPECT_EQ(t.state(), "failed");
  EXPECT_THAT(t.error(), ::testing::HasSubstr("data_lost"));
}

/// Whatever fails, and whenever the power goes: each row once.
TEST(SinkCare, EachRowComesOnceThroughFaultsAndPowerCuts) {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    const bool of_view = seed % 3 != 0;
    SCOPED_TRACE(fmt::format("seed {} {}", seed, of_view));
    Sinks t(of_view, seed, {.backfill_rows = 5});
    std::mt19937_64 random(seed);
    for (int i = 0; i < 60; ++i) {
      constexpr std::string_view kCalls[] = {"open", "write", "finish", "commit", "none"};
      switch (random() % 9) {
        case 0:
          t.restart();
          break;
        case 1:
          t.fail(kCalls[random() % 5], random() % 2 == 0 ? Code::io : Code::exhausted);
          break;
        case 2:
          t.rig.fault = {};
          break;
        case 3:
          t.wait(static_cast<int>(random() % 5));
          break;
        case 4:
          t.rig.checkpoint();
          break;
        case 5:
          t.finish();
          break;
        default:
          t.produce(1 + static_cast<int>(random() % 7));
      }
    }
    t.rig.fault = {};
    t.wait();
    t.finish();
    t.wait();
    t.finish();
    t.expect_whole();
    if (::testing::Test::HasFailure()) break;
  }
}

TEST(SinkCare, WhatIsKeptForTheSinkOfATopicHasALimit) {
  for (bool retains : {false, true}) {
    SCOPED_TRACE(retains);
    Sinks t(false, 1, {.sink_hold_bytes_max = 5'000});
    log::TopicConfig config{.partitions = 1, .segment_bytes = 1'024};
    if (retains) config.retention_bytes = 1'000;
    ASSERT_TRUE(t.rig.log().alter_topic(t.topic, config).has_value());
    auto care = [&] {
      t.rig.checkpoint();
      ASSERT_TRUE(t.rig.log().enforce_retention().has_value());
      t.wait();
    };
    auto start = [&] { return t.rig.log().info({t.topic, 0})->log_start.value; };
    t.fail("open", Code::io);
    t.restart();
    for (int i = 0; i < 20; ++i) t.produce(10);
    care();
    EXPECT_EQ(t.state(), "backfilling") << "some is due to go, and not too much";
    EXPECT_EQ(start(), 0);
    for (int i = 0; i < 200; ++i) t.produce(10);
    care();
    if (!retains) {
      EXPECT_EQ(t.state(), "backfilling") << "nothing is kept for it alone";
      continue;
    }
    EXPECT_EQ(t.state(), "failed");
    EXPECT_THAT(t.error(), ::testing::HasSubstr("data_lost"));
    EXPECT_THAT(t.error(), ::testing::HasSubstr("stream.sink.hold.max is 5000"));
    EXPECT_THAT(t.error(), ::testing::HasSubstr("the table fails to order"));
    care();
    EXPECT_GT(start(), 1'000);
    t.rig.fault = {};
    t.restart();
    EXPECT_EQ(t.state(), "failed");
    EXPECT_THAT(t.error(), ::testing::HasSubstr("data_lost"));
  }
}

TEST(SinkCare, ASinkThatCannotCommitHasTheSameLimit) {
  Sinks t(false, 1, {.sink_hold_bytes_max = 5'000});
  ASSERT_TRUE(
      t.rig.log()
          .alter_topic(t.topic, {.partitions = 1, .retention_bytes = 1'000, .segment_bytes = 1'024})
          .has_value());
  t.produce();
  t.fail("commit");
  t.finish();
  EXPECT_EQ(t.state(), "retrying");
  for (int i = 0; i < 200; ++i) t.produce(10);
  t.rig.checkpoint();
  ASSERT_TRUE(t.rig.log().enforce_retention().has_value());
  t.wait();
  EXPECT_EQ(t.state(), "failed");
  EXPECT_THAT(t.error(), ::testing::HasSubstr("stream.sink.hold.max"));
  t.produce();
  t.rig.checkpoint();
  EXPECT_TRUE(t.can_delete(t.produced));
}

TEST(SinkCare, WhatIsKeptForTheSinkOfAViewHasALimit) {
  Sinks t(true, 1, {.sink_hold_bytes_max = 5'000});
  t.fail("write");
  t.produce(10);
  t.wait();
  EXPECT_EQ(t.state(), "retrying");
  for (int i = 0; i < 100; ++i) t.produce(10);
  t.rig.checkpoint();
  t.wait();
  EXPECT_EQ(t.state(), "failed");
  EXPECT_THAT(t.error(), ::testing::HasSubstr("data_lost"));
  EXPECT_THAT(t.error(), ::testing::HasSubstr("stream.sink.hold.max is 5000"));
  EXPECT_GT(t.kept_rows(), 0);
  t.rig.checkpoint();
  EXPECT_EQ(t.kept_rows(), 0) << "they fill the disk no longer";
  t.produce();
  EXPECT_EQ(t.rig.state_of(t.copy), "running");
  t.rig.fault = {};
  t.restart();
  EXPECT_EQ(t.state(), "failed") << "its rows are gone";
  ASSERT_TRUE(t.rig.drop(t.sink).has_value());
}

}  // namespace
}  // namespace ziwa::stream
