// What was acknowledged survives power cuts, what was not is never half there, and no writer loses
// a commit.
#include "base/sim_file.h"
#include "base/slowness.h"
#include "lake/table.h"
#include "lake/testing/rows.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <thread>

namespace ziwa::lake {
namespace {

data::Schema one_column(const std::string& type = "BIGINT") {
  return {.columns = {{.id = 1, .name = "id", .type = type},
                      {.id = 2, .name = "p", .type = "INTEGER"}}};
}

/// Commits rows `number`, two each, in two partitions. The number of rows tells which commits are
/// there.
Status commit_number(Table& table, duck::Instance& instance, int number) {
  Commit commit{.transaction = Commit::Transaction{"test", number}};
  commit.add =
      TRY(write_query(table, instance, fmt::format("SELECT {}, range FROM range(2)", number)));
  TRY(table.commit(commit));
  return {};
}

/// One life: open or create, then commit until the power goes. Returns the number of the last
/// acknowledged commit.
int live(SimFileSystem& files, const Clock& clock, int first) {
  auto instance = duck::Instance::open(files, {});
  if (!instance.has_value()) return first - 1;
  auto store = [&] { return make_local_store(files, "/data/lake/7"); };
  auto table = Table::open(store(), **instance, clock);
  if (!table.has_value()) {
    table = Table::create(store(), **instance, clock,
                          {.schema = one_column(),
                           .partition_columns = {"p"},
                           .properties = {{"delta.checkpointInterval", "3"}}});
  }
  if (!table.has_value()) return first - 1;
  int acknowledged = first - 1;
  // A commit that failed midway may be there all the same: its number tells.
  for (int number = first; number < first + 12; ++number) {
    Status done = commit_number(**table, **instance, number);
    if (!done.has_value() && done.error().code() != Code::already_exists) break;
    acknowledged = number;
  }
  return acknowledged;
}

/// Runs lives with power cuts at seeded places; returns what is wrong, or empty.
std::string cut_often(uint64_t seed, const std::function<void(SimFileSystem&)>& prepare) {
  SimFileSystem files(seed);
  prepare(files);
  ManualClock clock;
  std::mt19937_64 random(seed);
  int acknowledged = 0;
  for (int cut = 0; cut < 6; ++cut) {
    files.die_after(1 + random() % 220);
    int before = acknowledged;
    acknowledged = live(files, clock, acknowledged + 1);
    files.cut_power();
    auto instance = duck::Instance::open(files, {});
    if (!instance.has_value()) return instance.error().to_string();
    auto table = Table::open(make_local_store(files, "/data/lake/7"), **instance, clock);
    if (!table.has_value()) {
      if (acknowledged == 0 && table.error().code() == Code::not_found) continue;
      return "cannot be opened: " + table.error().to_string();
    }
    auto rows = read_rows(*(*table)->snapshot()->scan());
    if (!rows.has_value()) return "cannot be read: " + rows.error().to_string();
    std::map<int, int> counts;
    for (const std::string& row : *rows) ++counts[std::atoi(row.c_str())];
    for (int number = 1; number <= acknowledged; ++number) {
      if (counts[number] != 2)
        return fmt::format("commit {} has {} rows after cut {}", number, counts[number], cut);
    }
    for (auto [number, count] : counts) {
      if (count != 2) return fmt::format("half of commit {} is there", number);
      if (number > acknowledged + 1) return fmt::format("commit {} came from nowhere", number);
    }
    if (counts.contains(acknowledged + 1)) ++acknowledged;  // not acknowledged, but durable now
    if (acknowledged < before) return "went back";
  }
  return {};
}

TEST(CommitTest, AcknowledgedCommitsSurvivePowerCuts) {
  for (uint64_t seed = 1; seed <= 60 / kSlowness; ++seed) {
    ASSERT_EQ(cut_often(seed, [](SimFileSystem&) {}), "") << "seed " << seed;
  }
}

TEST(CommitTest, EverySyncIsNeeded) {
  // Data files, log entries and their folders: without the sync of any of them some cut loses
  // something.
  auto fails = [](const std::function<bool(const std::string&)>& skip) {
    for (uint64_t seed = 1; seed <= 40; ++seed) {
      if (!cut_often(seed, [&](SimFileSystem& files) {
             files.skip_syncs([skip](const SyncCall& sync) { return skip(sync.path); });
           }).empty()) {
        return true;
      }
    }
    return false;
  };
  EXPECT_TRUE(fails([](const std::string& path) {
    return path.find("part-") != std::string::npos;
  })) << "data files";
  EXPECT_TRUE(fails([](const std::string& path) {
    return path.find("p=") != std::string::npos && path.find("part-") == std::string::npos;
  })) << "partition folders";
  EXPECT_TRUE(fails([](const std::string& path) {
    return path.find("_delta_log/") != std::string::npos;
  })) << "log entries";
  EXPECT_TRUE(fails([](const std::string& path) { return path.ends_with("_delta_log"); }))
      << "the log's folder";
  EXPECT_TRUE(fails([](const std::string& path) { return path.ends_with("/lake/7"); }))
      << "the table's folder";
  EXPECT_TRUE(fails([](const std::string& path) { return path.ends_with("/data/lake"); }))
      << "the folder of tables";
}

TEST(CommitTest, TwoWritersLoseNothing) {
  SimFileSystem files;
  ManualClock clock;
  auto instance = duck::Instance::open(files, {}).value();
  ASSERT_TRUE(
      Table::create(make_local_store(files, "/t"), *instance, clock, {.schema = one_column()})
          .has_value());
  constexpr int kEach = 100;
  auto write = [&](int writer) {
    auto table = Table::open(make_local_store(files, "/t"), *instance, clock);
    ASSERT_TRUE(table.has_value()) << table.error().to_string();
    for (int i = 0; i < kEach; ++i) {
      Commit commit{.transaction = Commit::Transaction{fmt::format("w{}", writer), i}};
      auto files =
          write_query(**table, *instance, fmt::format("SELECT {}, {}", writer * kEach + i, writer));
      ASSERT_TRUE(files.has_value()) << files.error().to_string();
      commit.add = std::move(*files);
      auto done = (*table)->commit(commit);
      ASSERT_TRUE(done.has_value()) << done.error().to_string();
    }
  };
  std::thread first(write, 0);
  std::thread second(write, 1);
  first.join();
  second.join();
  auto table = Table::open(make_local_store(files, "/t"), *instance, clock);
  ASSERT_TRUE(table.has_value());
  auto snapshot = (*table)->snapshot();
  EXPECT_EQ(snapshot->version(), 2 * kEach);
  std::set<std::string> rows;
  for (std::string& row : read_rows(*snapshot->scan()).value())
    EXPECT_TRUE(rows.insert(std::move(row)).second);
  EXPECT_EQ(rows.size(), 2u * kEach);
  EXPECT_EQ(snapshot->transaction_version("w0"), kEach - 1);
  EXPECT_EQ(snapshot->transaction_version("w1"), kEach - 1);
}

TEST(CommitTest, OneTableServesManyThreads) {
  SimFileSystem files;
  ManualClock clock;
  auto instance = duck::Instance::open(files, {}).value();
  auto table =
      Table::create(make_local_store(files, "/t"), *instance, clock, {.schema = one_column()})
          .value();
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 10; ++i) {
        auto files = write_query(*table, *instance, fmt::format("SELECT {}, 0", t * 10 + i));
        ASSERT_TRUE(files.has_value());
        ASSERT_TRUE(table->commit({.add = *files}).has_value());
        auto rows = read_rows(*table->snapshot()->scan());
        ASSERT_TRUE(rows.has_value()) << rows.error().to_string();
        ASSERT_GE(rows->size(), static_cast<size_t>(i) + 1);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(read_rows(*table->snapshot()->scan())->size(), 30u);
}

/// A store whose put_new does not know whether it happened.
class DoubtfulStore final : public ObjectStore {
 public:
  DoubtfulStore(std::shared_ptr<ObjectStore> inner, bool applies)
      : inner_(std::move(inner)), applies_(applies) {}
  Status put(const std::string& key, ByteView content) override {
    return inner_->put(key, content);
  }
  Status put_new(const std::string& key, ByteView content) override {
    if (doubts > 0) {
      --doubts;
      if (applies_) TRY(inner_->put_new(key, content));
      return Error(Code::maybe_applied, "the connection broke");
    }
    return inner_->put_new(key, content);
  }
  Result<Bytes> get(const std::string& key) override { return inner_->get(key); }
  Result<Bytes> get_range(const std::string& key, uint64_t from, uint64_t size) override {
    return inner_->get_range(key, from, size);
  }
  Result<ObjectInfo> head(const std::string& key) override { return inner_->head(key); }
  Result<std::vector<ObjectInfo>> list(const std::string& prefix, const std::string& after,
                                       size_t limit) override {
    return inner_->list(prefix, after, limit);
  }
  Status remove(const std::string& key) override { return inner_->remove(key); }
  Status remove_many(const std::vector<std::string>& keys) override {
    return inner_->remove_many(keys);
  }
  std::string path_of(const std::string& key) const override { return inner_->path_of(key); }
  Result<Staged> stage(const std::string& key) override { return inner_->stage(key); }
  Status publish(const std::vector<Staged>& objects) override { return inner_->publish(objects); }
  void discard(const Staged& object) override { inner_->discard(object); }
  Result<size_t> discard_abandoned(int64_t before_ms) override {
    return inner_->discard_abandoned(before_ms);
  }

  int doubts = 0;

 private:
  std::shared_ptr<ObjectStore> inner_;
  bool applies_;
};

TEST(CommitTest, DoubtIsResolvedByReading) {
  SimFileSystem files;
  ManualClock clock;
  auto instance = duck::Instance::open(files, {}).value();
  for (bool applies : {true, false}) {
    std::string root = applies ? "/yes" : "/no";
    auto store = std::make_shared<DoubtfulStore>(make_local_store(files, root), applies);
    auto table = Table::create(store, *instance, clock, {.schema = one_column()}).value();
    store->doubts = 1;
    auto written = write_query(*table, *instance, "SELECT 1, 1").value();
    auto done = table->commit({.add = written});
    if (applies) {
      ASSERT_TRUE(done.has_value()) << done.error().to_string();
    } else {
      ASSERT_EQ(done.error().code(), Code::maybe_applied);
      ASSERT_TRUE(table->commit({.add = written}).has_value());
    }
    auto again = Table::open(make_local_store(files, root), *instance, clock).value();
    EXPECT_EQ(read_rows(*again->snapshot()->scan()).value(), std::vector<std::string>{"1|1"});
    EXPECT_EQ(again->snapshot()->version(), 1);
  }
}

}  // namespace
}  // namespace ziwa::lake
