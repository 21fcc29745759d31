#include "base/checksum.h"
#include "log/record_batch.h"
#include "stream/testing/small_plans.h"
#include "stream/testing/stream_rig.h"

#include <fmt/format.h>

#include <future>

// Views, sinks, backfills and tables that fail, for a while or for good: what is shown, what is
// kept, and that nobody else is held up.
namespace ziwa::stream {
namespace {

using testing::Bag;
using testing::copy_of;
using testing::counts;
using testing::joined;
using testing::kColumns;
using testing::kCounts;
using testing::kNames;
using testing::PlanBuilder;
using testing::record;
using testing::StreamRig;

Status broken(std::string_view) { return Error(Code::corrupt, "the bytes are not what they were"); }

class Failures : public ::testing::Test {
 protected:
  void SetUp() override {
    rig_.open();
    topic_ = rig_.create_topic({.columns = kColumns});
    names_ = rig_.create_table("names", kNames);
    rig_.insert(names_, "SELECT 'a', 'Anna'");
    rig_.settle();
  }
  void fail_table(Code code, std::string_view call = "changes", int times = 1'000'000) {
    rig_.fault = [=, left = times](std::string_view asked) mutable -> Status {
      if (asked != call || left-- <= 0) return {};
      return Error(code, "the table fails to order");
    };
  }
  void wait(int seconds = 100) {
    rig_.clock().advance(std::chrono::seconds(seconds));
    rig_.settle();
  }
  void finish_sinks() {
    for (int i = 0; i < 3; ++i) {
      auto finished = rig_.core().finish_sinks(true);
      ASSERT_TRUE(finished.has_value()) << finished.error().to_string();
      rig_.checkpoint();
      rig_.settle();
    }
  }
  /// A sink of the topic that wrote record 1 and fails with record 2.
  ObjectId failed_sink(ObjectId table, Code code, std::string_view call) {
    auto sink = rig_.create_sink("s", topic_, table);
    rig_.produce(topic_, 0, {record(1, "a")});
    rig_.settle();
    finish_sinks();
    fail_table(code, call);
    rig_.produce(topic_, 0, {record(2, "a")});
    rig_.settle();
    finish_sinks();
    EXPECT_EQ(rig_.state_of(sink), "failed");
    return sink;
  }
  bool can_delete(Offset before) {
    return rig_.log().delete_records({topic_, 0}, before).has_value();
  }

  StreamRig rig_;
  ObjectId topic_;
  ObjectId names_;
};

TEST_F(Failures, AFailedViewStaysFailedUntilItIsDropped) {
  auto view = rig_.create_view("v", joined(topic_, kColumns, 1, names_));
  auto other = rig_.create_view("other", counts(topic_));
  rig_.produce(topic_, 0, {record(1, "a"), record(2, "a")});
  rig_.settle();
  EXPECT_EQ(rig_.view(view), (Bag{{"Anna|2", 1}}));
  rig_.checkpoint();
  rig_.fault = broken;
  rig_.insert(names_, "SELECT 'b', 'Bob'");
  rig_.produce(topic_, 0, {record(3, "b")});
  rig_.settle();
  EXPECT_EQ(rig_.state_of(view), "failed");
  EXPECT_THAT(rig_.error_of(view), ::testing::HasSubstr("data_lost"));
  EXPECT_EQ(rig_.view(other), (Bag{{"a|2", 1}, {"b|1", 1}}));
  rig_.checkpoint();
  ASSERT_TRUE(can_delete(Offset(2)));
  auto why = rig_.error_of(view);
  rig_.fault = {};
  for (int start = 0; start < 2; ++start) {
    rig_.crash();
    rig_.open();
    rig_.settle();
    EXPECT_EQ(rig_.state_of(view), "failed");
    EXPECT_EQ(rig_.error_of(view), why);
    EXPECT_EQ(rig_.published()->unreadable.at(view).cause(), Cause::view_failed);
    EXPECT_FALSE(rig_.published()->views.contains(view))
        << "what the topic still has is not the answer";
    rig_.checkpoint();
  }
  ASSERT_TRUE(rig_.drop(view).has_value());
  auto again = rig_.create_view("v", joined(topic_, kColumns, 1, names_));
  rig_.settle();
  EXPECT_EQ(rig_.view(again), (Bag{{"Bob|1", 1}})) << "the user asked for what is left";
}

TEST_F(Failures, AViewThatWasNotFollowedIsMadeAnewOrFails) {
  for (bool deleted : {false, true}) {
    SCOPED_TRACE(deleted);
    StreamRig rig;
    rig.open();
    auto topic = rig.create_topic({.columns = kColumns, .partitions = 1});
    auto names = rig.create_table("names", kNames);
    rig.insert(names, "SELECT 'a', 'Anna'");
    auto view = rig.create_view("v", joined(topic, kColumns, 1, names));
    auto other = rig.create_view("other", counts(topic));
    rig.produce(topic, 0, {record(1, "a")});
    rig.settle();
    rig.checkpoint();
    rig.kill();
    rig.fault = [](std::string_view call) -> Status {
      if (call != "open") return {};
      return Error(Code::corrupt, "the table has no log");
    };
    rig.open();  // One table that cannot be opened keeps nobody else from starting.
    EXPECT_EQ(rig.state_of(view), "failed");
    EXPECT_THAT(rig.error_of(view), ::testing::HasSubstr("the table has no log"));
    EXPECT_FALSE(rig.published()->tables.contains(names));
    rig.produce(topic, 0, {record(2, "a")});
    rig.settle();
    EXPECT_EQ(rig.view(other), (Bag{{"a|2", 1}}));
    rig.checkpoint();
    if (deleted) ASSERT_TRUE(rig.log().delete_records({topic, 0}, Offset(1)).has_value());
    rig.kill();
    rig.fault = {};
    rig.open();
    rig.settle();
    EXPECT_TRUE(rig.published()->tables.contains(names));
    if (deleted) {
      EXPECT_EQ(rig.state_of(view), "failed") << "its old rows are not the answer of now";
      EXPECT_THAT(rig.error_of(view), ::testing::HasSubstr("data_lost"));
      EXPECT_FALSE(rig.published()->views.contains(view));
    } else {
      EXPECT_EQ(rig.state_of(view), "running");
      EXPECT_EQ(rig.view(view), (Bag{{"Anna|2", 1}}));
    }
  }
}

TEST_F(Failures, ATableThatCanBeOpenedAgainBringsItsReadersBack) {
  auto view = rig_.create_view("v", joined(topic_, kColumns, 1, names_));
  rig_.produce(topic_, 0, {record(1, "a")});
  rig_.settle();
  rig_.checkpoint();
  rig_.kill();
  fail_table(Code::io, "open", 1);
  rig_.patient = false;
  rig_.open();
  EXPECT_EQ(rig_.state_of(view), "failed");
  rig_.produce(topic_, 0, {record(2, "a")});
  wait(60);
  rig_.core().retry_broken();
  rig_.settle();
  EXPECT_EQ(rig_.state_of(view), "running");
  EXPECT_EQ(rig_.view(view), (Bag{{"Anna|2", 1}}));
}

TEST_F(Failures, AViewOfAViewWhoseBackfillFailedFails) {
  rig_.fault = broken;
  auto base = rig_.create_view("base", joined(topic_, kColumns, 1, names_));
  auto early =
      rig_.create_view("early", copy_of(base, {{"name", "VARCHAR"}, {"n", "BIGINT"}}, {0}));
  rig_.settle();
  EXPECT_EQ(rig_.state_of(base), "failed");
  EXPECT_EQ(rig_.state_of(early), "failed");
  EXPECT_THAT(rig_.error_of(early), ::testing::HasSubstr("\"base\", which it reads, has failed"));
  auto late = rig_.create_view("late", copy_of(base, {{"name", "VARCHAR"}, {"n", "BIGINT"}}, {0}));
  rig_.settle();
  EXPECT_EQ(rig_.state_of(late), "failed");
  EXPECT_TRUE(rig_.published()->views.empty()) << "nobody is shown as empty";
  rig_.checkpoint();
  rig_.fault = {};
  rig_.crash();
  rig_.open();
  rig_.settle();
  for (auto id : {base, early, late}) EXPECT_EQ(rig_.state_of(id), "failed");
}

TEST_F(Failures, ADropIsSurvivedByTheBackfillThatHasYetToLearnIt) {
  for (bool waits : {false, true}) {
    SCOPED_TRACE(waits);
    auto topic = rig_.create_topic({.name = "gone", .columns = kColumns});
    rig_.produce(topic, 0, {record(1, "a")});
    auto base = rig_.create_view("base", counts(topic));
    rig_.settle();
    if (waits) fail_table(Code::io);
    auto view = rig_.create_view("v", joined(base, kCounts, 0, names_));
    auto sink = rig_.create_sink("s", topic, rig_.create_table(waits ? "o2" : "o1", kColumns));
    if (waits) rig_.settle();  // It has stopped, and will begin again.
    rig_.fault = {};
    rig_.before_change = [&] {
      EXPECT_EQ(rig_.catalog().snapshot()->find(topic), nullptr);
      wait();
    };
    ASSERT_TRUE(rig_.drop(topic, true).has_value());
    rig_.before_change = {};
    rig_.settle();
    for (ObjectId id : {base, view, sink}) EXPECT_EQ(rig_.catalog().snapshot()->find(id), nullptr);
    EXPECT_EQ(rig_.published()->views.size(), 0u);
    rig_.checkpoint();
    rig_.crash();
    rig_.open();
  }
}

TEST_F(Failures, ABackfillBeginsAgainAfterAnErrorThatPasses) {
  rig_.produce(topic_, 0, {record(1, "a")});
  fail_table(Code::io);
  auto view = rig_.create_view("v", joined(topic_, kColumns, 1, names_));
  auto early =
      rig_.create_view("early", copy_of(view, {{"name", "VARCHAR"}, {"n", "BIGINT"}}, {0}));
  rig_.settle();
  EXPECT_EQ(rig_.state_of(view), "backfilling");
  EXPECT_THAT(rig_.error_of(view), ::testing::HasSubstr("fails to order"));
  ASSERT_TRUE(rig_.core().next_retry_ns().has_value());
  rig_.checkpoint();
  EXPECT_FALSE(can_delete(Offset(1))) << "it still needs the record";
  wait();
  EXPECT_EQ(rig_.state_of(view), "backfilling");
  rig_.fault = {};
  rig_.produce(topic_, 0, {record(2, "a")});
  wait();
  EXPECT_EQ(rig_.state_of(view), "running");
  EXPECT_EQ(rig_.error_of(view), "");
  EXPECT_EQ(rig_.view(view), (Bag{{"Anna|2", 1}}));
  EXPECT_EQ(rig_.view(early), rig_.view(view));
  EXPECT_FALSE(rig_.core().next_retry_ns().has_value());
  rig_.checkpoint();
  EXPECT_TRUE(can_delete(Offset(1)));
  rig_.crash();
  rig_.open();
  rig_.settle();
  EXPECT_EQ(rig_.view(view), (Bag{{"Anna|2", 1}}));
}

TEST_F(Failures, ADropEndsABackfillThatWaits) {
  rig_.produce(topic_, 0, {record(1, "a")});
  fail_table(Code::unavailable);
  auto view = rig_.create_view("v", joined(topic_, kColumns, 1, names_));
  rig_.settle();
  ASSERT_TRUE(rig_.drop(view).has_value());
  EXPECT_FALSE(rig_.core().next_retry_ns().has_value());
  EXPECT_FALSE(rig_.core().backfilling());
  EXPECT_TRUE(can_delete(Offset(1)));
}

TEST_F(Failures, AnErrorThatPassesEndsAStepUntilPatienceIsOver) {
  auto view = rig_.create_view("v", joined(topic_, kColumns, 1, names_));
  auto other = rig_.create_view("other", counts(topic_));
  rig_.settle();
  rig_.checkpoint();
  fail_table(Code::io, "changes", 2);
  rig_.produce(topic_, 0, {record(1, "b")});
  rig_.insert(names_, "SELECT 'b', 'Bob'");
  for (int tries = 0; tries < 2; ++tries) {
    EXPECT_EQ(rig_.try_settle().error().code(), Code::io);
    rig_.reopen_core();
  }
  rig_.settle();
  EXPECT_EQ(rig_.view(view), (Bag{{"Bob|1", 1}}));
  fail_table(Code::io);
  rig_.insert(names_, "SELECT 'c', 'Cleo'");
  EXPECT_FALSE(rig_.try_settle().has_value());
  rig_.reopen_core();
  rig_.core().set_patient(false);
  rig_.settle();
  EXPECT_EQ(rig_.state_of(view), "failed");
  EXPECT_EQ(rig_.view(other), (Bag{{"b|1", 1}})) << "the others go on";
}

TEST_F(Failures, ASinkThatMeetsAFullDiskWritesEachRowOnceLater) {
  for (std::string_view call : {"write", "finish"}) {
    for (bool restarts : {false, true}) {
      SCOPED_TRACE(fmt::format("{} {}", call, restarts));
      StreamRig rig;
      rig.open();
      auto topic = rig.create_topic({.columns = kColumns, .partitions = 1});
      auto table = rig.create_table("out", kColumns);
      auto sink = rig.create_sink("s", topic, table);
      auto view = rig.create_view("v", counts(topic));
      Bag wanted;
      auto produce = [&](int id) {
        rig.produce(topic, 0, {record(id, "a")});
        ++wanted[fmt::format("{}|a", id)];
      };
      auto finish = [&] {
        rig.settle();
        ASSERT_TRUE(rig.core().finish_sinks(true).has_value());
        rig.settle();
        rig.checkpoint();
        rig.settle();
      };
      produce(1);
      finish();
      EXPECT_EQ(rig.table(table), wanted);
      rig.fault = [&](std::string_view asked) -> Status {
        if (asked != call) return {};
        return Error(Code::exhausted, "the disk is full");
      };
      produce(2);
      finish();
      EXPECT_EQ(rig.view(view), (Bag{{"a|2", 1}})) << "the others go on";
      if (restarts) {
        rig.crash();
        rig.open();
        rig.settle();
      }
      for (int tries = 0; tries < 3; ++tries) {
        finish();
        if (call == "write") EXPECT_EQ(rig.state_of(sink), "backfilling");
        rig.clock().advance(std::chrono::seconds(100));
      }
      EXPECT_THAT(rig.error_of(sink), ::testing::HasSubstr("the disk is full"));
      EXPECT_FALSE(rig.log().delete_records({topic, 0}, Offset(2)).has_value())
          << "it has not written record 1";
      produce(3);
      rig.settle();
      rig.fault = {};
      rig.clock().advance(std::chrono::seconds(100));
      finish();
      finish();
      EXPECT_EQ(rig.state_of(sink), "running");
      EXPECT_EQ(rig.error_of(sink), "");
      EXPECT_EQ(rig.table(table), wanted);
      EXPECT_TRUE(rig.log().delete_records({topic, 0}, Offset(3)).has_value());
    }
  }
}

TEST_F(Failures, AFailedSinkHoldsNothingAndIsTriedAtTheNextStart) {
  auto table = rig_.create_table("out", kColumns);
  auto sink = failed_sink(table, Code::invalid_argument, "write");
  rig_.fault = {};
  rig_.crash();
  rig_.open();
  rig_.settle();
  EXPECT_EQ(rig_.state_of(sink), "running") << "nothing was lost";
  finish_sinks();
  EXPECT_EQ(rig_.table(table), (Bag{{"1|a", 1}, {"2|a", 1}}));
  fail_table(Code::invalid_argument, "write");
  rig_.produce(topic_, 0, {record(3, "a")});
  rig_.settle();
  finish_sinks();
  EXPECT_TRUE(can_delete(Offset(3))) << "nobody waits for what it has not written";
  rig_.settle();
  rig_.checkpoint();
  rig_.fault = {};
  rig_.crash();
  rig_.open();
  rig_.settle();
  EXPECT_EQ(rig_.state_of(sink), "failed");
  EXPECT_THAT(rig_.error_of(sink), ::testing::HasSubstr("data_lost"));
}

TEST_F(Failures, ASinkWhoseFilesCannotBeFinishedReadsTheirRowsAgain) {
  auto table = rig_.create_table("out", kColumns);
  auto sink = failed_sink(table, Code::not_found, "finish");
  rig_.produce(topic_, 0, {record(3, "a")});
  rig_.settle();
  rig_.checkpoint();
  rig_.fault = {};
  rig_.crash();
  rig_.open();
  rig_.settle();
  finish_sinks();
  EXPECT_EQ(rig_.state_of(sink), "running");
  EXPECT_EQ(rig_.table(table), (Bag{{"1|a", 1}, {"2|a", 1}, {"3|a", 1}}));
}

TEST_F(Failures, AVersionThatCannotBeReadIsNotSkipped) {
  for (Code code : {Code::corrupt, Code::io}) {
    SCOPED_TRACE(code_name(code));
    auto view = rig_.create_view("v", joined(topic_, kColumns, 1, names_));
    rig_.produce(topic_, 0, {record(1, "b")});
    rig_.settle();
    rig_.checkpoint();
    // Committed after the checkpoint: the view has not seen it when it is opened again.
    rig_.insert(names_, fmt::format("SELECT 'b', 'Bob {}'", code_name(code)));
    rig_.settle();
    auto wanted = rig_.view(view);
    EXPECT_FALSE(wanted.empty());
    fail_table(code, "at_version");
    rig_.crash();
    rig_.patient = false;
    rig_.open();
    rig_.settle();
    rig_.fault = {};
    wait();
    rig_.core().retry_broken();
    rig_.settle();
    EXPECT_EQ(rig_.state_of(view), "running");
    EXPECT_EQ(rig_.view(view), wanted);
    ASSERT_TRUE(rig_.drop(view));
  }
}

TEST_F(Failures, AFailedViewTakesNothingMore) {
  auto base = rig_.create_view("base", counts(topic_));
  auto view = rig_.create_view("v", joined(base, kCounts, 0, names_));
  rig_.produce(topic_, 0, {record(1, "a")});
  rig_.settle();
  EXPECT_EQ(rig_.view(view), (Bag{{"Anna|1", 1}}));
  rig_.fault = broken;
  rig_.insert(names_, "SELECT 'b', 'Bob'");
  rig_.settle();
  EXPECT_EQ(rig_.state_of(view), "failed");
  for (int i = 0; i < 100; ++i) rig_.produce(topic_, 0, {record(i, fmt::format("k{}", i))});
  rig_.settle();
  EXPECT_EQ(rig_.view(base).size(), 101u);
  for (const auto& status : rig_.core().view_status()) {
    if (status.id == view) EXPECT_EQ(status.state_bytes, 0u);
  }
  ASSERT_TRUE(rig_.drop(view).has_value());
  rig_.produce(topic_, 0, {record(1, "z")});
  rig_.settle();
  EXPECT_EQ(rig_.view(base).size(), 102u);
}

TEST_F(Failures, AnErrorOfASinkIsNotThatOfItsView) {
  PlanBuilder b;
  auto s = b.source(topic_, kColumns);
  b.project(s, {b.column(s, 0), b.column(s, 1)}, kColumns);
  auto view = rig_.create_view("v", b.build());
  auto table = rig_.create_table("out", kColumns);
  auto sink = rig_.create_sink("s", view, table);
  rig_.settle();
  rig_.fault = broken;
  rig_.produce(topic_, 0, {record(1, "a")});
  rig_.settle();
  EXPECT_EQ(rig_.state_of(sink), "failed");
  EXPECT_EQ(rig_.state_of(view), "running");
  EXPECT_EQ(rig_.view(view), (Bag{{"1|a", 1}}));
}

TEST_F(Failures, HoldsOfBackfillsEndWithTheirCore) {
  rig_.options.backfill_rows = 1;
  rig_.reopen_core();
  for (int i = 0; i < 4; ++i) rig_.produce(topic_, 0, {record(i, "a")});
  while (*rig_.core().step(1'000)) {
  }
  std::vector<ObjectId> views;
  for (int i = 0; i < 3; ++i) {
    views.push_back(rig_.create_view(fmt::format("v{}", i), counts(topic_)));
    ASSERT_TRUE(rig_.core().advance_backfills().has_value());
  }
  rig_.reopen_core();
  EXPECT_FALSE(can_delete(Offset(4))) << "the new core reads them again";
  rig_.settle();
  for (auto id : views) EXPECT_EQ(rig_.view(id), (Bag{{"a|4", 1}}));
  rig_.checkpoint();
  auto deleted = rig_.log().delete_records({topic_, 0}, Offset(4));
  EXPECT_TRUE(deleted.has_value()) << deleted.error().to_string();
}

TEST_F(Failures, ADropOnAFullDiskLetsGoOfAllItHolds) {
  auto view = rig_.create_view("v", counts(topic_));
  auto other = rig_.create_topic({.name = "other", .columns = kColumns});
  rig_.create_view("w", counts(other));
  rig_.produce(topic_, 0, {record(1, "a")});
  rig_.settle();
  rig_.checkpoint();
  rig_.produce(topic_, 0, {record(2, "a")});
  rig_.settle();
  auto before = rig_.catalog().snapshot()->find(view);
  EXPECT_FALSE(can_delete(Offset(2)));
  rig_.fs().set_capacity(1);
  auto changed = rig_.core().change({{.before = before, .after = nullptr}});
  EXPECT_TRUE(changed.has_value());
  rig_.fs().set_capacity(0);
  EXPECT_TRUE(can_delete(Offset(2)));
  EXPECT_EQ(rig_.state_of(view), "unknown");
  rig_.checkpoint();
  size_t left = 0;
  auto cursor = rig_.store().cursor(rig_.store().table("views"));
  for (cursor->seek(""); cursor->valid(); cursor->next()) ++left;
  EXPECT_EQ(left, 0u);
}

/// Puts `damage` into a batch on disk, with a checksum that fits: what a client may have sent.
void damage_batch(StreamRig& rig, ObjectId topic, std::string_view text,
                  const std::function<void(std::span<std::byte>)>& damage) {
  auto path = fmt::format("data/log/{}/0/00000000000000000000.log", topic);
  auto file = *rig.fs().open(path, OpenMode::read_write);
  Bytes bytes(file->size());
  ASSERT_TRUE(file->read_at(0, bytes).has_value());
  for (size_t at = 0; at < bytes.size();) {
    auto header = *log::parse_batch_header(ByteView(bytes).subspan(at));
    std::span<std::byte> batch(bytes.data() + at, header.total_bytes());
    at += header.total_bytes();
    if (as_text(batch).find(text) == std::string_view::npos) continue;
    damage(batch);
    store_be<uint32_t>(batch.data() + 17, crc32c(ByteView(batch).subspan(21)));
  }
  ASSERT_TRUE(file->write_at(0, bytes).has_value());
  ASSERT_TRUE(file->sync().has_value());
}

TEST(BadBatches, AreDeadLettersAndTheStreamGoesOn) {
  StreamRig rig;
  rig.open();
  auto topic = rig.create_topic({.columns = kColumns, .partitions = 1});
  rig.produce(topic, 0, {record(1, "a"), "{first"});
  rig.produce(topic, 0, {record(2, "malformed"), record(3, "a")});
  rig.produce(topic, 0, {record(4, "offsets"), record(5, "a")});
  rig.produce(topic, 0, {record(6, "unpacks"), record(7, "a")});
  rig.produce(topic, 0, {"{last", record(8, "a")});
  rig.kill();
  // A length that goes over the end; two records of one offset; bytes that are no zstd frame.
  damage_batch(rig, topic, "malformed", [](auto batch) { batch[61] = std::byte(0x7e); });
  damage_batch(rig, topic, "offsets", [](auto batch) {
    size_t length = static_cast<size_t>(batch[61]) / 2 + 62;
    batch[length + 3] = std::byte(0);
  });
  damage_batch(rig, topic, "unpacks", [](auto batch) { batch[22] = std::byte(4); });
  rig.open();
  auto live = rig.create_view("live", counts(topic));
  rig.settle();
  EXPECT_EQ(rig.view(live), (Bag{{"a|2", 1}}));
  auto dead = rig.scan(*rig.core().dead_letters(), {2, 5});
  EXPECT_EQ(dead, (Bag{{"1|{first", 1}, {"2|", 1}, {"4|", 1}, {"6|", 1}, {"8|{last", 1}}));
  EXPECT_THAT(std::next(rig.scan(*rig.core().dead_letters(), {2, 4}).begin())->first,
              ::testing::HasSubstr("of offsets 2 to 3 cannot be read"));
  rig.produce(topic, 0, {record(9, "a")});
  rig.settle();
  EXPECT_EQ(rig.view(live), (Bag{{"a|3", 1}}));
  auto later = rig.create_view("later", counts(topic));
  rig.settle();
  EXPECT_EQ(rig.view(later), rig.view(live));
  EXPECT_EQ(rig.scan(*rig.core().dead_letters(), {2}).size(), 5u);
}

TEST(StepBytes, AStepAndASliceEndWhereTheyAreFull) {
  StreamRig rig;
  rig.options.step_bytes = 20'000;
  rig.open();
  auto topic = rig.create_topic({.columns = kColumns, .partitions = 2, .watermark = ""});
  auto view = rig.create_view("v", counts(topic));
  rig.settle();
  const std::string key(1'000, 'k');
  for (int i = 0; i < 200; ++i) rig.produce(topic, i % 2, {record(i, key)});
  int steps = 0;
  while (*rig.core().step(1'000'000)) ++steps;
  EXPECT_GE(steps, 9);
  EXPECT_EQ(rig.view(view), (Bag{{key + "|200", 1}}));
  auto later = rig.create_view("later", counts(topic));
  int slices = 0;
  while (rig.core().backfilling()) {
    ASSERT_TRUE(rig.core().advance_backfills().has_value());
    ++slices;
  }
  EXPECT_GE(slices, 9);
  EXPECT_EQ(rig.view(later), rig.view(view));
}

TEST(StepBytes, AnEntryThatIsLargerIsReadInPortions) {
  const PlanBuilder::Columns columns = {{"id", "BIGINT"}, {"k", "VARCHAR"}, {"ts", "TIMESTAMP"}};
  auto late_of = [&](size_t step_bytes) {
    StreamRig rig;
    rig.options.step_bytes = step_bytes;
    rig.open();
    auto topic =
        rig.create_topic({.columns = columns, .partitions = 2, .watermark = "ts", .delay_us = 0});
    PlanBuilder b;
    auto s = b.source(topic, columns);
    auto w = b.tumble(s, b.column(s, 2), 10'000'000);
    b.aggregate(w, {b.column(w, 3)}, {{.function = "count_star"}},
                {{"window_start", "TIMESTAMP"}, {"n", "BIGINT"}});
    auto view = rig.create_view("v", b.build({0}));
    rig.settle();
    for (int entry = 0; entry < 20; ++entry) {
      std::vector<log::NewRecord> records;
      std::vector<std::string> values;
      for (int i = 0; i < 50; ++i) {
        values.push_back(fmt::format(R"({{"id":{},"k":"a","ts":"2001-01-01 00:{:02}:{:02}"}})", i,
                                     entry, (i * 7) % 60));
      }
      for (const auto& value : values)
        records.push_back({TimestampMs(0), std::nullopt, as_bytes(value)});
      Bytes batch = log::encode_batch(records);
      std::promise<void> done;
      rig.log().append_together({{{topic, 0}, {batch, batch}}, {{topic, 1}, {batch}}},
                                [&](Result<EntryNumber>) { done.set_value(); });
      done.get_future().wait();
    }
    rig.settle();
    auto out = rig.view(view);
    out.merge(rig.scan(*rig.published()->late_rows.at(view)->scan()));
    return out;
  };
  EXPECT_EQ(late_of(1'000), late_of(1u << 20));
}

/// One record of a transaction in partition 0.
void append_open(StreamRig& rig, ObjectId topic, int64_t producer, const std::string& value) {
  log::NewRecord one{TimestampMs(0), std::nullopt, as_bytes(value)};
  std::promise<bool> appended;
  rig.log().append({topic, 0},
                   log::encode_batch(std::vector{one}, producer, 0, 0, log::kTransactional),
                   [&](Result<log::Appended> done, log::AppendRefusal) {
                     appended.set_value(done.has_value());
                   });
  ASSERT_TRUE(appended.get_future().get());
}

void commit_open(StreamRig& rig, ObjectId topic, int64_t producer) {
  std::promise<bool> ended;
  rig.log().end_transaction("tx", producer, 0, true, {{topic, 0}},
                            [&](Result<EntryNumber> done) { ended.set_value(done.has_value()); });
  ASSERT_TRUE(ended.get_future().get());
}

TEST(Backfill, ReadsATransactionThatEndedBehindOneThatIsOpen) {
  StreamRig rig;
  rig.open();
  auto topic = rig.create_topic({.columns = kColumns, .partitions = 1});
  auto live = rig.create_view("live", counts(topic));
  rig.settle();
  int64_t ended = *rig.log().new_producer_id();
  int64_t open = *rig.log().new_producer_id();
  append_open(rig, topic, ended, record(1, "ended"));
  append_open(rig, topic, open, record(2, "open"));
  commit_open(rig, topic, ended);
  rig.settle();
  EXPECT_EQ(rig.view(live), (Bag{{"ended|1", 1}}));
  auto later = rig.create_view("later", counts(topic));
  rig.settle();
  EXPECT_EQ(rig.view(later), rig.view(live));
  commit_open(rig, topic, open);
  rig.settle();
  EXPECT_EQ(rig.view(live), (Bag{{"ended|1", 1}, {"open|1", 1}}));
  EXPECT_EQ(rig.view(later), rig.view(live));
}

TEST(Backfill, PlansOnlyWhatASliceTakesAlsoOverALongTransaction) {
  StreamRig rig;
  rig.options.backfill_rows = 2;
  rig.open();
  auto topic = rig.create_topic({.columns = kColumns, .partitions = 2});
  auto live = rig.create_view("live", counts(topic));
  rig.settle();
  int64_t producer = *rig.log().new_producer_id();
  std::vector<std::string> values;
  for (int i = 0; i < 10; ++i) values.push_back(record(i, "in"));
  std::vector<log::NewRecord> records;
  for (const auto& value : values)
    records.push_back({TimestampMs(0), std::nullopt, as_bytes(value)});
  std::promise<bool> appended;
  rig.log().append({topic, 0}, log::encode_batch(records, producer, 0, 0, log::kTransactional),
                   [&](Result<log::Appended> done, log::AppendRefusal) {
                     appended.set_value(done.has_value());
                   });
  ASSERT_TRUE(appended.get_future().get());
  for (int i = 0; i < 60; ++i) rig.produce(topic, i % 2, {record(i, "out")});
  std::promise<bool> ended;
  rig.log().end_transaction("tx", producer, 0, true, {{topic, 0}},
                            [&](Result<EntryNumber> done) { ended.set_value(done.has_value()); });
  ASSERT_TRUE(ended.get_future().get());
  rig.produce(topic, 0, {record(1, "after")});
  rig.settle();
  const Bag wanted = {{"in|10", 1}, {"out|60", 1}, {"after|1", 1}};
  EXPECT_EQ(rig.view(live), wanted);
  auto later = rig.create_view("later", counts(topic));
  rig.settle();
  EXPECT_EQ(rig.view(later), wanted);
}

TEST(IdleMarks, SayNothingWhenARecordCameBeforeThem) {
  const PlanBuilder::Columns columns = {{"id", "BIGINT"}, {"k", "VARCHAR"}, {"ts", "TIMESTAMP"}};
  StreamRig rig;
  rig.open();
  auto topic = rig.create_topic(
      {.columns = columns, .partitions = 1, .watermark = "ts", .idle_timeout_ms = 1'000});
  rig.create_view("v", counts(topic));
  auto marks = [&] {
    rig.checkpoint();
    return rig.idle_marks();
  };
  rig.produce(topic, 0, {R"({"id":1,"k":"a","ts":"2001-01-01 00:00:00"})"});
  rig.settle();
  rig.clock().advance(std::chrono::seconds(5));
  rig.produce(topic, 0, {R"({"id":2,"k":"a","ts":"2001-01-01 00:00:01"})"});
  rig.core().mark_idle();
  ASSERT_TRUE(rig.journal().sync().has_value());
  rig.settle();
  EXPECT_EQ(marks(), 0) << "the record was there before the mark";
  rig.clock().advance(std::chrono::seconds(5));
  rig.core().mark_idle();
  ASSERT_TRUE(rig.journal().sync().has_value());
  rig.settle();
  EXPECT_EQ(marks(), 1);
}

}  // namespace
}  // namespace ziwa::stream
