#include "app/testing/power_scenario.h"
#include "base/log.h"
#include "base/slowness.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <set>

// Is every fsync needed? For each kind that the server asks for, a server that leaves it out must
// be found out by a power cut.
namespace ziwa::app {
namespace {

using testing::in_parallel;
using testing::PowerScenario;

constexpr unsigned kDirectoriesToLearn = 4;
constexpr int kCutsToLearn = 20;
/// Rounds of so many directories until every expected kind was seen.
constexpr unsigned kRoundsToLearn = 4;
constexpr uint64_t kDirectoriesToNotice = 40;
constexpr int kCutsToNotice = 10;
/// What is made once in a directory is noticed by its first cut, if at all.
constexpr uint64_t kNewDirectoriesToNotice = 400;
constexpr int kCutsToNoticeNew = 2;

/// The kinds of syncs that a server asks for and a power cut shows the absence of. Equal to what it
/// does ask for, so that none comes unseen and none stays untested because a client broke.
const std::set<std::string> kNeeded = {
    "directory /",
    "directory /data",
    "directory /data/journal",
    "directory /data/lake",
    "directory /data/lake/#",
    "directory /data/lake/#/_delta_log",
    "directory /data/lake/#/statement=#",
    "directory /data/lake/#/ts_day=#",
    "directory /data/log",
    "directory /data/log/#",
    "directory /data/log/#/#",
    "directory /data/meta",
    "directory /data/state",
    "everything /data/journal",
    "file /data/VERSION.tmp",
    "file /data/journal/#.journal",
    "file /data/lake/#/.part#.c#.zstd.parquet.#.tmp",
    "file /data/lake/#/_delta_log/.#.checkpoint.parquet.#.tmp",
    "file /data/lake/#/_delta_log/.#.json.#.tmp",
    "file /data/lake/#/statement=#/.part#.c#.zstd.parquet.#.tmp",
    "file /data/lake/#/ts_day=#/.part#.c#.zstd.parquet.#.tmp",
    "file /data/log/#/#/#.aborted",
    "file /data/log/#/#/#.entries",
    "file /data/log/#/#/#.log",
    "file /data/log/#/#/checkpoint.tmp",
    "file /data/log/#/topic.tmp",
    "file /data/log/format.tmp",
    "file /data/log/producer_ids.tmp",
    "file /data/log/topics.tmp",
    "file /data/meta/#.dbtmp",
    "file /data/meta/#.log",
    "file /data/meta/#.sst",
    "file /data/meta/MANIFEST-#",
    "file /data/state/#.dbtmp",
    "file /data/state/#.log",
    "file /data/state/#.sst",
    "file /data/state/MANIFEST-#",
};

/// Those of what is made once in a directory.
const std::set<std::string> kMadeOnce = {"directory /", "file /data/VERSION.tmp",
                                         "file /data/log/format.tmp"};

/// Those whose absence no power cut shows, and why.
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
  SyncCounts() {
    for (const auto& kind : kNeeded) counts_[kind] = 0;
    for (const auto& [kind, reason] : kUnnoticed) counts_[kind] = 0;
  }
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
  bool all_seen() const {
    return std::ranges::none_of(counts_, [](const auto& one) { return one.second == 0; });
  }

 private:
  std::mutex mutex_;
  std::map<std::string, int> counts_;
};

/// Runs whole servers and sees what they sync.
void learn(SyncCounts& kinds) {
  for (unsigned round = 0; round < kRoundsToLearn && !kinds.all_seen(); ++round) {
    in_parallel(kDirectoriesToLearn, [&](size_t number) {
      PowerScenario({.seed = 1'000 + round * kDirectoriesToLearn + number,
                     .skip_sync = [&](const SyncCall& sync) { return kinds.add(sync); }})
          .run(kCutsToLearn);
      return false;
    });
  }
}

/// What a power cut shows of a server that leaves out all syncs of `kind`; empty: nothing.
std::string notice(const std::string& kind) {
  bool once = kMadeOnce.contains(kind);
  uint64_t directories = once ? kNewDirectoriesToNotice : kDirectoriesToNotice;
  for (uint64_t number = 0; number < directories; ++number) {
    PowerScenario scenario({.seed = 2'000 + number, .skip_sync = [&](const SyncCall& sync) {
                              return testing::kind_of_sync(sync) == kind;
                            }});
    auto what = scenario.run(once ? kCutsToNoticeNew : kCutsToNotice);
    if (what) return fmt::format("directory {}, {}", number, *what);
  }
  return "";
}

/// Every kind of sync that the server asks for is needed: a server that leaves out one of them is
/// found out. The list above says why nobody can notice the others.
TEST(SyncKinds, leaving_out_any_one_kind_of_sync_is_found_out) {
  set_log_level(LogLevel::off);
  if (kSlowness > 1) GTEST_SKIP() << "too slow under a sanitizer";
  SyncCounts kinds;
  learn(kinds);
  auto list = kinds.list();
  for (const auto& kind : list) {
    EXPECT_TRUE(kNeeded.contains(kind) || kUnnoticed.contains(kind))
        << kind
        << " has come. If a power cut shows its absence (below), it belongs into kNeeded; if "
        << "none can, into kUnnoticed with the reason; else a client of PowerScenario must use it.";
    EXPECT_GT(kinds.count(kind), 0)
        << kind << " is asked for no more. If the server has no need of it, take it off the list; "
        << "else the sync was lost, its file has another name, or the client that led to it is "
        << "broken.";
  }
  std::vector<std::string> found(list.size());
  in_parallel(list.size(), [&](size_t number) {
    const auto& kind = list[number];
    if (kinds.count(kind) == 0) return false;
    if (!kUnnoticed.contains(kind)) found[number] = notice(kind);
    auto reason = kUnnoticed.find(kind);
    std::string line = reason != kUnnoticed.end() ? "not tried: " + reason->second
                       : found[number].empty()    ? "NOBODY NOTICED"
                                                  : found[number].substr(0, 110);
    std::printf("%-52s %6d times: %s\n", kind.c_str(), kinds.count(kind), line.c_str());
    std::fflush(stdout);
    return false;
  });
  for (size_t i = 0; i < list.size(); ++i) {
    if (kUnnoticed.contains(list[i]) || kinds.count(list[i]) == 0) continue;
    EXPECT_NE(found[i], "") << list[i] << " can be left out and nobody notices";
  }
}

}  // namespace
}  // namespace ziwa::app
