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

/// Files that are not the newest, of which a start reads the headers only.
class OlderFiles : public JournalTest {
 protected:
  void SetUp() override {
    options_.segment_bytes = 2'000;
    auto journal = open();
    for (int64_t i = 1; i <= 500; ++i) commit(*journal, 0, i);
    ASSERT_TRUE(journal->close());
    for (const auto& info : fs_.list("data/journal").value()) names_.push_back(info.name);
    std::ranges::sort(names_);
    ASSERT_GE(names_.size(), 4u);
    middle_ = "data/journal/" + names_[1];
  }
  struct Place {
    uint64_t begin;
    uint64_t end;
  };
  /// Where the entries of a file are.
  std::vector<Place> entries_of(const std::string& path) {
    auto file = fs_.open(path, OpenMode::read).value();
    FrameReader reader(*file, kFileHeaderBytes);
    Frame frame;
    std::vector<Place> out;
    for (uint64_t begin = kFileHeaderBytes;
         reader.next(frame).value() == FrameReader::Outcome::frame; begin = reader.position()) {
      if (frame.is_entry()) out.push_back({begin, reader.position()});
    }
    return out;
  }
  /// Opened, but what is read is refused.
  void expect_damage_noticed() {
    auto journal = open();
    ASSERT_NE(journal, nullptr);
    auto read = journal->read(EntryNumber(0), 1'000'000);
    ASSERT_FALSE(read) << read->size() << " entries";
    EXPECT_EQ(read.error().code(), Code::corrupt);
    EXPECT_NE(read.error().hint(), "");
    auto next = journal->read(EntryNumber(400), 1'000'000);
    ASSERT_TRUE(next) << "later ones are whole: " << next.error().to_string();
    EXPECT_EQ(next->front().number, EntryNumber(401));
  }

  std::vector<std::string> names_;
  std::string middle_;
};

TEST_F(OlderFiles, OneThatIsCutAtAFrameIsNoticed) {
  for (const auto& place : entries_of(middle_)) {
    auto file = fs_.open(middle_, OpenMode::read_write).value();
    Bytes whole = read_file(fs_, middle_).value();
    ASSERT_TRUE(file->truncate(place.begin));
    expect_damage_noticed();
    ASSERT_TRUE(file->write_at(0, whole));
  }
  EXPECT_GT(all(*open()).size(), 500u) << "whole again";
}

TEST_F(OlderFiles, OneThatEndsInZeroesIsNoticed) {
  auto file = fs_.open(middle_, OpenMode::read_write).value();
  uint64_t position = entries_of(middle_)[3].begin;
  ASSERT_TRUE(file->write_at(position, Bytes(file->size() - position)));
  expect_damage_noticed();
}

TEST_F(OlderFiles, AnEntryWithAnotherNumberIsNoticed) {
  auto file = fs_.open(middle_, OpenMode::read_write).value();
  const auto places = entries_of(middle_);
  Bytes whole = read_file(fs_, middle_).value();
  // The frame is whole, and it is a later one: as when two sectors changed their places.
  ByteView later(whole.data() + places[7].begin, places[7].end - places[7].begin);
  ASSERT_EQ(later.size(), places[2].end - places[2].begin);
  ASSERT_TRUE(file->write_at(places[2].begin, later));
  expect_damage_noticed();
}

/// As after a roll that met a full disk, and went on under another name.
TEST_F(OlderFiles, OneWithoutAHeaderBesideTheChainIsRemoved) {
  const auto newest = std::stoull(names_.back().substr(0, 20));
  const std::string unfinished = "data/journal/" + journal_file_name(EntryNumber(newest - 1));
  const auto newest_header =
      decode_file_header(read_file(fs_, "data/journal/" + names_.back()).value()).value();
  for (size_t size : {size_t{0}, size_t{20}, kFileHeaderBytes}) {
    auto file = fs_.open(unfinished, OpenMode::truncate).value();
    ASSERT_TRUE(file->truncate(size));
    if (size == kFileHeaderBytes) {
      auto header = newest_header;
      header.first = EntryNumber(newest - 1);
      ASSERT_TRUE(file->write_at(0, encode_file_header(header)));
    }
    file.reset();
    auto journal = open();
    ASSERT_NE(journal, nullptr);
    EXPECT_GT(all(*journal).size(), 500u);
    EXPECT_FALSE(fs_.exists(unfinished));
    ASSERT_TRUE(journal->close());
  }
}

TEST_F(JournalTest, ARollThatFindsNoRoomLeavesNoFile) {
  options_.segment_bytes = 2'000;
  auto journal = open();
  fs_.set_capacity(1);
  for (int i = 0; i < 400; ++i) ASSERT_TRUE(journal->submit_and_wait(ClockTick{}, {}));
  EXPECT_EQ(fs_.list("data/journal").value().size(), 1u);
  fs_.set_capacity(0);
  while (!journal->room()) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  for (int i = 0; i < 400; ++i) ASSERT_TRUE(journal->submit_and_wait(ClockTick{}, {}));
  EXPECT_GT(fs_.list("data/journal").value().size(), 1u);
  ASSERT_TRUE(journal->close());
  journal = open();
  ASSERT_NE(journal, nullptr);
  EXPECT_GT(all(*journal).size(), 800u);
}

TEST_F(OlderFiles, OneThatIsMissingOrHasADamagedHeaderIsRefused) {
  auto refused = [&] {
    auto journal = try_open();
    ASSERT_FALSE(journal);
    // The number of its format is damaged like anything else.
    const Code code = journal.error().code();
    EXPECT_TRUE(code == Code::corrupt || code == Code::unsupported) << journal.error().to_string();
    EXPECT_NE(journal.error().hint(), "");
  };
  Bytes whole = read_file(fs_, middle_).value();
  ASSERT_TRUE(fs_.remove(middle_));
  refused();
  ASSERT_TRUE(fs_.open(middle_, OpenMode::create).value()->write_at(0, whole));
  ASSERT_NE(open(), nullptr);
  for (uint64_t bit = 0; bit < 44 * 8; bit += 5) {
    ASSERT_TRUE(fs_.flip_bit(middle_, bit));
    refused();
    ASSERT_TRUE(fs_.flip_bit(middle_, bit));
  }
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
