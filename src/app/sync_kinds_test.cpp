#include "app/testing/power_scenario.h"
#include "base/log.h"
#include "base/slowness.h"

#include <gtest/gtest.h>

#include <atomic>

// Is every fsync needed? For each kind that the server asks for, a server that leaves it out must
// be found out by a power cut.
namespace ziwa::app {
namespace {

using testing::in_parallel;
using testing::PowerScenario;

constexpr unsigned kDirectoriesToLearn = 4;
constexpr int kCutsToLearn = 20;
constexpr uint64_t kDirectoriesToNotice = 25;
constexpr int kCutsToNotice = 10;

/// Syncs whose absence no power cut shows, and why.
const std::map<std::string, std::string> kUnnoticed = {
    {"file /data/lake/#/_delta_log/._last_checkpoint.#.tmp",
     "a hint: without it, or with a torn one, the newest checkpoint is found by listing"},
    {"file /data/log/#/#/#.index",
     "a hint: readers check the header they find; missing points make a read begin earlier"},
    {"file /data/log/#/#/#.times",
     "a list that is not whole is not read: a search asks the headers, retention does always"},
    {"file /data/meta/OPTIONS-#.dbtmp", "RocksDB writes its options for people; ours are in code"},
    {"file /data/state/OPTIONS-#.dbtmp", "RocksDB writes its options for people; ours are in code"},
};

/// Kinds of syncs, and how often each was asked for. Any thread.
class SyncCounts {
 public:
  bool add(const SyncCall& sync) {
    if (!sync.path.starts_with("/data") && sync.path != "/") return false;
    std::lock_guard lock(mutex_);
    ++counts_[testing::kind_of_sync(sync)];
    return false;
  }
  std::vector<std::string> list() const {
    std::vector<std::string> kinds;
    for (const auto& [kind, count] : counts_) kinds.push_back(kind);
    return kinds;
  }
  int count(const std::string& kind) const { return counts_.at(kind); }

 private:
  std::mutex mutex_;
  std::map<std::string, int> counts_;
};

/// Every kind of sync that the server asks for is needed: a server that leaves out one of them is
/// found out. The list below says why nobody can notice the others.
TEST(SyncKinds, leaving_out_any_one_kind_of_sync_is_found_out) {
  set_log_level(LogLevel::off);
  if (kSlowness > 1) GTEST_SKIP() << "too slow under a sanitizer";
  SyncCounts kinds;
  in_parallel(kDirectoriesToLearn, [&](size_t number) {
    PowerScenario({.seed = 1'000 + number,
                   .skip_sync = [&](const SyncCall& sync) { return kinds.add(sync); }})
        .run(kCutsToLearn);
    return false;
  });
  auto list = kinds.list();
  std::vector<std::string> found(list.size());
  in_parallel(list.size(), [&](size_t number) {
    const auto& kind = list[number];
    for (uint64_t seed = 0; seed < (kUnnoticed.contains(kind) ? 0 : kDirectoriesToNotice); ++seed) {
      PowerScenario scenario({.seed = 2'000 + seed, .skip_sync = [&](const SyncCall& sync) {
                                return testing::kind_of_sync(sync) == kind;
                              }});
      auto what = scenario.run(kCutsToNotice);
      if (!what) continue;
      found[number] = fmt::format("directory {}, {}", seed, *what);
      break;
    }
    auto reason = kUnnoticed.find(kind);
    std::string line = reason != kUnnoticed.end() ? "not tried: " + reason->second
                       : found[number].empty()    ? "NOBODY NOTICED"
                                                  : found[number].substr(0, 110);
    std::printf("%-52s %6d times: %s\n", kind.c_str(), kinds.count(kind), line.c_str());
    std::fflush(stdout);
    return false;
  });
  for (size_t i = 0; i < list.size(); ++i) {
    if (!kUnnoticed.contains(list[i])) EXPECT_NE(found[i], "") << list[i];
  }
}

}  // namespace
}  // namespace ziwa::app
