#include "app/testing/power_scenario.h"
#include "base/log.h"
#include "base/slowness.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <thread>

// Power cuts at random points over the whole data directory. After each the server opens again and
// must have what it acknowledged: every record once, every row of a table once, transactions,
// offsets and objects whole, views equal to the batch answer, sinks exactly once.
namespace ziwa::app {
namespace {

using testing::in_parallel;
using testing::PowerScenario;

constexpr int kCutsPerDirectory = 20;
/// Cuts in all; ZIWA_POWER_CUTS asks for more, ZIWA_POWER_SEED for one directory.
int cuts_wanted() {
  const char* text = std::getenv("ZIWA_POWER_CUTS");
  return text != nullptr ? std::atoi(text) : 500 / kSlowness;
}

class PowerCut : public ::testing::Test {
 protected:
  // Lives end in the middle: all that they log is noise.
  void SetUp() override { set_log_level(LogLevel::off); }
  void TearDown() override { set_log_level(LogLevel::info); }
};

TEST_F(PowerCut, everything_acknowledged_is_there_and_answers_are_equal) {
  const char* only = std::getenv("ZIWA_POWER_SEED");
  int directories =
      only != nullptr ? 1 : (cuts_wanted() + kCutsPerDirectory - 1) / kCutsPerDirectory;
  std::mutex mutex;
  std::vector<std::string> wrong;
  std::atomic<int> cuts = 0;
  in_parallel(static_cast<size_t>(directories), [&](size_t number) {
    uint64_t seed = only != nullptr ? std::strtoull(only, nullptr, 10) : number + 1;
    PowerScenario scenario({.seed = seed});
    auto found = scenario.run(kCutsPerDirectory);
    cuts += scenario.cuts();
    if (!found) return false;
    std::lock_guard lock(mutex);
    wrong.push_back(fmt::format("seed {}, {}", seed, *found));
    return true;
  });
  for (const auto& text : wrong) ADD_FAILURE() << text;
  std::printf("%d power cuts\n", cuts.load());
}

}  // namespace
}  // namespace ziwa::app
