#include "base/sim_file.h"
#include "log/testing/packed_batch.h"
#include "log/testing/short_memory.h"
#include "stream/testing/small_plans.h"
#include "stream/testing/stream_rig.h"

#include <fmt/format.h>

#include <future>
#include <thread>

// Where feeds begin and go on: what they hold of the log, the idle marks and records that they have
// seen, and batches that cannot be read.
namespace ziwa::stream {
namespace {

using testing::Bag;
using testing::counts;
using testing::kColumns;
using testing::PlanBuilder;
using testing::record;
using testing::StreamRig;

const PlanBuilder::Columns kTimed = {{"id", "BIGINT"}, {"ts", "TIMESTAMP"}};

Plan windows(ObjectId topic) {
  PlanBuilder b;
  auto s = b.source(topic, kTimed);
  auto w = b.tumble(s, b.column(s, 1), 10'000'000);
  b.aggregate(w, {b.column(w, 2)}, {{.function = "count_star"}},
              {{"window_start", "TIMESTAMP"}, {"n", "BIGINT"}});
  return b.build({0});
}

std::string at_second(int second) {
  return fmt::format(R"({{"id":1,"ts":"2001-01-01 00:{:02}:{:02}"}})", second / 60, second % 60);
}

Bytes batch_of(const std::vector<std::string>& values) {
  std::vector<log::NewRecord> records;
  for (const auto& value : values)
    records.push_back({TimestampMs(0), std::nullopt, as_bytes(value)});
  return log::encode_batch(records);
}

class Feeds : public ::testing::Test {
 protected:
  void SetUp() override { rig_.open(); }
  void append(ObjectId topic, const Bytes& batch) {
    std::promise<Result<log::Appended>> done;
    rig_.log().append({topic, 0}, batch, [&](Result<log::Appended> appended, log::AppendRefusal) {
      done.set_value(std::move(appended));
    });
    auto appended = done.get_future().get();
    ASSERT_TRUE(appended.has_value()) << appended.error().to_string();
  }
  bool can_delete(ObjectId topic, Offset before) {
    return rig_.log().delete_records({topic, 0}, before).has_value();
  }
  /// Offsets of dead letters.
  Bag dead() { return rig_.scan(*rig_.core().dead_letters(), {2}); }
  /// Marks the partitions that were silent for so long as idle.
  void mark_idle(int seconds) {
    rig_.clock().advance(std::chrono::seconds(seconds));
    rig_.core().mark_idle();
    ASSERT_TRUE(rig_.journal().sync().has_value());
    rig_.settle();
  }

  StreamRig rig_;
};

TEST_F(Feeds, ABackfillHoldsItsRecordsUntilACheckpointHasItsViews) {
  auto topic = rig_.create_topic({.columns = kColumns, .partitions = 1});
  rig_.produce(topic, 0, {record(1), record(2)});
  auto first = rig_.create_view("first", counts(topic));
  rig_.settle();
  EXPECT_EQ(rig_.view(first), (Bag{{"a|2", 1}}));
  EXPECT_FALSE(can_delete(topic, Offset(1))) << "after a crash it must be made anew";
  rig_.checkpoint();
  auto second = rig_.create_view("second", counts(topic));
  rig_.settle();
  EXPECT_FALSE(can_delete(topic, Offset(1))) << "the topic's feed is there already";
  rig_.crash();
  rig_.open();
  rig_.settle();
  for (auto view : {first, second}) EXPECT_EQ(rig_.view(view), (Bag{{"a|2", 1}}));
  rig_.checkpoint();
  EXPECT_TRUE(can_delete(topic, Offset(2)));
  rig_.crash();
  rig_.open();
  rig_.settle();
  for (auto view : {first, second}) EXPECT_EQ(rig_.view(view), (Bag{{"a|2", 1}}));
}

TEST_F(Feeds, ADropBeforeTheFirstCheckpointLetsGo) {
  auto topic = rig_.create_topic({.columns = kColumns, .partitions = 1});
  rig_.produce(topic, 0, {record(1)});
  auto view = rig_.create_view("v", counts(topic));
  rig_.settle();
  EXPECT_FALSE(can_delete(topic, Offset(1)));
  ASSERT_TRUE(rig_.drop(view).has_value());
  EXPECT_TRUE(can_delete(topic, Offset(1))) << "also when a full disk refuses checkpoints";
}

TEST_F(Feeds, AViewThatJoinsWhileACheckpointIsWrittenWaitsForTheNext) {
  auto topic = rig_.create_topic({.columns = kColumns, .partitions = 1});
  rig_.produce(topic, 0, {record(1)});
  auto checkpoint = rig_.core().begin_checkpoint();
  ASSERT_TRUE(checkpoint.has_value());
  rig_.core().write_checkpoint(**checkpoint);
  // The catalog changes between checkpoints; a backfill that is there goes on during one.
  ASSERT_TRUE(rig_.core().end_checkpoint(**checkpoint).has_value());
  rig_.create_view("v", counts(topic));
  checkpoint = rig_.core().begin_checkpoint();
  ASSERT_TRUE(checkpoint.has_value());
  rig_.settle();
  rig_.core().write_checkpoint(**checkpoint);
  ASSERT_TRUE(rig_.core().end_checkpoint(**checkpoint).has_value());
  EXPECT_FALSE(can_delete(topic, Offset(1)));
  rig_.checkpoint();
  EXPECT_TRUE(can_delete(topic, Offset(1)));
}

TEST_F(Feeds, AViewBeginsWhereRetentionLetsIt) {
  auto topic = rig_.create_topic({.columns = kColumns, .partitions = 1});
  rig_.produce(topic, 0, {record(1), record(2)});
  auto view = rig_.create_view("v", counts(topic));
  rig_.settle();
  auto object = rig_.catalog().snapshot()->find(view);
  ASSERT_TRUE(rig_.core().change({{.before = object, .after = nullptr}}).has_value());
  // The view comes while the entry that moves the log start is on its way to the disk.
  std::future<bool> made;
  rig_.fs().skip_syncs([&](const SyncCall& sync) {
    if (made.valid() || sync.path.find("journal") == std::string::npos) return false;
    made = std::async(std::launch::async, [&] {
      return rig_.core().change({{.before = nullptr, .after = object}}).has_value();
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    return false;
  });
  EXPECT_TRUE(can_delete(topic, Offset(1)));
  rig_.fs().skip_syncs({});
  ASSERT_TRUE(made.valid());
  EXPECT_TRUE(made.get());
  rig_.settle();
  EXPECT_EQ(rig_.state_of(view), "running") << rig_.error_of(view);
  EXPECT_EQ(rig_.view(view), (Bag{{"a|1", 1}}));
}

/// A sink's feed is saved after a mark and a record that came after it: read again, the mark must
/// not be heard once more.
TEST_F(Feeds, MarksThatASavedFeedHasSeenAreNotAppliedAgain) {
  auto topic = rig_.create_topic({.columns = kTimed, .watermark = "ts", .idle_timeout_ms = 10'000});
  auto table = rig_.create_table("out", kTimed);
  rig_.create_sink("s", topic, table);
  rig_.settle();
  rig_.produce(topic, 0, {at_second(50)});
  rig_.settle();
  mark_idle(60);
  rig_.produce(topic, 0, {at_second(100)});
  rig_.produce(topic, 1, {at_second(100)});
  rig_.settle();
  ASSERT_TRUE(rig_.core().finish_sinks(true).has_value());
  rig_.checkpoint();
  rig_.settle();
  rig_.checkpoint();
  rig_.crash();
  rig_.open();
  rig_.produce(topic, 0, {at_second(1'000)});
  rig_.settle();
  auto view = rig_.create_view("v", windows(topic));
  rig_.settle();
  rig_.produce(topic, 1, {at_second(500)});
  rig_.settle();
  EXPECT_TRUE(rig_.scan(*rig_.published()->late_rows.at(view)->scan()).empty())
      << "partition 1 stands at second 100";
  EXPECT_EQ(rig_.view(view)["2001-01-01 00:08:20|1"], 1);
}

TEST_F(Feeds, APositionOfAnEarlierVersionEndsAtTheEntryOfItsLastRecord) {
  auto topic = rig_.create_topic({.columns = kColumns, .partitions = 2});
  rig_.produce(topic, 0, {record(1)});
  auto entry = rig_.produce(topic, 1, {record(2)});
  auto object = rig_.catalog().snapshot()->find(topic);
  auto feed = *TopicFeed::create(*object, rig_.log(), {});
  feed->seek(0, Offset(1));
  feed->seek(1, Offset(1));
  feed->set_last_entry(entry.next());
  ByteWriter saved;
  feed->save(saved);
  for (bool old : {false, true}) {
    auto bytes = saved.view();
    ByteReader in(old ? bytes.first(bytes.size() - 1) : bytes);
    auto again = *TopicFeed::create(*object, rig_.log(), {});
    ASSERT_TRUE(again->load(in).has_value());
    EXPECT_EQ(again->position(1), Offset(1));
    EXPECT_EQ(again->last_entry(), old ? entry : entry.next());
  }
}

TEST_F(Feeds, AShortageOfMemoryMakesNoDeadLetters) {
  auto topic = rig_.create_topic({.columns = kColumns, .partitions = 1});
  auto view = rig_.create_view("v", counts(topic));
  rig_.settle();
  rig_.checkpoint();
  append(topic, log::testing::as_zstd(batch_of({record(1), record(2)})));
  std::thread([&] {
    log::testing::fail_decompressors(1);
    auto done = rig_.try_settle();
    ASSERT_FALSE(done.has_value());
    EXPECT_EQ(done.error().code(), Code::exhausted);
    rig_.reopen_core();
    rig_.settle();
    log::testing::fail_decompressors(0);
  }).join();
  EXPECT_EQ(rig_.view(view), (Bag{{"a|2", 1}}));
  EXPECT_EQ(dead(), Bag());
}

/// The backfill of a view finds a dead letter and stops before it has noted it.
class LettersInHand : public Feeds {
 protected:
  void SetUp() override {
    Feeds::SetUp();
    rig_.options.step_bytes = 1;
    rig_.reopen_core();
    topic_ = rig_.create_topic({.columns = kColumns, .partitions = 1});
    std::promise<bool> done;
    rig_.log().append_together(
        {{{topic_, 0}, {batch_of({"{bad"}), log::testing::as_zstd(batch_of({record(1)}))}}},
        [&](Result<EntryNumber> entered) { done.set_value(entered.has_value()); });
    ASSERT_TRUE(done.get_future().get());
    auto view = rig_.create_view("v", counts(topic_));
    std::thread([&] {
      log::testing::fail_decompressors(1);
      rig_.settle();
    }).join();
    ASSERT_EQ(rig_.state_of(view), "backfilling");
    ASSERT_TRUE(rig_.drop(view).has_value());
  }
  ObjectId topic_;
};

TEST_F(LettersInHand, GoWithTheirRecords) {
  ASSERT_TRUE(can_delete(topic_, Offset(1)));
  rig_.settle();
  EXPECT_EQ(dead(), Bag());
}

TEST_F(LettersInHand, GoWithTheirTopic) {
  ASSERT_TRUE(rig_.drop(topic_).has_value());
  rig_.settle();
  EXPECT_EQ(dead(), Bag());
}

TEST_F(Feeds, ABatchThatCannotBeReadIsOneDeadLetterAlsoWhenItIsCut) {
  auto topic = rig_.create_topic({.columns = kColumns, .partitions = 1});
  rig_.produce(topic, 0, {record(1)});
  append(topic, log::testing::unreadable_batch(4));
  rig_.produce(topic, 0, {record(2)});
  rig_.create_view("v", counts(topic));
  rig_.settle();
  EXPECT_EQ(dead(), (Bag{{"1", 1}}));
  rig_.checkpoint();
  ASSERT_TRUE(can_delete(topic, Offset(3)));
  rig_.settle();
  EXPECT_EQ(dead(), Bag());
  auto later = rig_.create_view("later", counts(topic));
  rig_.settle();
  EXPECT_EQ(rig_.view(later), (Bag{{"a|1", 1}}));
  EXPECT_EQ(dead(), Bag()) << "it was known before";
}

}  // namespace
}  // namespace ziwa::stream
