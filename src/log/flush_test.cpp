#include "base/log.h"
#include "log/testing/log_rig.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

// The setting log.flush: what a power cut takes back, and that it never takes more, leaves a gap or
// something torn.
namespace ziwa::log {
namespace {

using journal::Flush;
using std::chrono::milliseconds;
using testing::LogRig;
using SteadyClock = std::chrono::steady_clock;

const PartitionId kP0{ObjectId(1), 0};
const PartitionId kP1{ObjectId(1), 1};
constexpr uint64_t kSeeds = 60;

/// A record that was acknowledged, and when.
struct Sent {
  PartitionId id;
  std::string value;
  SteadyClock::time_point acknowledged;
};

/// A log with one topic, and what it acknowledged.
class Server {
 public:
  Server(uint64_t seed, Flush flush, int64_t interval_ms = 3'600'000) : rig_(seed) {
    rig_.journal_options.flush = flush;
    rig_.journal_options.flush_interval_ms = interval_ms;
    // A sync of all would make the disk forget nothing.
    rig_.journal_options.sync_all_above = 1'000;
    // Of the files of a group the journal's own is the last.
    rig_.fs->skip_syncs([this](const SyncCall& sync) {
      if (sync.path.ends_with(".journal")) last_sync_ = SteadyClock::now().time_since_epoch();
      return false;
    });
    rig_.open();
    rig_.create(ObjectId(1), {.partitions = 2, .segment_bytes = 2'048});
    EXPECT_TRUE(rig_.journal().sync());
  }

  void append(int count) {
    for (int i = 0; i < count; ++i) {
      PartitionId id = sent_.size() % 3 == 0 ? kP1 : kP0;
      auto value = fmt::format("{:0100}", sent_.size());
      rig_.append(id, rig_.batch({value}));
      sent_.push_back({id, value, SteadyClock::now()});
    }
  }
  /// When the journal was last synced.
  SteadyClock::time_point last_sync() const { return SteadyClock::time_point(last_sync_.load()); }
  const std::vector<Sent>& sent() const { return sent_; }
  LogRig& rig() { return rig_; }

  /// After a restart: how many records are there. They are the first ones, of all that was sent.
  size_t recovered() {
    auto opened = rig_.try_open();
    EXPECT_TRUE(opened) << opened.error().to_string();
    if (!opened) return 0;
    auto p0 = rig_.values(kP0);
    auto p1 = rig_.values(kP1);
    size_t kept = p0.size() + p1.size();
    EXPECT_LE(kept, sent_.size());
    std::vector<std::string> expected_p0;
    std::vector<std::string> expected_p1;
    for (size_t i = 0; i < std::min(kept, sent_.size()); ++i) {
      (sent_[i].id == kP0 ? expected_p0 : expected_p1).push_back(sent_[i].value);
    }
    EXPECT_EQ(p0, expected_p0);
    EXPECT_EQ(p1, expected_p1);
    sent_.resize(std::min(kept, sent_.size()));
    return kept;
  }

 private:
  std::atomic<SteadyClock::duration> last_sync_{};
  std::vector<Sent> sent_;
  LogRig rig_;
};

class LogFlush : public ::testing::Test {
 protected:
  // Each recovery says what it cuts.
  void SetUp() override { set_log_level(LogLevel::error); }
};

TEST_F(LogFlush, WithOsAKilledProcessLosesNothing) {
  for (Flush flush : {Flush::os, Flush::interval}) {
    Server server(1, flush);
    for (size_t life = 1; life <= 3; ++life) {
      server.append(100);
      server.rig().kill();
      EXPECT_EQ(server.recovered(), life * 100);
    }
  }
}

TEST_F(LogFlush, WithOsAPowerCutTakesTheLastOnesWithoutAGap) {
  size_t lost = 0;
  size_t kept = 0;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    Server server(seed, Flush::os);
    for (int life = 0; life < 3; ++life) {
      size_t before = server.sent().size();
      EntryNumber seen = server.rig().journal().durable();
      server.append(50);
      server.rig().crash();
      size_t now = server.recovered();
      ASSERT_GE(now, before) << "seed " << seed << ": what a start has served is durable";
      EXPECT_GT(server.rig().journal().durable(), seen) << "no number is given twice";
      kept += now - before;
      lost += before + 50 - now;
    }
  }
  EXPECT_GT(lost, kSeeds * 10) << "nothing is synced before it is acknowledged";
  EXPECT_GT(kept, kSeeds) << "what reached the disk is used";
}

TEST_F(LogFlush, WithOsWhatASyncOrACloseHasCoveredStays) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    Server server(seed, Flush::os);
    server.append(40);
    ASSERT_TRUE(server.rig().journal().sync());
    server.append(40);
    server.rig().crash();
    size_t kept = server.recovered();
    ASSERT_GE(kept, 40u) << "seed " << seed;
    server.append(40);
    server.rig().close();
    server.rig().crash();
    EXPECT_EQ(server.recovered(), kept + 40) << "seed " << seed;
  }
}

/// Whoever is acknowledged waits for a sync at most as long as the interval, also when others come.
TEST_F(LogFlush, AnIntervalBeginsWithTheFirstThatIsNotSynced) {
  constexpr milliseconds kInterval(1'000);
  auto waited = SteadyClock::duration::max();
  // Again where the machine stood still meanwhile.
  for (int attempt = 1; attempt <= 5 && waited >= kInterval * 16 / 10; ++attempt) {
    Server server(1, Flush::interval, kInterval.count());
    std::this_thread::sleep_for(kInterval);
    server.append(1);  // Synced at once: the last sync is long ago.
    server.append(1);
    auto waits_since = server.sent().back().acknowledged;
    std::this_thread::sleep_for(kInterval * 9 / 10);
    server.append(1);
    for (int i = 0; i < 1'000 && server.last_sync() <= waits_since; ++i) {
      std::this_thread::sleep_for(milliseconds(10));
    }
    ASSERT_GT(server.last_sync(), waits_since) << "the sync comes by itself";
    waited = server.last_sync() - waits_since;
  }
  EXPECT_LT(waited, kInterval * 16 / 10);
}

TEST_F(LogFlush, WithAnIntervalAPowerCutTakesOnlyWhatCameSince) {
  constexpr milliseconds kInterval(20);
  size_t lost = 0;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    Server server(seed, Flush::interval, kInterval.count());
    auto begin = SteadyClock::now();
    // Not a whole number of intervals: the cut would fall on a sync.
    auto append_for = [&](milliseconds time) {
      auto since = SteadyClock::now();
      while (SteadyClock::now() - since < time) server.append(1);
    };
    append_for(kInterval * 5 / 2);
    // A machine that stood still has not synced yet.
    for (int i = 0; i < 500 && server.last_sync() <= begin; ++i) append_for(kInterval / 2);
    server.rig().kill();  // From here on nothing is synced.
    auto last_sync = server.last_sync();
    ASSERT_GT(last_sync, begin) << "appends without a pause do not keep it from syncing";
    auto sent = server.sent();
    server.rig().crash();
    size_t kept = server.recovered();
    lost += sent.size() - kept;
    for (size_t i = kept; i < sent.size(); ++i) {
      ASSERT_GE(sent[i].acknowledged, last_sync) << "seed " << seed << ", record " << i;
    }
  }
  EXPECT_GT(lost, kSeeds) << "the cuts fall between two syncs";
}

}  // namespace
}  // namespace ziwa::log
