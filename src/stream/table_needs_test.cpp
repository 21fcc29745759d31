// What a clean-up is told to leave of a table, and that views and sinks go on after one.
#include "stream/testing/small_plans.h"
#include "stream/testing/stream_rig.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ziwa::stream {
namespace {

using testing::Bag;
using testing::copy_of;
using testing::kColumns;
using testing::StreamRig;

constexpr auto kDay = std::chrono::hours(24);

Bag rows(int last) {
  Bag bag;
  for (int id = 1; id <= last; ++id) bag[std::to_string(id) + "|a"] = 1;
  return bag;
}

class TableNeeds : public ::testing::Test {
 protected:
  void SetUp() override {
    rig_.fs().set_clock(rig_.clock());
    rig_.open();
    table_ = rig_.create_table("out", kColumns);
  }
  lake::Needs needs() {
    auto all = rig_.core().table_needs();
    EXPECT_TRUE(all.contains(table_));
    return all[table_];
  }
  /// As the housekeeping does, a day later.
  lake::Cleaned clean() {
    rig_.clock().advance(kDay);
    auto cleaned = rig_.open_lake_table(table_).value()->clean(
        {.needs = [&] { return Result<lake::Needs>(needs()); }, .only_us = true});
    EXPECT_TRUE(cleaned.has_value()) << cleaned.error().to_string();
    return cleaned.has_value() ? *cleaned : lake::Cleaned();
  }
  void insert_daily(int first, int last) {
    for (int id = first; id <= last; ++id) {
      rig_.clock().advance(kDay);
      rig_.insert(table_, "SELECT " + std::to_string(id) + ", 'a'");
    }
  }
  void reopen() {
    rig_.crash();
    rig_.open();
    rig_.settle();
  }

  StreamRig rig_;
  ObjectId table_;
};

TEST_F(TableNeeds, TheVersionOfTheLastCheckpointIsNeeded) {
  rig_.settle();
  rig_.checkpoint();
  EXPECT_EQ(needs().version, 0);
  insert_daily(1, 3);
  rig_.settle();
  EXPECT_EQ(needs().version, 0) << "a start reads the changes after it";
  rig_.checkpoint();
  EXPECT_EQ(needs().version, 3);
  insert_daily(4, 5);
  reopen();
  EXPECT_EQ(needs().version, 3);
  rig_.checkpoint();
  EXPECT_EQ(needs().version, 5);
  EXPECT_TRUE(rig_.drop(table_));
  EXPECT_TRUE(rig_.core().table_needs().empty());
}

TEST_F(TableNeeds, AViewGoesOnAfterACleanUpAndACrash) {
  auto view = rig_.create_view("v", copy_of(table_, kColumns, {0}));
  insert_daily(1, 3);
  rig_.settle();
  rig_.checkpoint();
  // The steps go on for months, but no checkpoint is written.
  insert_daily(4, 100);
  rig_.settle();
  EXPECT_EQ(clean().log, 0u) << "version 3 is needed, and the first checkpoint is that of 10";
  reopen();
  EXPECT_EQ(rig_.error_of(view), "");
  EXPECT_EQ(rig_.view(view), rows(100));
  rig_.checkpoint();
  EXPECT_GT(clean().log, 60u);
  insert_daily(101, 103);
  reopen();
  EXPECT_EQ(rig_.error_of(view), "");
  EXPECT_EQ(rig_.view(view), rows(103));
  auto late = rig_.create_view("late", copy_of(table_, kColumns, {0}));
  rig_.settle();
  EXPECT_EQ(rig_.view(late), rows(103)) << "a new view needs no old versions";
}

TEST_F(TableNeeds, FilesOfASinkThatAreNotCommittedForWeeksStay) {
  auto topic = rig_.create_topic({.columns = kColumns});
  auto sink = rig_.create_sink("s", topic, table_);
  rig_.fault = [](std::string_view call) -> Status {
    if (call != "commit") return {};
    return Error(Code::unavailable, "not now");
  };
  rig_.produce(topic, 0, {R"({"id":1,"k":"a"})"});
  rig_.settle();
  ASSERT_TRUE(rig_.core().finish_sinks(true).has_value());
  rig_.checkpoint();
  ASSERT_EQ(needs().files->size(), 1u);
  rig_.clock().advance(20 * kDay);
  EXPECT_EQ(clean().data, 0u);
  // Nobody knows what a sink has pending that could not even be made.
  rig_.crash();
  rig_.fault = [](std::string_view call) -> Status {
    if (call != "open") return {};
    return Error(Code::corrupt, "the table is not what it was");
  };
  rig_.open();
  EXPECT_TRUE(rig_.core().table_needs().empty()) << "the table is not open";
  rig_.fault = {};
  rig_.clock().advance(std::chrono::seconds(100));
  rig_.settle();
  rig_.core().retry_broken();
  rig_.settle();
  EXPECT_EQ(clean().data, 0u);
  for (int i = 0; i < 3; ++i) {
    rig_.checkpoint();
    rig_.settle();
  }
  EXPECT_EQ(rig_.error_of(sink), "");
  EXPECT_EQ(rig_.table(table_), rows(1));
  EXPECT_EQ(needs().files->size(), 0u);
  EXPECT_EQ(clean().data, 0u);
  EXPECT_EQ(rig_.table(table_), rows(1));
}

TEST_F(TableNeeds, FilesOfASinkThatDiedBeforeItsCheckpointGo) {
  auto topic = rig_.create_topic({.columns = kColumns});
  rig_.create_sink("s", topic, table_);
  rig_.produce(topic, 0, {R"({"id":1,"k":"a"})"});
  rig_.settle();
  ASSERT_TRUE(rig_.core().finish_sinks(true).has_value());
  reopen();
  EXPECT_EQ(clean().data, 0u) << "not older than a week";
  rig_.clock().advance(7 * kDay);
  EXPECT_EQ(clean().data, 1u);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(rig_.core().finish_sinks(true).has_value());
    rig_.checkpoint();
    rig_.settle();
  }
  EXPECT_EQ(rig_.table(table_), rows(1));
}

}  // namespace
}  // namespace ziwa::stream
