#include "base/slowness.h"
#include "lake/testing/rows.h"
#include "log/record_batch.h"
#include "stream/testing/stream_rig.h"

#include <fmt/format.h>

#include <random>

// Random inserts, deletes, steps, checkpoints and power cuts over real floors; after every settled
// step each view is what DuckDB's batch answers on what the log and the tables hold, and at the end
// the sink's table has each record once.
namespace ziwa::stream {
namespace {

using testing::Bag;
using testing::PlanBuilder;
using testing::StreamRig;
using Random = std::mt19937_64;

const PlanBuilder::Columns kColumns = {
    {"id", "BIGINT"}, {"k", "VARCHAR"}, {"v", "INTEGER"}, {"ts", "TIMESTAMP"}};
const PlanBuilder::Columns kNames = {{"k", "VARCHAR"}, {"name", "VARCHAR"}};
constexpr int64_t kDelayS = 20;
constexpr int64_t kWindowS = 30;

struct Event {
  int64_t id = 0;
  std::string key;
  int value = 0;
  int64_t second = 0;
  std::string json() const {
    return fmt::format(R"({{"id":{},"k":{},"v":{},"ts":"2001-01-01 {:02}:{:02}:{:02}"}})", id,
                       key.empty() ? "null" : '"' + key + '"', value, second / 3600,
                       second / 60 % 60, second % 60);
  }
};

/// A record as the log holds it.
struct Stored {
  Event event;
  uint64_t entry = 0;
  int32_t partition = 0;
};

class CrashTest {
 public:
  explicit CrashTest(uint64_t seed) : random_(seed), rig_(seed) {
    rig_.options.backfill_rows = 5;
    rig_.journal_options.unclean_skip = 1000;
    instance_ = std::move(*duck::Instance::open(posix_file_system(), {}));
    batch_ = instance_->connect();
    testing::run(*batch_,
                 "CREATE TABLE t (id BIGINT, k VARCHAR, v INTEGER, ts TIMESTAMP, late BOOLEAN)");
    testing::run(*batch_, "CREATE TABLE names (k VARCHAR, name VARCHAR)");
  }

  void run(int rounds) {
    rig_.open();
    topic_ = rig_.create_topic(
        {.columns = kColumns, .partitions = 2, .watermark = "ts", .delay_us = kDelayS * 1'000'000});
    names_ = rig_.create_table("names", kNames);
    history_ = rig_.create_table("history", kColumns);
    for (int round = 0; round < rounds && !::testing::Test::HasFailure(); ++round) {
      if (round == 2) create_views();
      if (round == 4) rig_.create_sink("s", topic_, history_);
      if (random_() % 2 == 0) rig_.fs().die_after(1 + random_() % 40);
      Status done = act();
      if (!done || rig_.fs().dead()) {
        ++crashes_;
        rig_.crash();
        rig_.open();
        rig_.settle();
      }
      rig_.fs().die_after(0);
      compare(fmt::format("round {}", round));
    }
    rig_.settle();
    finish_sink();
    Bag wanted;
    for (const auto& stored : read_log()) {
      ++wanted[fmt::format("{}|{}|{}|{}", stored.event.id,
                           stored.event.key.empty() ? "NULL" : stored.event.key, stored.event.value,
                           time_text(stored.event.second))];
    }
    EXPECT_EQ(testing::difference(rig_.table(history_), wanted), "")
        << "each record is in the table once";
  }
  int crashes() const { return crashes_; }

 private:
  static std::string time_text(int64_t second) {
    return fmt::format("2001-01-01 {:02}:{:02}:{:02}", second / 3600, second / 60 % 60,
                       second % 60);
  }

  void create_views() {
    auto add = [&](const std::string& name, const Plan& plan, const std::string& sql) {
      views_.emplace_back(rig_.create_view(name, plan), sql);
    };
    {
      PlanBuilder b;
      auto s = b.source(topic_, kColumns);
      b.aggregate(s, {b.column(s, 1)},
                  {{.function = "count_star"},
                   {.function = "avg", .arguments = {b.column(s, 2)}},
                   {.function = "max", .arguments = {b.column(s, 2)}}},
                  {{"k", "VARCHAR"}, {"n", "BIGINT"}, {"a", "DOUBLE"}, {"m", "INTEGER"}});
      add("per_key", b.build({0}), "SELECT k, count(*), avg(v), max(v) FROM t GROUP BY k");
    }
    {
      PlanBuilder b;
      auto s = b.source(topic_, kColumns);
      auto w = b.tumble(s, b.column(s, 3), kWindowS * 1'000'000);
      b.aggregate(w, {b.column(w, 1), b.column(w, 4)},
                  {{.function = "count_star"}, {.function = "min", .arguments = {b.column(w, 2)}}},
                  {{"k", "VARCHAR"}, {"w", "TIMESTAMP"}, {"n", "BIGINT"}, {"m", "INTEGER"}});
      add("windows", b.build({0, 1}),
          fmt::format("SELECT k, time_bucket(INTERVAL '{} seconds', ts, TIMESTAMP '2001-01-01') w, "
                      "count(*), min(v) FROM t "
                      "WHERE NOT late GROUP BY k, w",
                      kWindowS));
    }
    {
      PlanBuilder b;
      auto s = b.source(topic_, kColumns);
      auto n = b.source(names_, kNames);
      auto j = b.join(
          s, n,
          JoinNode{
              .left_keys = {b.column(s, 1)}, .right_keys = {b.column(n, 0)}, .null_safe = {false}});
      b.aggregate(j, {b.column(n, 1)}, {{.function = "sum", .arguments = {b.column(s, 2)}}},
                  {{"name", "VARCHAR"}, {"s", "HUGEINT"}});
      add("joined", b.build({0}), "SELECT name, sum(v) FROM t JOIN names USING (k) GROUP BY name");
    }
    {
      PlanBuilder b;
      auto p = b.source(views_[0].first,
                        {{"k", "VARCHAR"}, {"n", "BIGINT"}, {"a", "DOUBLE"}, {"m", "INTEGER"}});
      b.top_n(p, TopNNode{.partition_by = {},
                          .order = {{.expression = b.column(p, 2), .descending = true}},
                          .limit = 2});
      add("top", b.build(),
          "SELECT k, count(*), avg(v) a, max(v) FROM t GROUP BY k ORDER BY a DESC NULLS LAST, k, "
          "count(*), max(v) LIMIT 2");
    }
    {
      PlanBuilder b;
      auto s = b.source(topic_, kColumns);
      auto f = b.filter(s, fmt::format("({} > 5)", b.column(s, 2)));
      b.project(f, {b.column(s, 1), b.column(s, 2)}, {{"k", "VARCHAR"}, {"v", "INTEGER"}});
      add("bag", b.build(), "SELECT k, v FROM t WHERE v > 5");
    }
  }

  Event new_event() {
    return {
        .id = next_id_++,
        .key = random_() % 6 == 0 ? "" : std::string(1, static_cast<char>('a' + random_() % 3)),
        .value = static_cast<int>(random_() % 10),
        .second = std::max<int64_t>(0, next_id_ * 2 + static_cast<int64_t>(random_() % 60) - 45)};
  }

  Status act() {
    for (size_t i = random_() % 4; i > 0; --i) {
      std::vector<std::string> values;
      for (size_t j = 1 + random_() % 5; j > 0; --j) {
        auto event = new_event();
        values.push_back(event.json());
        events_[values.back()] = event;
      }
      TRY(rig_.try_produce(topic_, static_cast<int32_t>(random_() % 2), values));
      if (random_() % 2 == 0) {
        TRY(rig_.core().step(1 + random_() % 8));
        TRY(rig_.core().advance_backfills());
      }
    }
    if (random_() % 4 == 0) TRY(change_names());
    TRY(rig_.try_settle(random_() % 2 == 0 ? 1 : SIZE_MAX));
    if (random_() % 3 == 0) TRY(rig_.core().finish_sinks(true));
    if (random_() % 2 == 0) TRY(rig_.try_checkpoint());
    return rig_.try_settle();
  }

  Status change_names() {
    auto table = TRY(rig_.open_lake_table(names_));
    lake::Commit commit;
    const auto& files = table->snapshot()->files();
    if (!files.empty() && random_() % 3 == 0) {
      commit.operation = "DELETE";
      commit.remove.push_back(*files[random_() % files.size()]);
    } else {
      commit.add = TRY(lake::write_query(
          *table, rig_.duck(),
          fmt::format("SELECT chr({}), 'name{}'", 'a' + random_() % 3, random_() % 2)));
    }
    auto done = TRY(table->commit(commit));
    TRY(rig_.journal().submit_and_wait(journal::DeltaVersion{names_, done->version()}, {}));
    return {};
  }

  std::vector<Stored> read_log() {
    std::vector<Stored> all;
    for (int32_t p = 0; p < 2; ++p) {
      Offset from;
      while (true) {
        auto data = rig_.log().fetch({topic_, p}, from, 1u << 20, log::Isolation::read_uncommitted);
        EXPECT_TRUE(data.has_value());
        if (!data || data->batches.empty()) break;
        ByteView view(data->batches);
        for (size_t at = 0; at < view.size();) {
          auto header = *log::parse_batch_header(view.subspan(at));
          std::vector<log::RecordView> records;
          Bytes buffer;
          EXPECT_TRUE(log::read_records(view.subspan(at, header.total_bytes()), records, buffer)
                          .has_value());
          for (const auto& record : records) {
            all.push_back({.event = events_.at(std::string(as_text(record.value))),
                           .entry = rig_.log().entry_of({topic_, p}, record.offset)->value,
                           .partition = p});
          }
          at += header.total_bytes();
          from = Offset(header.last_offset() + 1);
        }
      }
    }
    std::sort(all.begin(), all.end(), [](const Stored& a, const Stored& b) {
      return std::tie(a.entry, a.event.id) < std::tie(b.entry, b.event.id);
    });
    return all;
  }

  /// What the documents say of lateness, written down a second time.
  static std::vector<bool> late_rows(const std::vector<Stored>& all) {
    std::vector<bool> late;
    for (const auto& row : all) {
      int64_t watermark = INT64_MAX;
      for (int32_t p = 0; p < 2; ++p) {
        int64_t greatest = INT64_MIN / 2;
        for (const auto& other : all) {
          if (other.partition == p && other.entry < row.entry)
            greatest = std::max(greatest, other.event.second);
        }
        watermark = std::min(watermark, greatest);
      }
      int64_t window_end = row.event.second / kWindowS * kWindowS + kWindowS;
      late.push_back(window_end <= watermark - kDelayS);
    }
    return late;
  }

  void compare(const std::string& where) {
    auto all = read_log();
    auto late = late_rows(all);
    testing::run(*batch_, "DELETE FROM t; DELETE FROM names");
    std::string rows;
    for (size_t i = 0; i < all.size(); ++i) {
      const auto& event = all[i].event;
      rows += fmt::format("{}({}, {}, {}, '{}', {})", i == 0 ? "" : ", ", event.id,
                          event.key.empty() ? "NULL" : "'" + event.key + "'", event.value,
                          time_text(event.second), late[i] ? "true" : "false");
    }
    if (!rows.empty()) testing::run(*batch_, "INSERT INTO t VALUES " + rows);
    for (const auto& [row, count] : rig_.table(names_)) {
      for (int64_t i = 0; i < count; ++i) {
        auto bar = row.find('|');
        testing::run(*batch_, fmt::format("INSERT INTO names VALUES ('{}', '{}')",
                                          row.substr(0, bar), row.substr(bar + 1)));
      }
    }
    for (const auto& [id, sql] : views_) {
      EXPECT_EQ(testing::difference(rig_.view(id), testing::query_bag(*batch_, sql)), "")
          << where << "\n"
          << sql;
    }
    if (views_.empty()) return;
    size_t late_count = static_cast<size_t>(std::count(late.begin(), late.end(), true));
    EXPECT_EQ(rig_.published()->late_rows.at(views_[1].first)->row_count(), late_count) << where;
  }

  void finish_sink() {
    for (int i = 0; i < 5; ++i) {
      ASSERT_TRUE(rig_.core().finish_sinks(true).has_value());
      rig_.checkpoint();
      rig_.settle();
    }
  }

  Random random_;
  StreamRig rig_;
  ObjectId topic_;
  ObjectId names_;
  ObjectId history_;
  std::vector<std::pair<ObjectId, std::string>> views_;
  std::map<std::string, Event> events_;
  int64_t next_id_ = 1;
  int crashes_ = 0;
  std::unique_ptr<duck::Instance> instance_;
  std::unique_ptr<duckdb::Connection> batch_;
};

TEST(Crash, ViewsAndSinksAreExactWhateverDies) {
  constexpr int kRuns = kSlowness > 1 ? 3 : 12;
  int crashes = 0;
  for (uint64_t seed = 1; seed <= kRuns; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    CrashTest test(seed);
    test.run(30);
    crashes += test.crashes();
    if (::testing::Test::HasFailure()) return;
  }
  EXPECT_GT(crashes, kRuns * 3 / 2) << "the power must really go";
}

}  // namespace
}  // namespace ziwa::stream
