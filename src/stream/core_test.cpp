#include "stream/testing/stream_rig.h"

#include <fmt/format.h>

namespace ziwa::stream {
namespace {

using testing::Bag;
using testing::PlanBuilder;
using testing::StreamRig;

const PlanBuilder::Columns kColumns = {{"id", "BIGINT"}, {"k", "VARCHAR"}, {"ts", "TIMESTAMP"}};

Plan counts(ObjectId topic) {
  PlanBuilder b;
  auto s = b.source(topic, kColumns);
  b.aggregate(s, {b.column(s, 1)},
              {{.function = "count_star"}, {.function = "sum", .arguments = {b.column(s, 0)}}},
              {{"k", "VARCHAR"}, {"n", "BIGINT"}, {"total", "HUGEINT"}});
  return b.build({0});
}

Plan windows(ObjectId topic, int64_t size_s = 60) {
  PlanBuilder b;
  auto s = b.source(topic, kColumns);
  auto w = b.tumble(s, b.column(s, 2), size_s * 1'000'000);
  b.aggregate(w, {b.column(w, 3), b.column(w, 1)}, {{.function = "count_star"}},
              {{"window_start", "TIMESTAMP"}, {"k", "VARCHAR"}, {"n", "BIGINT"}});
  return b.build({0, 1});
}

std::string record(int id, const std::string& key, int second = 0) {
  return fmt::format(R"({{"id":{},"k":"{}","ts":"2001-01-01 00:{:02}:{:02}"}})", id, key,
                     second / 60, second % 60);
}

TEST(Core, FollowsATopic) {
  StreamRig rig;
  rig.open();
  auto topic = rig.create_topic({.columns = kColumns});
  auto view = rig.create_view("v", counts(topic));
  rig.settle();
  EXPECT_EQ(rig.view(view), Bag());
  rig.produce(topic, 0, {record(1, "a"), record(2, "b")});
  auto entry = rig.produce(topic, 1, {record(3, "a")});
  rig.settle();
  EXPECT_EQ(rig.view(view), (Bag{{"a|2|4", 1}, {"b|1|2", 1}}));
  EXPECT_EQ(rig.published()->epoch, entry);
  EXPECT_EQ(rig.published()->views.at(view)->changed_at(), entry);
  EXPECT_EQ(rig.published()->views.at(view)->row_count(), 2u);
  auto pinned = rig.published();
  rig.produce(topic, 1, {record(4, "c")});
  rig.settle();
  EXPECT_EQ(rig.scan(*pinned->views.at(view)->scan()), (Bag{{"a|2|4", 1}, {"b|1|2", 1}}))
      << "a pin does not move";
  EXPECT_EQ(rig.view(view).size(), 3u);
}

TEST(Core, BackfillsANewViewFromTheFirstRecord) {
  StreamRig rig;
  rig.options.backfill_rows = 3;
  rig.open();
  auto topic = rig.create_topic({.columns = kColumns});
  for (int i = 0; i < 20; ++i) rig.produce(topic, i % 2, {record(i, i % 3 == 0 ? "a" : "b")});
  rig.settle();
  auto view = rig.create_view("v", counts(topic));
  EXPECT_FALSE(rig.published()->views.contains(view)) << "a view is not shown before it is whole";
  ASSERT_TRUE(rig.core().advance_backfills().has_value());
  rig.produce(topic, 0, {record(100, "c")});
  rig.settle();
  EXPECT_EQ(rig.view(view), (Bag{{"a|7|63", 1}, {"b|13|127", 1}, {"c|1|100", 1}}));
}

TEST(Core, SurvivesKillsAndKeepsWhatTheTopicForgets) {
  StreamRig rig;
  rig.open();
  auto topic = rig.create_topic({.columns = kColumns});
  auto view = rig.create_view("v", counts(topic));
  rig.produce(topic, 0, {record(1, "a"), record(2, "b")});
  rig.settle();
  rig.checkpoint();
  rig.produce(topic, 0, {record(3, "a")});
  rig.settle();
  Bag wanted = rig.view(view);
  auto changed = rig.published()->views.at(view)->changed_at();
  rig.crash();
  rig.open();
  EXPECT_EQ(rig.view(view), (Bag{{"a|1|1", 1}, {"b|1|2", 1}}))
      << "the last checkpoint is served at once";
  rig.settle();
  EXPECT_EQ(rig.view(view), wanted);
  EXPECT_EQ(rig.published()->views.at(view)->changed_at(), changed);

  EXPECT_FALSE(rig.log().delete_records({topic, 0}, Offset(3)).has_value())
      << "the checkpoint holds them";
  rig.checkpoint();
  ASSERT_TRUE(rig.log().delete_records({topic, 0}, Offset(3)).has_value());
  rig.settle();
  rig.kill();
  rig.open();
  rig.settle();
  EXPECT_EQ(rig.view(view), wanted);
  rig.produce(topic, 0, {record(4, "b")});
  rig.settle();
  EXPECT_EQ(rig.view(view), (Bag{{"a|2|4", 1}, {"b|2|6", 1}}));
}

TEST(Core, ViewsOfViewsAndTables) {
  StreamRig rig;
  rig.open();
  auto topic = rig.create_topic({.columns = kColumns});
  auto table = rig.create_table("names", {{"k", "VARCHAR"}, {"name", "VARCHAR"}});
  rig.insert(table, "SELECT 'a', 'Anna'");
  auto base = rig.create_view("base", counts(topic));
  PlanBuilder b;
  auto v = b.source(base, {{"k", "VARCHAR"}, {"n", "BIGINT"}, {"total", "HUGEINT"}});
  auto t = b.source(table, {{"k", "VARCHAR"}, {"name", "VARCHAR"}});
  auto j = b.join(
      v, t,
      JoinNode{
          .left_keys = {b.column(v, 0)}, .right_keys = {b.column(t, 0)}, .null_safe = {false}});
  b.project(j, {b.column(t, 1), b.column(v, 1)}, {{"name", "VARCHAR"}, {"n", "BIGINT"}});
  rig.produce(topic, 0, {record(1, "a")});
  rig.settle();
  auto joined = rig.create_view("joined", b.build());
  rig.settle();
  EXPECT_EQ(rig.view(joined), (Bag{{"Anna|1", 1}}));
  rig.insert(table, "SELECT 'b', 'Bob'");
  rig.produce(topic, 1, {record(2, "b"), record(3, "a")});
  rig.settle();
  EXPECT_EQ(rig.view(joined), (Bag{{"Anna|2", 1}, {"Bob|1", 1}}));
  rig.checkpoint();
  rig.crash();
  rig.open();
  EXPECT_EQ(rig.view(joined), (Bag{{"Anna|2", 1}, {"Bob|1", 1}}));
  rig.delete_all(table);
  rig.settle();
  EXPECT_EQ(rig.view(joined), Bag());
  rig.insert(table, "SELECT 'a', 'Ann'");
  rig.settle();
  EXPECT_EQ(rig.view(joined), (Bag{{"Ann|2", 1}}));
  EXPECT_FALSE(rig.drop(base).has_value());
  ASSERT_TRUE(rig.drop(joined).has_value());
  ASSERT_TRUE(rig.drop(base).has_value());
  rig.settle();
  EXPECT_TRUE(rig.published()->views.empty());
  rig.checkpoint();
  size_t left = 0;
  auto cursor = rig.store().cursor(rig.store().table("state"));
  for (cursor->seek(""); cursor->valid(); cursor->next()) ++left;
  EXPECT_EQ(left, 0u) << "state of dropped views is gone";
}

TEST(Core, LateRowsDoNotDependOnSteps) {
  for (size_t rows_max : {size_t{1}, size_t{3}, SIZE_MAX}) {
    StreamRig rig;
    rig.open();
    auto topic = rig.create_topic({.columns = kColumns, .watermark = "ts", .delay_us = 10'000'000});
    auto view = rig.create_view("v", windows(topic));
    rig.produce(topic, 0, {record(1, "a", 5)});
    rig.produce(topic, 1, {record(2, "a", 10)});
    rig.produce(topic, 0,
                {record(3, "a", 200), record(4, "a", 30)});  // :30 comes in the entry of :200
    rig.produce(topic, 0, {record(5, "a", 31)});  // partition 1 still holds the watermark back
    rig.produce(topic, 1, {record(6, "a", 75)});  // watermark 65 s: the first minute closes
    rig.produce(topic, 0, {record(7, "a", 59), record(8, "a", 60)});  // late; not late
    rig.settle(rows_max);
    EXPECT_EQ(rig.view(view), (Bag{{"2001-01-01 00:00:00|a|4", 1},
                                   {"2001-01-01 00:01:00|a|2", 1},
                                   {"2001-01-01 00:03:00|a|1", 1}}));
    auto late = rig.scan(*rig.published()->late_rows.at(view)->scan());
    ASSERT_EQ(late.size(), 1u);
    EXPECT_THAT(late.begin()->first, ::testing::StartsWith("0|4|"));
    EXPECT_THAT(late.begin()->first,
                ::testing::HasSubstr(R"({"id":7,"k":"a","ts":"2001-01-01 00:00:59"})"));
    rig.checkpoint();
    EXPECT_EQ(rig.view(view).size(), 3u);
    rig.crash();
    rig.open();
    rig.settle(rows_max);
    EXPECT_EQ(rig.scan(*rig.published()->late_rows.at(view)->scan()), late);
    rig.produce(topic, 1, {record(9, "a", 20)});
    rig.settle(rows_max);
    EXPECT_EQ(rig.view(view).size(), 3u);
    EXPECT_EQ(rig.scan(*rig.published()->late_rows.at(view)->scan()).size(), 2u)
        << "the watermark survives a crash";
  }
}

TEST(Core, ABackfilledViewHasTheSameLateRows) {
  StreamRig rig;
  rig.options.backfill_rows = 2;
  rig.open();
  auto topic = rig.create_topic(
      {.columns = kColumns, .watermark = "ts", .delay_us = 0, .idle_timeout_ms = 1000});
  auto live = rig.create_view("live", windows(topic));
  for (int i = 0; i < 30; ++i) {
    rig.produce(topic, 0, {record(i, "a", i * 20), record(100 + i, "b", std::max(0, i * 20 - 70))});
    rig.settle();
    if (i == 10) {
      rig.clock().advance(std::chrono::seconds(2));
      rig.core().mark_idle();  // partition 1 never spoke
      ASSERT_TRUE(rig.journal().sync().has_value());
      rig.settle();
    }
  }
  auto late = rig.scan(*rig.published()->late_rows.at(live)->scan());
  EXPECT_GT(late.size(), 5u);
  EXPECT_LT(late.size(), 20u) << "before the idle mark nothing is late";
  auto again = rig.create_view("again", windows(topic));
  rig.settle();
  EXPECT_EQ(rig.view(again), rig.view(live));
  EXPECT_EQ(rig.scan(*rig.published()->late_rows.at(again)->scan()), late);
}

TEST(Core, RecordsThatDoNotDecodeAreDeadLettersOnce) {
  StreamRig rig;
  rig.open();
  auto topic = rig.create_topic({.columns = kColumns});
  auto one = rig.create_view("one", counts(topic));
  rig.produce(topic, 0, {record(1, "a"), "{oops", record(2, "a")});
  rig.settle();
  auto two = rig.create_view("two", counts(topic));
  rig.settle();
  EXPECT_EQ(rig.view(one), (Bag{{"a|2|3", 1}}));
  EXPECT_EQ(rig.view(two), rig.view(one));
  auto dead = rig.scan(*rig.core().dead_letters(), {0, 1, 2, 5});
  EXPECT_EQ(dead, (Bag{{"t|0|1|{oops", 1}}));
  rig.checkpoint();
  rig.crash();
  rig.open();
  rig.settle();
  EXPECT_EQ(rig.scan(*rig.core().dead_letters(), {0, 1, 2, 5}), dead);
  rig.produce(topic, 1, {R"({"id":"x"})"});
  rig.produce(topic, 1, {record(9, "far", 0), R"({"id":1,"k":"a","ts":"2099-01-01 00:00:00"})"});
  rig.settle();
  EXPECT_EQ(rig.scan(*rig.core().dead_letters(), {1, 2}).size(), 2u);
}

TEST(Core, DeadLettersGoWithTheRecords) {
  StreamRig rig;
  rig.open();
  auto topic = rig.create_topic({.columns = kColumns});
  auto other = rig.create_topic({.name = "other", .columns = kColumns});
  auto one = rig.create_view("one", counts(topic));
  rig.create_view("two", counts(other));
  rig.produce(topic, 0, {"{a", record(1, "a"), "{b"});
  rig.produce(topic, 0, {record(2, "a"), "{c"});
  rig.produce(topic, 1, {"{d"});
  rig.produce(other, 0, {"{e"});
  rig.settle();
  auto dead = [&] { return rig.scan(*rig.core().dead_letters(), {0, 1, 2, 5}); };
  EXPECT_EQ(dead().size(), 5u);
  rig.checkpoint();
  ASSERT_TRUE(rig.log().delete_records({topic, 0}, Offset(3)));
  rig.settle();
  const Bag left = {{"t|0|4|{c", 1}, {"t|1|0|{d", 1}, {"other|0|0|{e", 1}};
  EXPECT_EQ(dead(), left);
  rig.crash();
  rig.open();
  rig.settle();
  EXPECT_EQ(dead(), left) << "the journal says it again";
  rig.checkpoint();
  rig.crash();
  rig.open();
  rig.settle();
  EXPECT_EQ(dead(), left) << "the checkpoint has it";
  ASSERT_TRUE(rig.drop(one));
  ASSERT_TRUE(rig.drop(topic));
  EXPECT_EQ(dead(), (Bag{{"other|0|0|{e", 1}}));
  rig.crash();  // The catalog is durable, the engine's state may be from before.
  rig.open();
  rig.settle();
  EXPECT_EQ(dead(), (Bag{{"other|0|0|{e", 1}}));
}

TEST(Core, IdleMarksThatNobodyCanNeedAreForgotten) {
  StreamRig rig;
  rig.open();
  auto topic = rig.create_topic(
      {.columns = kColumns, .partitions = 2, .watermark = "ts", .idle_timeout_ms = 1'000});
  auto view = rig.create_view("v", windows(topic));
  for (int round = 0; round < 5; ++round) {
    rig.produce(topic, 0, {record(round, "a", round)});
    rig.settle();
    rig.clock().advance(std::chrono::seconds(5));
    rig.core().mark_idle();
    // The marks are on their way into the order: what is entered now comes after them.
    ASSERT_TRUE(rig.journal().submit_and_wait(journal::ClockTick{}, {}));
    rig.settle();
    rig.checkpoint();
  }
  const auto answer = rig.view(view);
  EXPECT_EQ(rig.idle_marks(), 6) << "five of partition 0 and one of the other";
  ASSERT_TRUE(rig.log().delete_records({topic, 0}, Offset(4)));
  rig.settle();
  rig.checkpoint();
  EXPECT_EQ(rig.idle_marks(), 3)
      << "the last before the records that are left, what came after, the other's";
  rig.crash();
  rig.open();
  rig.settle();
  EXPECT_EQ(rig.view(view), answer);
  EXPECT_EQ(rig.idle_marks(), 3);
}

TEST(Core, TimesFarAheadOfTheClockDoNotMoveTheWatermark) {
  StreamRig rig;
  rig.open();
  auto topic = rig.create_topic({.columns = kColumns, .partitions = 1, .watermark = "ts"});
  auto view = rig.create_view("v", windows(topic));
  rig.produce(
      topic, 0,
      {record(1, "a", 0), R"({"id":2,"k":"a","ts":"2099-01-01 00:00:00"})", record(3, "a", 1)});
  rig.produce(topic, 0, {record(4, "a", 2)});
  rig.settle();
  const Bag both = {{"2001-01-01 00:00:00|a|3", 1}, {"2099-01-01 00:00:00|a|1", 1}};
  EXPECT_EQ(rig.view(view), both);
  EXPECT_TRUE(rig.scan(*rig.core().dead_letters(), {2, 4}).empty());
  // A view made later reads the same.
  auto later = rig.create_view("w", windows(topic));
  rig.settle();
  EXPECT_EQ(rig.view(later), both);
}

TEST(Core, ReadsByKeyArePrefixReads) {
  StreamRig rig;
  rig.open();
  auto topic = rig.create_topic({.columns = kColumns});
  auto view = rig.create_view("v", windows(topic, 1));
  for (int i = 0; i < 50; ++i) rig.produce(topic, 0, {record(i, i % 2 == 0 ? "a" : "b", i)});
  rig.settle();
  rig.checkpoint();
  for (int i = 50; i < 60; ++i) rig.produce(topic, 0, {record(i, "c", i), record(i, "a", i - 40)});
  rig.settle();
  auto scan = rig.published()->views.at(view)->scan();
  auto bound = [](size_t column, data::ScanRequest::Bound::Op op, duckdb::Value value) {
    return data::ScanRequest::Bound{column, op, std::make_shared<duckdb::Value>(std::move(value))};
  };
  using Op = data::ScanRequest::Bound::Op;
  auto time = [](const char* text) {
    return duckdb::Value(text).DefaultCastAs(duckdb::LogicalType::TIMESTAMP);
  };
  EXPECT_EQ(rig.scan(*scan, {1, 2}, {bound(0, Op::equal, time("2001-01-01 00:00:10"))}),
            (Bag{{"a|2", 1}}));
  EXPECT_EQ(rig.scan(*scan, {1, 2, 1}, {bound(0, Op::equal, time("2001-01-01 00:00:11"))}),
            (Bag{{"a|1|a", 1}, {"b|1|b", 1}}));
  EXPECT_EQ(rig.scan(*scan, {2},
                     {bound(0, Op::equal, time("2001-01-01 00:00:11")),
                      bound(1, Op::equal, duckdb::Value("b"))}),
            (Bag{{"1", 1}}));
  EXPECT_EQ(rig.scan(*scan, {0}, {bound(0, Op::greater, time("2001-01-01 00:00:57"))}).size(), 2u);
  EXPECT_EQ(rig.scan(*scan, {0},
                     {bound(0, Op::greater_equal, time("2001-01-01 00:00:57")),
                      bound(0, Op::less, time("2001-01-01 00:00:59"))})
                .size(),
            2u);
  EXPECT_EQ(rig.scan(*scan, {0}, {bound(0, Op::less_equal, time("2001-01-01 00:00:01"))}).size(),
            2u);
  EXPECT_EQ(rig.scan(*scan).size(), 65u);
}

TEST(Core, SinksPutEachRowIntoTheTableOnce) {
  StreamRig rig;
  rig.open();
  auto topic = rig.create_topic({.columns = kColumns});
  auto table = rig.create_table("history", kColumns, {{"ts", "month", "ts_month"}});
  rig.produce(topic, 0, {record(1, "a"), record(2, "b")});
  rig.settle();
  auto sink = rig.create_sink("s", topic, table);
  rig.settle();
  rig.produce(topic, 1, {record(3, "c")});
  rig.settle();
  EXPECT_EQ(rig.table(table), Bag()) << "not due";
  rig.clock().advance(std::chrono::seconds(2));
  EXPECT_TRUE(*rig.core().finish_sinks(false));
  EXPECT_EQ(rig.table(table), Bag()) << "files are not visible before the checkpoint";
  rig.checkpoint();
  Bag wanted = {{"1|a|2001-01-01 00:00:00", 1},
                {"2|b|2001-01-01 00:00:00", 1},
                {"3|c|2001-01-01 00:00:00", 1}};
  EXPECT_EQ(rig.table(table), wanted);
  rig.produce(topic, 1, {record(4, "d")});
  rig.settle();
  rig.checkpoint();
  rig.crash();
  rig.open();
  rig.settle();
  EXPECT_EQ(rig.table(table), wanted);
  EXPECT_TRUE(*rig.core().finish_sinks(true));
  rig.checkpoint();
  wanted["4|d|2001-01-01 00:00:00"] = 1;
  EXPECT_EQ(rig.table(table), wanted);
  EXPECT_EQ(rig.core().sink_status().at(0).rows, 4u);
  EXPECT_EQ(rig.core().sink_status().at(0).id, sink);
}

TEST(Core, ASinkOfAViewKeepsItsRowsAcrossCrashes) {
  StreamRig rig;
  rig.open();
  auto topic = rig.create_topic({.columns = kColumns});
  PlanBuilder b;
  auto s = b.source(topic, kColumns);
  auto f = b.filter(s, fmt::format("({} > 1)", b.column(s, 0)));
  b.project(f, {b.column(s, 0)}, {{"id", "BIGINT"}});
  auto view = rig.create_view("v", b.build());
  rig.produce(topic, 0, {record(1, "a"), record(2, "b"), record(3, "c")});
  rig.settle();
  auto table = rig.create_table("out", {{"id", "BIGINT"}});
  rig.create_sink("s", view, table);
  rig.settle();
  rig.checkpoint();
  rig.produce(topic, 0, {record(4, "d")});
  rig.settle();
  rig.checkpoint();
  rig.crash();
  rig.open();
  rig.produce(topic, 0, {record(5, "e"), record(0, "e")});
  rig.settle();
  EXPECT_TRUE(*rig.core().finish_sinks(true));
  rig.checkpoint();
  Bag wanted = {{"2", 1}, {"3", 1}, {"4", 1}, {"5", 1}};
  EXPECT_EQ(rig.table(table), wanted);
  rig.checkpoint();
  rig.crash();
  rig.open();
  rig.settle();
  EXPECT_FALSE(*rig.core().finish_sinks(true)) << "nothing is left to write";
  EXPECT_EQ(rig.table(table), wanted);
  auto refused = rig.try_create_view("bad", counts(ObjectId(999)));
  EXPECT_FALSE(refused.has_value());
}

}  // namespace
}  // namespace ziwa::stream
