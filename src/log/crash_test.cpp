#include "base/log.h"
#include "log/testing/crash_scenario.h"

#include <gtest/gtest.h>

namespace ziwa::log {
namespace {

using testing::CrashScenario;

class Crash : public ::testing::Test {
 protected:
  void SetUp() override { set_log_level(LogLevel::error); }
};

/// The number of seeds, of a hundred, with which a promise is broken.
int violations(const std::function<bool(const std::string&)>& skip) {
  int count = 0;
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    CrashScenario scenario({.seed = seed, .skip_syncs = skip, .sync_all_above = 1000});
    if (scenario.run()) ++count;
  }
  return count;
}

TEST_F(Crash, SixHundredPowerCutsBreakNoPromise) {
  int cuts = 0;
  int batches = 0;
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    CrashScenario scenario(
        {.seed = seed, .lives = 7, .sync_all_above = seed % 2 == 0 ? size_t{2} : size_t{1000}});
    auto violation = scenario.run();
    ASSERT_FALSE(violation) << *violation;
    cuts += scenario.cuts();
    batches += scenario.batches();
  }
  EXPECT_GE(cuts, 600);
  EXPECT_GT(batches, 5'000);
}

TEST_F(Crash, KilledProcessesBeforeAPowerCutBreakNoPromise) {
  for (uint64_t seed = 1000; seed <= 1060; ++seed) {
    CrashScenario scenario({.seed = seed, .power_cuts = false});
    auto violation = scenario.run();
    ASSERT_FALSE(violation) << *violation;
  }
}

// The test above can fail: without any one kind of sync it does.
TEST_F(Crash, WithoutSyncsOfTheJournalPromisesBreak) {
  EXPECT_GT(violations([](const std::string& path) { return path.ends_with(".journal"); }), 10);
}
TEST_F(Crash, WithoutSyncsOfSegmentsPromisesBreak) {
  EXPECT_GT(violations([](const std::string& path) { return path.ends_with(".log"); }), 10);
}
TEST_F(Crash, WithoutSyncsOfPartitionDirectoriesPromisesBreak) {
  EXPECT_GT(violations([](const std::string& path) {
              return path.starts_with("data/log/") && !path.contains('.');
            }),
            10);
}
TEST_F(Crash, WithoutSyncsOfTheJournalDirectoryPromisesBreak) {
  EXPECT_GT(violations([](const std::string& path) { return path == "data/journal"; }), 10);
}
TEST_F(Crash, WithoutSyncsOfTheEntriesPromisesBreak) {
  EXPECT_GT(violations([](const std::string& path) { return path.ends_with(".entries"); }), 10);
}

}  // namespace
}  // namespace ziwa::log
