#include "journal/journal.h"

#include "base/sim_file.h"
#include "journal/journal_impl_internal.h"

#include <gtest/gtest.h>

#include <sys/resource.h>
#include <thread>

namespace ziwa::journal {
namespace {

const Journal::Verify kAllWhole = [](const PartitionEnd&) { return true; };

PartitionEnd end_of(int32_t partition, int64_t end) {
  return {{ObjectId(1), partition}, Offset(end)};
}

class JournalTest : public testing::Test {
 protected:
  Result<std::unique_ptr<Journal>> try_open(const Journal::Verify& verify = kAllWhole) {
    return Journal::open(fs_, "data/journal", clock_, metrics_, options_, verify);
  }
  std::unique_ptr<Journal> open(const Journal::Verify& verify = kAllWhole) {
    auto journal = try_open(verify);
    EXPECT_TRUE(journal) << journal.error().to_string();
    return journal ? std::move(*journal) : nullptr;
  }
  EntryNumber commit(Journal& journal, int32_t partition, int64_t end) {
    auto number = journal.submit_and_wait(LogCommit{{end_of(partition, end)}}, {});
    EXPECT_TRUE(number) << number.error().to_string();
    return number ? *number : EntryNumber(0);
  }
  std::vector<Entry> all(Journal& journal, EntryNumber after = {}) {
    auto entries = journal.read(after, 1'000'000);
    EXPECT_TRUE(entries) << entries.error().to_string();
    return entries ? *entries : std::vector<Entry>{};
  }

  SimFileSystem fs_{7};
  ManualClock clock_;
  Metrics metrics_;
  Journal::Options options_{.unclean_skip = 1000};
};

TEST_F(JournalTest, NumbersFollowEachOtherAndSurviveACleanClose) {
  {
    auto journal = open();
    EXPECT_EQ(journal->durable(), EntryNumber(1)) << "the Opened entry";
    EXPECT_EQ(commit(*journal, 0, 10), EntryNumber(2));
    EXPECT_EQ(commit(*journal, 0, 20), EntryNumber(3));
    ASSERT_TRUE(journal->close());
  }
  fs_.cut_power();
  auto journal = open();
  auto entries = all(*journal);
  ASSERT_EQ(entries.size(), 5u) << "opened, two commits, the closing tick, opened";
  EXPECT_EQ(std::get<LogCommit>(entries[2].body).ends, std::vector{end_of(0, 20)});
  EXPECT_TRUE(std::get<Opened>(entries[4].body).clean);
  EXPECT_EQ(entries[4].number, EntryNumber(5));
}

TEST_F(JournalTest, AfterAPowerCutAcknowledgedEntriesAreThereAndNumbersSkip) {
  {
    auto journal = open();
    commit(*journal, 0, 10);
  }
  fs_.cut_power();
  auto journal = open();
  auto entries = all(*journal);
  ASSERT_EQ(entries.size(), 3u);
  EXPECT_EQ(entries[1].number, EntryNumber(2));
  EXPECT_EQ(entries[2].number, EntryNumber(1003));
  EXPECT_FALSE(std::get<Opened>(entries[2].body).clean);
  EXPECT_EQ(commit(*journal, 0, 11), EntryNumber(1004));
}

TEST_F(JournalTest, TimeNeverGoesBack) {
  auto journal = open();
  clock_.advance(std::chrono::seconds(10));
  commit(*journal, 0, 1);
  TimestampMs high = journal->last_time();
  clock_.set(TimestampMs(5));
  commit(*journal, 0, 2);
  EXPECT_EQ(journal->last_time(), high);
  journal.reset();
  journal = open();
  EXPECT_GE(journal->last_time(), high);
}

TEST_F(JournalTest, CommitsOfOneGroupBecomeOneEntryInOrder) {
  auto journal = open();
  // While the sync thread is in this callback the rest gathers into one group.
  std::atomic<bool> inside{false};
  std::atomic<bool> go{false};
  journal->submit(ClockTick{}, {}, [&](auto) {
    inside = true;
    while (!go) std::this_thread::yield();
  });
  while (!inside) std::this_thread::yield();
  std::vector<EntryNumber> numbers;
  auto note = [&](Result<EntryNumber> number) { numbers.push_back(number.value()); };
  journal->submit(LogCommit{{end_of(1, 5)}}, {}, note);
  journal->submit(LogCommit{{end_of(0, 7)}}, {}, note);
  journal->submit(LogCommit{{end_of(1, 9)}}, {}, note);
  journal->submit(CatalogChange{3}, {}, note);
  journal->submit(LogCommit{{end_of(1, 10)}}, {}, note);
  go = true;
  ASSERT_TRUE(journal->submit_and_wait(ClockTick{}, {}));
  ASSERT_EQ(numbers.size(), 5u);
  EXPECT_EQ(numbers[0], numbers[2]);
  EXPECT_EQ(numbers[3].value, numbers[0].value + 1);
  EXPECT_EQ(numbers[4].value, numbers[0].value + 2);
  auto entries = all(*journal, EntryNumber(numbers[0].value - 1));
  EXPECT_EQ(std::get<LogCommit>(entries[0].body).ends, (std::vector{end_of(0, 7), end_of(1, 9)}));
}

TEST_F(JournalTest, ListenersSeeEntriesBeforeAndAfterTheyAreVisible) {
  auto journal = open();
  std::vector<std::string> seen;
  auto before = journal->listen(
      [&](const std::vector<Entry>& entries) {
        seen.push_back(journal->durable() < entries.back().number ? "before" : "wrong");
      },
      Journal::When::before_visible);
  auto after = journal->listen([&](const std::vector<Entry>& entries) {
    seen.push_back(journal->durable() == entries.back().number ? "after" : "wrong");
  });
  commit(*journal, 0, 1);
  EXPECT_EQ(seen, (std::vector<std::string>{"before", "after"}));
  after.reset();
  commit(*journal, 0, 2);
  EXPECT_EQ(seen.size(), 3u);
}

TEST_F(JournalTest, OldEntriesAreReadFromFilesAndTrimKeepsWhatIsHeld) {
  options_.segment_bytes = 2'000;
  auto journal = open();
  for (int64_t i = 1; i <= 500; ++i) commit(*journal, 0, i);
  journal.reset();
  journal = open();
  auto entries = all(*journal);
  ASSERT_EQ(entries.size(), 502u);
  for (size_t i = 0; i < 501; ++i) EXPECT_EQ(entries[i].number, EntryNumber(i + 1));
  EXPECT_EQ(journal->read(EntryNumber(100), 7)->front().number, EntryNumber(101));
  EXPECT_EQ(journal->read(EntryNumber(100), 7)->size(), 7u);

  journal->hold("reader", EntryNumber(100));
  ASSERT_TRUE(journal->trim(EntryNumber(400)));
  EXPECT_LE(journal->first(), EntryNumber(100));
  EXPECT_GT(journal->first(), EntryNumber(1));
  journal->hold("reader", std::nullopt);
  ASSERT_TRUE(journal->trim(EntryNumber(400)));
  EXPECT_GT(journal->first(), EntryNumber(300));
  EXPECT_LE(journal->first(), EntryNumber(400));
  auto gone = journal->read(EntryNumber(5), 1);
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code(), Code::not_found);
  journal.reset();
  fs_.cut_power();
  EXPECT_TRUE(open());
}

TEST_F(JournalTest, AnUnacknowledgedEntryWithoutItsDataIsCut) {
  {
    auto journal = open();
    commit(*journal, 0, 10);
  }
  // A mark may say that entry 2 is durable; entry 3 and its data are torn apart by dying before the
  // sync.
  auto journal = open();
  commit(*journal, 0, 20);
  fs_.die_after(2);  // the frame is written, the sync fails
  auto failed = journal->submit_and_wait(LogCommit{{end_of(0, 30)}}, {});
  EXPECT_FALSE(failed);
  auto later = journal->submit_and_wait(LogCommit{{end_of(0, 40)}}, {});
  EXPECT_FALSE(later) << "the journal has failed for good";
  journal.reset();
  fs_.die_after(0);
  fs_.cut_power();
  journal = open([](const PartitionEnd& end) { return end.end <= Offset(20); });
  for (const auto& entry : all(*journal)) {
    if (const auto* commit = std::get_if<LogCommit>(&entry.body))
      EXPECT_LE(commit->ends[0].end, Offset(20));
  }
}

TEST_F(JournalTest, AcknowledgedDataThatIsGoneIsRefused) {
  {
    auto journal = open();
    commit(*journal, 0, 10);
    commit(*journal, 0, 20);
    commit(*journal, 0, 30);
  }
  auto journal = try_open([](const PartitionEnd& end) { return end.end < Offset(20); });
  ASSERT_FALSE(journal);
  EXPECT_EQ(journal.error().code(), Code::corrupt);
  EXPECT_TRUE(open()) << "the refusal changed nothing";
}

TEST_F(JournalTest, OneThatEndsBeforeAnEntryThatWasDurableIsRefusedAndLeftAlone) {
  {
    auto journal = open();
    commit(*journal, 0, 10);
    EXPECT_EQ(commit(*journal, 0, 20), EntryNumber(3));
  }
  options_.must_reach = EntryNumber(4);
  for (int i = 0; i < 2; ++i) {
    auto older = try_open();
    ASSERT_FALSE(older);
    EXPECT_EQ(older.error().code(), Code::corrupt) << older.error().to_string();
  }
  options_.must_reach = EntryNumber(3);
  auto journal = open();
  EXPECT_EQ(std::get<LogCommit>(all(*journal)[2].body).ends, std::vector{end_of(0, 20)});

  SimFileSystem empty;
  auto made = Journal::open(empty, "data/journal", clock_, metrics_, options_, kAllWhole);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code(), Code::corrupt) << made.error().to_string();
}

TEST_F(JournalTest, AFlippedBitInAcknowledgedEntriesIsNeverServed) {
  {
    auto journal = open();
    for (int64_t i = 1; i <= 5; ++i) commit(*journal, 0, i);
    ASSERT_TRUE(journal->close());
  }
  std::string path = "data/journal/00000000000000000001.journal";
  for (uint64_t bit = 48 * 8; bit < 48 * 8 + 5 * 40 * 8; bit += 7) {
    ASSERT_TRUE(fs_.flip_bit(path, bit));
    auto journal = try_open();
    ASSERT_FALSE(journal) << "bit " << bit;
    EXPECT_EQ(journal.error().code(), Code::corrupt);
    ASSERT_TRUE(fs_.flip_bit(path, bit));
  }
  EXPECT_TRUE(open());
}

TEST_F(JournalTest, AFullDiskIsAnnouncedBeforeTheJournalNeedsIt) {
  auto journal = open();
  fs_.set_capacity(700'000);
  int64_t end = 0;
  while (journal->room() && end < 100'000) commit(*journal, 0, ++end);
  ASSERT_FALSE(journal->room());
  EXPECT_EQ(journal->room().error().code(), Code::exhausted);
  commit(*journal, 0, ++end);  // there is still a reserve for what is on its way
  fs_.set_capacity(0);
  for (int i = 0; i < 100 && !journal->room(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_TRUE(journal->room());
  commit(*journal, 0, ++end);
}

TEST_F(JournalTest, WaitEndsWithTheEntryOrTheTime) {
  auto journal = open();
  EXPECT_TRUE(journal->wait(EntryNumber(1), 0));
  auto late = journal->wait(EntryNumber(2), 10);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code(), Code::unavailable);
  std::thread writer([&] { commit(*journal, 0, 1); });
  EXPECT_TRUE(journal->wait(EntryNumber(2), 10'000));
  writer.join();
}

TEST_F(JournalTest, ClosedRefusesPolitely) {
  auto journal = open();
  ASSERT_TRUE(journal->close());
  ASSERT_TRUE(journal->close());
  auto refused = journal->submit_and_wait(ClockTick{}, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::unavailable);
}

TEST_F(JournalTest, IntervalAcknowledgesAtOnceAndSyncMakesDurable) {
  options_.flush = Flush::interval;
  options_.flush_interval_ms = 3'600'000;
  auto journal = open();
  commit(*journal, 0, 10);
  ASSERT_TRUE(journal->sync());
  journal.reset();
  fs_.cut_power();
  journal = open();
  EXPECT_EQ(all(*journal)[1].number, EntryNumber(2));
}

TEST_F(JournalTest, ATrimThatCouldNotRemoveAFileGoesOnWithThatFile) {
  options_.segment_bytes = 2'000;
  auto journal = open();
  for (int64_t i = 1; i <= 500; ++i) commit(*journal, 0, i);
  EntryNumber first = journal->first();
  // A folder with something in it stands where the file was: it cannot be removed.
  std::string oldest = "data/journal/00000000000000000001.journal";
  ASSERT_TRUE(fs_.remove(oldest));
  ASSERT_TRUE(fs_.make_dirs(oldest + "/stuck"));
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(journal->trim(journal->durable()));
  EXPECT_EQ(journal->first(), first);
  EXPECT_GT(fs_.list("data/journal")->size(), 5u) << "those behind it stay, so that no gap comes";
  ASSERT_TRUE(fs_.remove_all(oldest));
  ASSERT_TRUE(journal->trim(journal->durable()));
  EXPECT_GT(journal->first(), EntryNumber(400));
  EXPECT_LE(fs_.list("data/journal")->size(), 2u) << "none was forgotten";
  journal.reset();
  EXPECT_TRUE(open());
}

/// CPU time of this process over a third of a second in which nobody asks for anything.
double idle_cpu_seconds() {
  auto used = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    auto seconds = [](const timeval& time) {
      return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
  };
  double before = used();
  std::this_thread::sleep_for(std::chrono::milliseconds(333));
  return used() - before;
}

TEST_F(JournalTest, TrimsWhileItWrites) {
  options_.segment_bytes = 2'000;
  auto journal = open();
  std::atomic<bool> over = false;
  std::thread trimmer([&] {
    while (!over) EXPECT_TRUE(journal->trim(journal->durable()));
  });
  for (int i = 1; i <= 3'000; ++i) commit(*journal, i % 7, i);
  over = true;
  trimmer.join();
  EXPECT_GT(journal->first(), EntryNumber(2'000)) << "files were trimmed";
  auto entries = all(*journal, EntryNumber(journal->first().value - 1));
  ASSERT_FALSE(entries.empty());
  EXPECT_EQ(entries.back().number, journal->durable());
  ASSERT_TRUE(journal->close());
  journal.reset();
  fs_.cut_power();
  EXPECT_TRUE(try_open());
}

TEST_F(JournalTest, AfterAFailureOrACloseASyncLeavesTheThreadAsleep) {
  auto journal = open();
  commit(*journal, 0, 1);
  fs_.die_after(1);
  EXPECT_FALSE(journal->submit_and_wait(LogCommit{{end_of(0, 2)}}, {}));
  EXPECT_FALSE(journal->sync());
  EXPECT_LT(idle_cpu_seconds(), 0.02);
  EXPECT_FALSE(journal->sync());
  journal.reset();
  fs_.die_after(0);
  fs_.cut_power();
  journal = open();
  ASSERT_TRUE(journal->close());
  EXPECT_TRUE(journal->sync());
  EXPECT_LT(idle_cpu_seconds(), 0.02);
}

TEST_F(JournalTest, RecentEntriesAreLimitedInBytesAndOlderOnesComeFromTheDisk) {
  auto journal = open();
  std::vector<PartitionEnd> ends;
  for (int32_t p = 0; p < 10'000; ++p) ends.push_back(end_of(p, 1));
  constexpr int kEntries = 200;  // 48 MB of ends
  for (int i = 0; i < kEntries; ++i) ASSERT_TRUE(journal->submit_and_wait(LogCommit{ends}, {}));
  auto& file = static_cast<FileJournal&>(*journal);
  EXPECT_LE(file.recent_bytes(), 16u << 20);
  EXPECT_GT(file.recent_bytes(), 15u << 20);
  auto entries = all(*journal);
  ASSERT_EQ(entries.size(), kEntries + 1u);
  EXPECT_EQ(std::get<LogCommit>(entries[1].body).ends, ends);
  EXPECT_EQ(journal->read(EntryNumber(kEntries - 1), 10)->size(), 2u);
}

TEST_F(JournalTest, AListenerThatThrowsStopsTheServerWithALastWord) {
  auto thrown = [this] {
    auto journal = open();
    auto listening = journal->listen([](const auto&) { throw std::runtime_error("no memory"); });
    commit(*journal, 0, 1);
  };
  EXPECT_DEATH(thrown(), "the server stops.*thread=journal error=no memory");
}

}  // namespace
}  // namespace ziwa::journal
