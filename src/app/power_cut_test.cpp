#include "app/testing/power_scenario.h"
#include "base/log.h"
#include "base/slowness.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <mutex>

// Power cuts at random points over the whole data directory. After each the server opens again and
// must have what it acknowledged: every record once, every row of a table once, transactions,
// offsets and objects whole, views equal to the batch answer, sinks exactly once.
// A seed is a hint, not a replay: it fixes where the power goes and what the clients ask for, while
// the threads of the server and its clock go on as they like. Who follows a failure runs its seed
// again and again: ZIWA_POWER_SEED=n.
namespace ziwa::app {
namespace {

using testing::in_parallel;
using testing::PowerScenario;
using testing::PowerWorld;
using testing::Promise;
using testing::PromiseCounts;

constexpr int kCuts = 500;
constexpr int kCutsPerDirectory = 20;
/// With fewer the clients have hardly begun, and chance decides what is acknowledged.
constexpr int kCutsToCount = 40;

/// A third of what a server acknowledges in kCuts lives: one that answers nobody keeps all of its
/// promises.
struct Floor {
  Promise promise;
  const char* name;
  uint64_t least;
};
constexpr Floor kFloors[] = {
    {Promise::records, "records", 7'600},
    {Promise::statements, "statements", 480},
    {Promise::transactions, "transactions of the log", 170},
    {Promise::commits, "commits of a group", 280},
    {Promise::objects, "objects made or dropped", 340},
    {Promise::applies, "applies of a project", 85},
};

/// Cuts in all; ZIWA_POWER_CUTS asks for another number, ZIWA_POWER_SEED for one directory. 0 when
/// that is no number.
int cuts_wanted() {
  if (std::getenv("ZIWA_POWER_SEED") != nullptr) return kCutsPerDirectory;
  const char* text = std::getenv("ZIWA_POWER_CUTS");
  return text != nullptr ? std::atoi(text) : kCuts / kSlowness;
}

void expect_floors(const PromiseCounts& kept, int cuts) {
  for (const Floor& floor : kFloors) {
    auto found = kept.find(floor.promise);
    uint64_t count = found == kept.end() ? 0 : found->second;
    std::printf("%8llu %s\n", static_cast<unsigned long long>(count), floor.name);
    if (cuts < kCutsToCount) continue;
    EXPECT_GE(count, floor.least * static_cast<uint64_t>(cuts) / kCuts)
        << floor.name << ": the server or its clients hardly do anything";
  }
}

class PowerCut : public ::testing::Test {
 protected:
  // Lives end in the middle: all that they log is noise.
  void SetUp() override { set_log_level(LogLevel::off); }
  void TearDown() override { set_log_level(LogLevel::info); }
};

TEST_F(PowerCut, everything_acknowledged_is_there_and_answers_are_equal) {
  const char* only = std::getenv("ZIWA_POWER_SEED");
  const int wanted = cuts_wanted();
  ASSERT_GT(wanted, 0)
      << "ZIWA_POWER_CUTS must be a number above 0: without a cut nothing is shown";
  int directories = (wanted + kCutsPerDirectory - 1) / kCutsPerDirectory;
  std::mutex mutex;
  std::vector<std::string> wrong;
  int cuts = 0;
  PromiseCounts kept;
  in_parallel(static_cast<size_t>(directories), [&](size_t number) {
    uint64_t seed = only != nullptr ? std::strtoull(only, nullptr, 10) : number + 1;
    PowerScenario scenario({.seed = seed});
    auto found = scenario.run(kCutsPerDirectory);
    std::lock_guard lock(mutex);
    cuts += scenario.cuts();
    for (auto [promise, count] : scenario.promises()) kept[promise] += count;
    if (!found) return false;
    wrong.push_back(fmt::format("seed {}, {}", seed, *found));
    return true;
  });
  for (const auto& text : wrong) ADD_FAILURE() << text;
  std::printf("%d power cuts\n", cuts);
  if (!wrong.empty()) return;
  EXPECT_GE(cuts, wanted);
  expect_floors(kept, cuts);
}

/// How many of `kInserts` acknowledged rows are gone when a server dies right after the last.
int64_t lost_rows(uint64_t seed, const std::string& flush, bool power) {
  constexpr int64_t kInserts = 40;
  PowerWorld world({.seed = seed, .flush = flush, .flush_interval = "1 h"});
  Status opened = world.open();
  EXPECT_TRUE(opened) << opened.error().to_string();
  if (!opened) return 0;
  EXPECT_TRUE(world.query("CREATE TOPIC t (id BIGINT)"));
  for (int64_t i = 0; i < kInserts; ++i) {
    EXPECT_TRUE(world.query(fmt::format("INSERT INTO t VALUES ({})", i)));
  }
  if (power) {
    world.fs().die_after(1);  // Before the server is taken down, which may write.
    world.cut_power();
  } else {
    world.kill();
  }
  opened = world.open();
  EXPECT_TRUE(opened) << opened.error().to_string();
  if (!opened) return 0;
  auto rows = world.read("SELECT count(*), coalesce(max(id) + 1, 0) FROM t");
  EXPECT_TRUE(rows) << rows.error().to_string();
  if (!rows) return 0;
  EXPECT_EQ(rows->front()[0], rows->front()[1]) << flush << ": the last ones go, without a gap";
  return kInserts - std::stoll(rows->front()[0]);
}

TEST_F(PowerCut, a_server_takes_log_flush) {
  std::map<std::string, int64_t> lost;
  for (const char* flush : {"always", "interval", "os"}) {
    EXPECT_EQ(lost_rows(1, flush, false), 0) << flush << ": a kill takes nothing back";
    for (uint64_t seed = 1; seed <= 8; ++seed) lost[flush] += lost_rows(seed, flush, true);
    std::printf("%s: %lld rows lost\n", flush, static_cast<long long>(lost[flush]));
  }
  EXPECT_EQ(lost["always"], 0);
  EXPECT_GT(lost["interval"], 0);
  EXPECT_GT(lost["os"], 0);
}

// With log.flush = interval or os a power cut may take back records that were acknowledged. All
// that was made from them goes with them: views, dead letters and tables of sinks are still equal
// to what the topics hold, and statements are whole.
TEST_F(PowerCut, what_was_made_from_lost_records_is_lost_with_them) {
  constexpr int kDirectories = kSlowness > 1 ? 2 : 6;
  std::mutex mutex;
  std::vector<std::string> wrong;
  int cuts = 0;
  int64_t records = 0;
  in_parallel(kDirectories, [&](size_t number) {
    std::string flush = number % 2 == 0 ? "os" : "interval";
    PowerScenario scenario({.seed = 100 + number, .flush = flush});
    auto found = scenario.run(kCutsPerDirectory);
    std::lock_guard lock(mutex);
    cuts += scenario.cuts();
    records += static_cast<int64_t>(scenario.promises()[Promise::records]);
    if (found) wrong.push_back(fmt::format("{}, directory {}, {}", flush, number, *found));
    return found.has_value();
  });
  for (const auto& text : wrong) ADD_FAILURE() << text;
  std::printf("%d power cuts\n", cuts);
  if (!wrong.empty()) return;
  EXPECT_GE(cuts, kDirectories * kCutsPerDirectory);
  EXPECT_GE(records, cuts * 10) << "the server or its clients hardly do anything";
}

}  // namespace
}  // namespace ziwa::app
