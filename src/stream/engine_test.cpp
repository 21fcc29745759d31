#include "stream/engine.h"

#include "stream/testing/cpu_seconds.h"
#include "stream/testing/small_plans.h"
#include "stream/testing/stream_rig.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <thread>

// The engine with its threads, over real floors and a simulated disk.
namespace ziwa::stream {
namespace {

using testing::Bag;
using testing::counts;
using testing::cpu_seconds;
using testing::kColumns;
using testing::PlanBuilder;
using testing::record;
using testing::StreamRig;

TEST(Engine, AWriterReadsItsWrites) {
  StreamRig rig;
  rig.open(true);
  auto topic = rig.create_topic({.columns = kColumns});
  auto view = rig.create_view("v", counts(topic));
  EXPECT_TRUE(rig.published()->views.contains(view))
      << "CREATE returns when the view covers its entry";
  for (int i = 0; i < 50; ++i) {
    auto entry = rig.produce(topic, i % 2, {record(i, "a")});
    ASSERT_TRUE(rig.engine().wait(entry, 10'000).has_value());
    EXPECT_EQ(rig.view(view), (Bag{{fmt::format("a|{}", i + 1), 1}}));
  }
  auto late = rig.engine().wait(Epoch(1'000'000'000), 10);
  ASSERT_FALSE(late.has_value());
  EXPECT_EQ(late.error().code(), Code::unavailable);
}

TEST(Engine, ReadersSeeWholeStepsWhileItWorks) {
  StreamRig rig;
  rig.options.checkpoint_interval_ms = 20;
  rig.options.step_interval_ms = 1;
  rig.open(true);
  auto topic = rig.create_topic({.columns = kColumns});
  auto keys = rig.create_view("keys", counts(topic));
  PlanBuilder b;
  auto s = b.source(topic, kColumns);
  b.aggregate(s, {}, {{.function = "count_star"}}, {{"n", "BIGINT"}});
  auto total = rig.create_view("total", b.build());
  std::atomic<bool> stop = false;
  std::thread reader([&] {
    while (!stop) {
      auto now = rig.published();
      int64_t sum = 0;
      for (const auto& [row, count] : rig.scan(*now->views.at(keys)->scan())) {
        EXPECT_EQ(count, 1);
        sum += std::stoll(row.substr(row.find('|') + 1));
      }
      EXPECT_EQ(rig.scan(*now->views.at(total)->scan()), (Bag{{std::to_string(sum), 1}}))
          << "one epoch for all views";
    }
  });
  EntryNumber last;
  for (int i = 0; i < 600; ++i) {
    last = rig.produce(topic, i % 2,
                       {record(i, std::string(1, static_cast<char>('a' + i % 7))), record(i, "z")});
  }
  ASSERT_TRUE(rig.engine().wait(last, 20'000).has_value());
  stop = true;
  reader.join();
  EXPECT_EQ(rig.view(total), (Bag{{"1200", 1}}));
}

TEST(Engine, CheckpointCoversWhatIsPublishedAndAStopLosesNothing) {
  StreamRig rig;
  rig.options.checkpoint_interval_ms = 1'000'000;
  rig.open(true);
  auto topic = rig.create_topic({.columns = kColumns});
  auto view = rig.create_view("v", counts(topic));
  auto entry = rig.produce(topic, 0, {record(1, "a")});
  ASSERT_TRUE(rig.engine().wait(entry, 10'000).has_value());
  ASSERT_TRUE(rig.engine().checkpoint().has_value());
  ASSERT_TRUE(rig.log().delete_records({topic, 0}, Offset(1)).has_value());
  entry = rig.produce(topic, 0, {record(2, "b")});
  ASSERT_TRUE(rig.engine().wait(entry, 10'000).has_value());
  ASSERT_TRUE(rig.engine().stop().has_value());
  EXPECT_FALSE(rig.engine().checkpoint().has_value());
  rig.kill();
  rig.open(true);
  EXPECT_EQ(rig.view(view), (Bag{{"a|1", 1}, {"b|1", 1}})) << "served at once";
  auto status = rig.engine().view_status();
  ASSERT_EQ(status.size(), 1u);
  EXPECT_EQ(status[0].state, "running");
  EXPECT_EQ(status[0].rows, 2u);
}

TEST(Engine, FlushPutsEverythingIntoTheTables) {
  StreamRig rig;
  rig.open(true);
  auto topic = rig.create_topic({.columns = kColumns});
  auto table = rig.create_table("history", kColumns);
  rig.create_sink("s", topic, table);
  EntryNumber last;
  for (int i = 0; i < 20; ++i) last = rig.produce(topic, i % 2, {record(i, "a")});
  auto flushed = rig.engine().flush_sinks(last, 20'000);
  ASSERT_TRUE(flushed.has_value()) << flushed.error().to_string();
  EXPECT_EQ(rig.table(table).size(), 20u);
  ASSERT_TRUE(rig.engine().flush_sinks(last, 20'000).has_value());
  auto status = rig.engine().sink_status();
  ASSERT_EQ(status.size(), 1u);
  EXPECT_EQ(status[0].rows, 20u);
  EXPECT_EQ(status[0].state, "running");
  // Whoever waited for it reads it at once.
  EXPECT_EQ(rig.published()->tables.at(table)->version(), status[0].version);
}

TEST(Engine, ValidateRefusesWithoutMakingAnything) {
  StreamRig rig;
  rig.open(true);
  auto topic = rig.create_topic({.columns = kColumns});
  EXPECT_TRUE(rig.engine().validate(counts(topic), *rig.catalog().snapshot()).has_value());
  PlanBuilder b;
  auto s = b.source(topic, kColumns);
  b.aggregate(s, {b.column(s, 1)}, {{.function = "list", .arguments = {b.column(s, 0)}}},
              {{"k", "VARCHAR"}, {"m", "BIGINT[]"}});
  auto refused = rig.engine().validate(b.build({0}), *rig.catalog().snapshot());
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code(), Code::unsupported);
  EXPECT_TRUE(rig.engine().view_status().empty());
}

TEST(Engine, SleepsWhenNothingComes) {
  StreamRig rig;
  rig.open(true);
  auto topic = rig.create_topic({.columns = kColumns});
  rig.create_view("v", counts(topic));
  auto entry = rig.produce(topic, 0, {record(1, "a")});
  ASSERT_TRUE(rig.engine().wait(entry, 10'000).has_value());
  ASSERT_TRUE(rig.engine().checkpoint().has_value());
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  double before = cpu_seconds();
  std::this_thread::sleep_for(std::chrono::seconds(1));
  EXPECT_LT(cpu_seconds() - before, 0.01);
}

TEST(Engine, AFullDiskHoldsUpCheckpointsUntilThereIsRoom) {
  StreamRig rig;
  rig.options.checkpoint_interval_ms = 10;
  rig.open(true);
  auto topic = rig.create_topic({.columns = kColumns});
  auto view = rig.create_view("v", counts(topic));
  auto entry = rig.produce(topic, 0, {record(1, "a")});
  ASSERT_TRUE(rig.engine().wait(entry, 10'000).has_value());
  rig.fs().set_capacity(1);
  auto refused = rig.engine().checkpoint();
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code(), Code::exhausted);
  EXPECT_EQ(refused.error().cause(), Cause::disk_full);
  EXPECT_EQ(rig.view(view), (Bag{{"a|1", 1}})) << "readers keep what was published";
  ASSERT_EQ(rig.engine().view_status().size(), 1u);
  EXPECT_NE(rig.engine().view_status()[0].error, "") << "it says what it waits for";
  rig.fs().set_capacity(0);
  auto taken = rig.engine().checkpoint();
  ASSERT_TRUE(taken.has_value()) << taken.error().to_string();
  EXPECT_EQ(rig.engine().view_status()[0].error, "");
  rig.kill();
  rig.open(true);
  ASSERT_TRUE(rig.engine().wait(entry, 10'000).has_value());
  EXPECT_EQ(rig.view(view), (Bag{{"a|1", 1}}));
}

/// The store refuses writes for want of room, as when a checkpoint is too large for what is left.
class WithoutRoom : public ::testing::Test {
 protected:
  WithoutRoom() {
    rig_.store_fault = [this](std::string_view call) -> Status {
      if (call != "write" || !full_) return {};
      if (slow_) std::this_thread::sleep_for(std::chrono::milliseconds(400));
      ++refused_;
      return Error(Code::exhausted, "the disk is full").because(Cause::disk_full);
    };
  }
  /// A view over two records, of which a checkpoint has the first.
  void start() {
    rig_.open(true);
    topic_ = rig_.create_topic({.columns = kColumns});
    view_ = rig_.create_view("v", counts(topic_));
    produce(1, "a");
    ASSERT_TRUE(rig_.engine().checkpoint().has_value());
    full_ = true;
    produce(2, "a");
  }
  void produce(int64_t id, const std::string& group) {
    auto entry = rig_.produce(topic_, 0, {record(id, group)});
    Status seen = rig_.engine().wait(entry, 10'000);
    ASSERT_TRUE(seen.has_value()) << seen.error().to_string();
  }
  std::string trouble() { return rig_.engine().view_status().at(0).error; }
  void expect_no_room(const Status& status) {
    ASSERT_FALSE(status.has_value());
    EXPECT_EQ(status.error().code(), Code::exhausted) << status.error().to_string();
    EXPECT_EQ(status.error().cause(), Cause::disk_full);
  }

  StreamRig rig_;
  std::atomic<bool> full_ = false;
  std::atomic<int> refused_ = 0;
  std::atomic<bool> slow_ = false;  ///< A disk that takes its time to say so.
  ObjectId topic_;
  ObjectId view_;
};

TEST_F(WithoutRoom, ViewsGoOnAndTheCheckpointIsWrittenLater) {
  start();
  expect_no_room(rig_.engine().checkpoint());
  produce(3, "b");
  expect_no_room(rig_.engine().checkpoint());
  produce(4, "b");
  EXPECT_EQ(rig_.view(view_), (Bag{{"a|2", 1}, {"b|2", 1}}));
  EXPECT_THAT(trouble(), ::testing::HasSubstr("the disk is full"));
  full_ = false;
  ASSERT_TRUE(rig_.engine().checkpoint().has_value());
  EXPECT_EQ(trouble(), "");
  rig_.crash();
  rig_.open(true);
  EXPECT_EQ(rig_.view(view_), (Bag{{"a|2", 1}, {"b|2", 1}}));
}

TEST_F(WithoutRoom, TheCheckpointIsWrittenByItselfWhenThereIsRoom) {
  rig_.options.checkpoint_interval_ms = 10;
  start();
  while (refused_ < 3) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  full_ = false;
  const Epoch wanted = rig_.engine().published()->epoch;
  auto saved = [&] { return rig_.engine().view_status()[0].checkpoint >= wanted; };
  for (int tries = 0; !saved() && tries < 1'000; ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_TRUE(saved());
}

TEST_F(WithoutRoom, AnEngineThatWaitsForRoomSleeps) {
  rig_.options.checkpoint_interval_ms = 10;
  start();
  while (refused_ < 1) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  double before = cpu_seconds();
  std::this_thread::sleep_for(std::chrono::seconds(1));
  EXPECT_LT(cpu_seconds() - before, 0.05);
}

TEST_F(WithoutRoom, WhatIsKeptInMemoryHasALimit) {
  rig_.options.unsaved_bytes_max = 1;
  start();
  expect_no_room(rig_.engine().checkpoint());
  auto entry = rig_.produce(topic_, 0, {record(3, "b")});
  expect_no_room(rig_.engine().wait(entry, 60'000));
  expect_no_room(rig_.engine().room_to_write());
  EXPECT_EQ(rig_.view(view_), (Bag{{"a|2", 1}})) << "what was published stays";
  slow_ = true;
  std::thread asks([&] { expect_no_room(rig_.engine().checkpoint()); });
  double before = cpu_seconds();
  std::this_thread::sleep_for(std::chrono::seconds(1));
  EXPECT_LT(cpu_seconds() - before, 0.05) << "it sleeps";
  asks.join();
  slow_ = false;
  full_ = false;
  while (!rig_.engine().wait(entry, 10'000)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(rig_.view(view_), (Bag{{"a|2", 1}, {"b|1", 1}}));
}

TEST_F(WithoutRoom, WhatWouldCostMoreIsToldBefore) {
  start();
  EXPECT_TRUE(rig_.engine().room_to_change().has_value());
  expect_no_room(rig_.engine().checkpoint());
  expect_no_room(rig_.engine().room_to_change());
  EXPECT_TRUE(rig_.engine().room_to_write().has_value()) << "views still go on";
  full_ = false;
  ASSERT_TRUE(rig_.engine().checkpoint().has_value());
  EXPECT_TRUE(rig_.engine().room_to_change().has_value());
}

TEST_F(WithoutRoom, ATopicThatIsMadeMeanwhileCostsNothing) {
  start();
  expect_no_room(rig_.engine().checkpoint());
  produce(3, "b");
  const Epoch before = rig_.engine().published()->epoch;
  ObjectId other = rig_.create_topic({.name = "other", .columns = kColumns});
  EXPECT_GE(rig_.engine().published()->epoch, before);
  EXPECT_NE(rig_.engine().published()->catalog->find(other), nullptr);
  const int asked = refused_;
  produce(4, "b");
  EXPECT_EQ(rig_.view(view_), (Bag{{"a|2", 1}, {"b|2", 1}}));
  EXPECT_EQ(rig_.engine().view_status().size(), 1u);
  EXPECT_LE(refused_ - asked, 2) << "the checkpoint was not forced again";
}

TEST_F(WithoutRoom, AStopDoesNotWait) {
  start();
  expect_no_room(rig_.engine().checkpoint());
  ASSERT_TRUE(rig_.engine().stop().has_value());
  full_ = false;
  rig_.kill();
  rig_.open(true);
  ASSERT_TRUE(rig_.engine().wait(rig_.journal().durable(), 10'000).has_value());
  EXPECT_EQ(rig_.view(view_), (Bag{{"a|2", 1}}));
}

/// A change of the catalog needs the state as it is on the disk.
TEST_F(WithoutRoom, AViewThatIsMadeMeanwhileIsThereWhenThereIsRoom) {
  start();
  expect_no_room(rig_.engine().checkpoint());
  auto second = rig_.create_view("w", counts(topic_));
  auto entry = rig_.produce(topic_, 0, {record(3, "b")});
  rig_.fs().set_capacity(1);
  auto begun = std::chrono::steady_clock::now();
  expect_no_room(rig_.engine().wait(entry, 60'000));
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(30)) << "at once";
  expect_no_room(rig_.engine().checkpoint());
  rig_.fs().set_capacity(0);
  full_ = false;
  while (!rig_.engine().wait(entry, 10'000)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  while (rig_.engine().view_status().size() < 2) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(rig_.view(view_), (Bag{{"a|2", 1}, {"b|1", 1}}));
  EXPECT_EQ(rig_.view(second), (Bag{{"a|2", 1}, {"b|1", 1}}));
}

TEST(Engine, SleepsWhileACheckpointTakesLong) {
  StreamRig rig;
  rig.options.checkpoint_interval_ms = 10;
  rig.open(true);
  auto topic = rig.create_topic({.columns = kColumns});
  rig.create_view("v", counts(topic));
  ASSERT_TRUE(rig.engine().checkpoint().has_value());
  std::atomic<int> slow = 1;
  rig.fs().skip_syncs([&](const SyncCall& sync) {
    if (sync.path.starts_with("data/state") && slow.exchange(0) == 1) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1'500));
      slow = -1;
    }
    return false;
  });
  auto entry = rig.produce(topic, 0, {record(1, "a")});
  ASSERT_TRUE(rig.engine().wait(entry, 10'000).has_value());
  while (slow > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  double before = cpu_seconds();
  while (slow == 0) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_LT(cpu_seconds() - before, 0.2);
  rig.fs().skip_syncs({});
}

TEST(Engine, ACheckpointIsNotBegunOnACoreThatHasFailed) {
  std::atomic<int> refusals = 0;
  StreamRig rig;
  rig.options.checkpoint_interval_ms = 1'000'000;
  rig.options.checkpoint_interval_max_ms = 1'000'000;
  rig.store_fault = [&](std::string_view call) -> Status {
    if (call != "write" || refusals == 0) return {};
    --refusals;
    return Error(Code::io, "the disk does not write");
  };
  rig.open(true);
  auto topic = rig.create_topic({.columns = kColumns});
  auto view = rig.create_view("v", counts(topic));
  auto entry = rig.produce(topic, 0, {record(1, "a"), record(2, "a")});
  ASSERT_TRUE(rig.engine().wait(entry, 10'000).has_value());
  ASSERT_TRUE(rig.engine().checkpoint().has_value());
  rig.produce(topic, 0, {record(3, "a")});
  entry = rig.produce(topic, 0, {record(4, "b")});
  ASSERT_TRUE(rig.engine().wait(entry, 10'000).has_value());
  refusals = 1;
  EXPECT_FALSE(rig.engine().checkpoint().has_value());
  entry = rig.produce(topic, 0, {record(5, "a"), record(6, "b")});
  ASSERT_TRUE(rig.engine().wait(entry, 10'000).has_value());
  const Bag wanted = {{"a|4", 1}, {"b|2", 1}};
  EXPECT_EQ(rig.view(view), wanted);
  ASSERT_TRUE(rig.engine().checkpoint().has_value());
  rig.crash();
  rig.open(true);
  EXPECT_EQ(rig.view(view), wanted);
  entry = rig.produce(topic, 0, {record(7, "a")});
  ASSERT_TRUE(rig.engine().wait(entry, 10'000).has_value());
  EXPECT_EQ(rig.view(view), (Bag{{"a|5", 1}, {"b|2", 1}}));
}

TEST(Engine, AStateThatCannotBeReadAtOnceIsReadAgain) {
  StreamRig rig;
  rig.open(true);
  auto topic = rig.create_topic({.columns = kColumns});
  auto view = rig.create_view("v", counts(topic));
  auto entry = rig.produce(topic, 0, {record(1, "a")});
  ASSERT_TRUE(rig.engine().wait(entry, 10'000).has_value());
  ASSERT_TRUE(rig.engine().stop().has_value());
  rig.kill();
  rig.store_fault = [left = 1](std::string_view call) mutable -> Status {
    if (call != "cursor" || left-- <= 0) return {};
    return Error(Code::io, "the disk does not read");
  };
  rig.open(true);
  EXPECT_EQ(rig.view(view), (Bag{{"a|1", 1}}));
}

}  // namespace
}  // namespace ziwa::stream
