#include "stream/testing/small_plans.h"
#include "stream/testing/stream_rig.h"

#include <fmt/format.h>

// What a start makes of a state that cannot be read, that is old, or that another core left.
namespace ziwa::stream {
namespace {

using testing::Bag;
using testing::copy_of;
using testing::counts;
using testing::kColumns;
using testing::record;
using testing::StreamRig;

class Load : public ::testing::Test {
 protected:
  void SetUp() override {
    rig_.open();
    topic_ = rig_.create_topic({.columns = kColumns, .partitions = 1});
    counted_ = rig_.create_view("counted", counts(topic_));
    rig_.settle();
  }
  void produce(int id) {
    rig_.produce(topic_, 0, {record(id, "a")});
    rig_.settle();
  }
  struct CopyWithSink {
    ObjectId copy, table, sink;
  };
  /// A view that only grows, and a sink of it.
  CopyWithSink copy_with_sink() {
    auto copy = rig_.create_view("copy", copy_of(topic_));
    auto table = rig_.create_table("out", kColumns);
    auto sink = rig_.create_sink("s", copy, table);
    rig_.settle();
    return {copy, table, sink};
  }
  /// The call number `which` for `call` of the state fails.
  void fail_state(std::string_view call, int which) {
    rig_.store_fault = [=, left = which](std::string_view asked) mutable -> Status {
      if (asked != call || left-- != 0) return {};
      return Error(Code::io, "the disk does not read");
    };
  }
  Status reopen_without_patience() {
    rig_.patient = false;
    Status opened = rig_.try_reopen_core();
    rig_.patient = true;
    return opened;
  }
  /// Opens the state once more, without patience, where what it says of `id` cannot be read.
  void leave_out(ObjectId id) {
    for (int which = 0; which < 20; ++which) {
      fail_state("cursor", which);
      bool opened = reopen_without_patience().has_value();
      rig_.store_fault = {};
      if (!opened || rig_.error_of(id).find("does not read") == std::string::npos) continue;
      EXPECT_EQ(rig_.state_of(id), "failed");
      return;
    }
    FAIL() << "it was never left out";
  }
  bool can_delete(int before) {
    return rig_.log().delete_records({topic_, 0}, Offset(before)).has_value();
  }
  void put(const std::string& key, ByteView value) {
    state::WriteBatch batch;
    batch.put(rig_.store().table("positions"), key, as_text(value));
    ASSERT_TRUE(rig_.store().write(batch, true).has_value());
  }

  StreamRig rig_;
  ObjectId topic_;
  ObjectId counted_;
};

TEST_F(Load, AnErrorThatMayPassFailsNobodyForGood) {
  auto [copy, table, sink] = copy_with_sink();
  produce(1);
  rig_.checkpoint();
  ASSERT_TRUE(can_delete(1)) << "nothing can be made anew";
  for (std::string_view call : {"cursor", "get"}) {
    int which = 0;
    for (bool met = true; met; ++which) {
      SCOPED_TRACE(fmt::format("{} {}", call, which));
      fail_state(call, which);
      Status opened = rig_.try_reopen_core();
      met = !opened.has_value();
      if (met) EXPECT_EQ(opened.error().code(), Code::io);
      // Who is not patient leaves out what it cannot read, and tells nobody.
      fail_state(call, which);
      reopen_without_patience().ignore("the main position may be what it cannot read");
      rig_.store_fault = {};
      rig_.reopen_core();
      rig_.settle();
      for (auto id : {counted_, copy, sink}) EXPECT_EQ(rig_.state_of(id), "running");
      EXPECT_EQ(rig_.view(counted_), (Bag{{"a|1", 1}}));
    }
    EXPECT_GT(which, 5);
  }
  ASSERT_TRUE(rig_.core().finish_sinks(true).has_value());
  rig_.checkpoint();
  EXPECT_EQ(rig_.table(table), (Bag{{"1|a", 1}}));
}

TEST_F(Load, ATableThatIsNotThereYetIsWaitedFor) {
  auto names = rig_.create_table("names", testing::kNames);
  rig_.insert(names, "SELECT 'a', 'Anna'");
  auto view = rig_.create_view("v", testing::joined(topic_, kColumns, 1, names));
  produce(1);
  rig_.checkpoint();
  ASSERT_TRUE(can_delete(1)) << "nothing can be made anew";
  for (Code code : {Code::not_found, Code::io}) {
    rig_.fault = [=](std::string_view call) -> Status {
      if (call != "open") return {};
      return Error(code, "the folder is not mounted");
    };
    Status opened = rig_.try_reopen_core();
    ASSERT_FALSE(opened.has_value());
    EXPECT_TRUE(may_pass(opened.error())) << "the engine tries it again";
    EXPECT_THAT(opened.error().to_string(), ::testing::HasSubstr("\"names\""));
    rig_.fault = {};
    rig_.reopen_core();
    rig_.settle();
    EXPECT_EQ(rig_.state_of(view), "running");
    EXPECT_EQ(rig_.view(view), (Bag{{"Anna|1", 1}}));
  }
}

TEST_F(Load, AViewThatIsLeftOutIsMadeAnewAtTheNextStart) {
  auto copy = rig_.create_view("copy", copy_of(topic_));
  produce(1);
  rig_.checkpoint();
  leave_out(counted_);
  EXPECT_FALSE(rig_.published()->views.contains(counted_));
  produce(2);
  EXPECT_EQ(rig_.view(copy), (Bag{{"1|a", 1}, {"2|a", 1}}));
  rig_.checkpoint();
  rig_.reopen_core();
  rig_.settle();
  EXPECT_EQ(rig_.state_of(counted_), "running");
  EXPECT_EQ(rig_.view(counted_), (Bag{{"a|2", 1}}));
}

TEST_F(Load, AViewsSinkThatWasNotFollowedDoesNotGoOnPastRows) {
  auto [copy, table, sink] = copy_with_sink();
  auto finish = [&] {
    ASSERT_TRUE(rig_.core().finish_sinks(true).has_value());
    rig_.checkpoint();
  };
  produce(1);
  finish();
  EXPECT_EQ(rig_.table(table), (Bag{{"1|a", 1}}));
  leave_out(sink);
  produce(2);
  finish();
  rig_.reopen_core();
  produce(3);
  finish();
  EXPECT_EQ(rig_.view(copy), (Bag{{"1|a", 1}, {"2|a", 1}, {"3|a", 1}}));
  EXPECT_EQ(rig_.state_of(sink), "failed") << "row 2 never came to it";
  EXPECT_THAT(rig_.error_of(sink), ::testing::HasSubstr("data_lost"));
  EXPECT_EQ(rig_.table(table), (Bag{{"1|a", 1}}));
}

TEST_F(Load, AKeptRowThatCannotBeWrittenIsNobodysFailure) {
  auto [copy, table, sink] = copy_with_sink();
  produce(1);
  rig_.checkpoint();
  rig_.fault = [](std::string_view call) -> Status {
    if (call != "write") return {};
    return Error(Code::exhausted, "the disk is full");
  };
  rig_.crash();
  rig_.open();
  rig_.settle();
  EXPECT_EQ(rig_.state_of(sink), "retrying");
  EXPECT_THAT(rig_.error_of(sink), ::testing::HasSubstr("the disk is full"));
  rig_.checkpoint();
  rig_.fault = {};
  rig_.crash();
  rig_.open();
  rig_.settle();
  EXPECT_EQ(rig_.state_of(sink), "running");
  ASSERT_TRUE(rig_.core().finish_sinks(true).has_value());
  rig_.checkpoint();
  EXPECT_EQ(rig_.table(table), (Bag{{"1|a", 1}}));
}

TEST_F(Load, HoldsOfACoreThatIsThrownAwayGo) {
  rig_.checkpoint();
  auto other = rig_.create_topic({.name = "other", .columns = kColumns, .partitions = 1});
  rig_.produce(other, 0, {record(1, "a")});
  auto view = rig_.create_view("v", counts(other));
  rig_.settle();
  EXPECT_EQ(rig_.state_of(view), "running") << "its feed is a main one, which no checkpoint knows";
  rig_.reopen_core();
  EXPECT_EQ(rig_.state_of(view), "backfilling");
  ASSERT_TRUE(rig_.drop(view).has_value());
  rig_.produce(other, 0, {record(2, "a")});
  rig_.settle();
  rig_.checkpoint();
  auto deleted = rig_.log().delete_records({other, 0}, Offset(2));
  EXPECT_TRUE(deleted.has_value()) << deleted.error().to_string();
}

TEST_F(Load, ARecordOfAnOlderFormatIsKnownByItself) {
  for (bool deleted : {false, true}) {
    SCOPED_TRACE(deleted);
    produce(1);
    rig_.checkpoint();
    if (deleted) ASSERT_TRUE(can_delete(1));
    auto answer = rig_.view(counted_);
    // As a program that knew only format 1 left it, and one that could not follow the view.
    ByteWriter old;
    for (uint64_t number : {1, 1, 0, 0, 0}) old.varint(number);
    old.sized("");
    put("view/" + id_prefix(counted_), old.view());
    rig_.reopen_core();
    rig_.settle();
    if (deleted) {
      EXPECT_EQ(rig_.state_of(counted_), "failed");
      EXPECT_THAT(rig_.error_of(counted_), ::testing::HasSubstr("data_lost"));
    } else {
      EXPECT_EQ(rig_.state_of(counted_), "running");
      EXPECT_EQ(rig_.view(counted_), answer);
    }
  }
}

}  // namespace
}  // namespace ziwa::stream
