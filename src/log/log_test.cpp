#include "log/log.h"

#include "base/checksum.h"
#include "log/checkpoint_internal.h"
#include "log/point_file_internal.h"
#include "log/testing/log_rig.h"
#include "log/testing/packed_batch.h"
#include "log/topic_config_internal.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

namespace ziwa::log {
namespace {

using testing::LogRig;
using Values = std::vector<std::string>;

const PartitionId kP0{ObjectId(1), 0};
const PartitionId kP1{ObjectId(1), 1};
const PartitionId kOther{ObjectId(2), 0};

/// Makes length and CRC of a batch right, whatever its records are.
void seal(Bytes& batch) {
  store_be<int32_t>(batch.data() + 8, static_cast<int32_t>(batch.size() - kBatchOverheadBytes));
  store_be(batch.data() + 17, crc32c(ByteView(batch).subspan(21)));
}

class LogTest : public ::testing::Test {
 protected:
  void SetUp() override {
    rig_.log_options.index_interval_bytes = 200;
    rig_.open();
    rig_.create(ObjectId(1), {.partitions = 2, .segment_bytes = 1'024});
  }
  void restart(bool clean) {
    if (clean) {
      rig_.close();
    } else {
      rig_.crash();
    }
    rig_.open();
  }
  void fill(PartitionId id, int batches) {
    for (int i = 0; i < batches; ++i) {
      rig_.append(id, rig_.batch({fmt::format("{:050}", i), "x"}));
      rig_.clock.advance(std::chrono::seconds(1));
    }
  }
  PartitionInfo info(PartitionId id) { return rig_.log().info(id).value(); }
  Code fetch_error(PartitionId id, Offset from) {
    auto data = rig_.log().fetch(id, from, 1000, Isolation::read_uncommitted);
    EXPECT_FALSE(data);
    return data ? Code::internal : data.error().code();
  }

  LogRig rig_;
};

TEST_F(LogTest, AppendsAndFetchesBytesUnchangedButForTheirPlace) {
  Bytes first = rig_.batch({"a", "b", "c"});
  Bytes second = rig_.batch({"d"});
  EXPECT_EQ(rig_.append(kP0, first).base_offset, Offset(0));
  EXPECT_EQ(rig_.append(kP0, second).base_offset, Offset(3));
  EXPECT_EQ(rig_.append(kP1, second).base_offset, Offset(0));
  EXPECT_EQ(rig_.values(kP0), (Values{"a", "b", "c", "d"}));
  EXPECT_EQ(rig_.values(kP0, Offset(3)), (Values{"d"}));
  EXPECT_EQ(info(kP0).high_watermark, Offset(4));
  EXPECT_EQ(info(kP0).bytes, first.size() + second.size());
  Bytes all = rig_.fetch_all(kP0).value();
  EXPECT_TRUE(std::equal(first.begin() + 16, first.end(), all.begin() + 16));
}

TEST_F(LogTest, EverythingIsThereAfterAPowerCutAndAfterACleanClose) {
  fill(kP0, 60);
  auto before = rig_.values(kP0);
  auto entry = rig_.log().entry_of(kP0, Offset(17)).value();
  EXPECT_GT(info(kP0).segments, 3);
  for (bool clean : {false, true, true, false}) {
    restart(clean);
    EXPECT_EQ(rig_.values(kP0), before);
    EXPECT_EQ(rig_.log().entry_of(kP0, Offset(17)), entry);
    before.push_back("after");
    rig_.append(kP0, rig_.batch({"after"}));
    EXPECT_EQ(rig_.values(kP0), before);
  }
}

TEST_F(LogTest, TheDiskGivesWhatMemoryGave) {
  fill(kP0, 60);
  auto from_memory = rig_.fetch_all(kP0).value();
  restart(true);
  for (size_t max_bytes : {size_t{1}, size_t{700}, size_t{1} << 20}) {
    EXPECT_EQ(rig_.fetch_all(kP0, {}, max_bytes).value(), from_memory);
  }
  for (int64_t offset = 0; offset < 120; ++offset) {
    auto data = rig_.log().fetch(kP0, Offset(offset), 1, Isolation::read_uncommitted).value();
    auto header = parse_batch_header(data.batches).value();
    EXPECT_LE(header.base_offset, offset);
    EXPECT_GE(header.last_offset(), offset);
    EXPECT_EQ(header.total_bytes(), data.batches.size())
        << "one batch, though it is larger than max_bytes";
  }
}

TEST_F(LogTest, OffsetsOutOfRangeNameTheRange) {
  fill(kP0, 2);
  EXPECT_EQ(fetch_error(kP0, Offset(5)), Code::invalid_argument);
  EXPECT_EQ(fetch_error(kP0, Offset(-1)), Code::invalid_argument);
  EXPECT_EQ(fetch_error({ObjectId(1), 2}, Offset(0)), Code::not_found);
  EXPECT_EQ(fetch_error({ObjectId(9), 0}, Offset(0)), Code::not_found);
  auto at_end = rig_.log().fetch(kP0, Offset(4), 1000, Isolation::read_uncommitted);
  ASSERT_TRUE(at_end);
  EXPECT_TRUE(at_end->batches.empty());
}

TEST_F(LogTest, BadBatchesAreRefusedAndChangeNothing) {
  Bytes good = rig_.batch({"a"});
  auto refuse = [&](Bytes bytes, Code code) {
    auto outcome = rig_.try_append(kP0, bytes);
    ASSERT_FALSE(outcome.appended);
    EXPECT_EQ(outcome.appended.error().code(), code) << outcome.appended.error().to_string();
  };
  Bytes flipped = good;
  flipped[65] ^= std::byte{1};
  refuse(flipped, Code::corrupt);
  refuse(Bytes(good.begin(), good.end() - 1), Code::corrupt);
  refuse({}, Code::corrupt);
  refuse(encode_control_batch(true, 1, 0, rig_.clock.now()), Code::invalid_argument);
  refuse(rig_.batch({"a"}, -1, -1, -1, kTransactional), Code::invalid_argument);
  refuse(rig_.batch({"a"}, 3, -1, 0), Code::invalid_argument);
  Bytes unreadable = good;
  unreadable[68] = std::byte{0x7F};  // the length of the value
  seal(unreadable);
  refuse(unreadable, Code::invalid_argument);
  Bytes trailing = good;
  trailing.push_back(std::byte{0});
  seal(trailing);
  refuse(trailing, Code::invalid_argument);
  Bytes not_zstd = good;
  not_zstd[22] = std::byte{4};
  seal(not_zstd);
  refuse(not_zstd, Code::invalid_argument);
  auto together = rig_.append_together({{kP1, {good}}, {kP0, {unreadable}}});
  ASSERT_FALSE(together);
  EXPECT_EQ(together.error().code(), Code::invalid_argument);
  EXPECT_EQ(info(kP1).high_watermark, Offset(0));
  ASSERT_TRUE(rig_.log().alter_topic(ObjectId(1), {.partitions = 2, .batch_bytes_max = 100}));
  refuse(rig_.batch({std::string(100, 'x')}), Code::exhausted);
  EXPECT_EQ(info(kP0).high_watermark, Offset(0));
}

TEST_F(LogTest, RecordsKnowTheEntryThatOrderedThem) {
  std::vector<Appended> appended;
  for (int i = 0; i < 50; ++i) {
    appended.push_back(rig_.append(kP0, rig_.batch({std::string(60, 'a'), "b"})));
    rig_.append(kP1, rig_.batch({"c"}));
  }
  for (bool clean : {false, true}) {
    for (const auto& one : appended) {
      EXPECT_EQ(rig_.log().entry_of(kP0, one.base_offset), one.entry);
      EXPECT_EQ(rig_.log().end_at(kP0, one.entry), Offset(one.base_offset.value + 2));
      EXPECT_EQ(rig_.log().end_at(kP0, EntryNumber(one.entry.value - 1)), one.base_offset);
    }
    auto pairs = rig_.log().entries_between(kP0, Offset(31), Offset(77)).value();
    ASSERT_GE(pairs.size(), 23u);
    EXPECT_EQ(pairs.front().entry, appended[15].entry);
    EXPECT_GE(pairs.back().end, Offset(77));
    EXPECT_EQ(pairs.back().entry, appended[38].entry);
    restart(clean);
  }
  EXPECT_EQ(rig_.log().end_at(kP0, EntryNumber(1'000'000)), Offset(100));
  EXPECT_EQ(rig_.log().end_at(kP0, EntryNumber(1)), Offset(0));
}

TEST_F(LogTest, TheJournalMayBeTrimmedOnceCheckpointsCoverIt) {
  rig_.log_options.checkpoint_bytes = 1;
  rig_.journal_options.segment_bytes = 1'000;
  restart(true);
  fill(kP0, 100);
  ASSERT_TRUE(rig_.journal().trim(rig_.journal().durable()));
  EXPECT_LT(rig_.journal().first(), EntryNumber(20)) << "the log still needs it";
  fill(kP1, 1);
  ASSERT_TRUE(rig_.log().enforce_retention());
  ASSERT_TRUE(rig_.journal().trim(rig_.journal().durable()));
  EXPECT_GT(rig_.journal().first(), EntryNumber(50));
  auto entry = rig_.log().entry_of(kP0, Offset(3)).value();
  restart(false);
  EXPECT_EQ(rig_.log().entry_of(kP0, Offset(3)), entry);
  EXPECT_EQ(rig_.values(kP0).size(), 200u);
}

TEST_F(LogTest, ADamagedCheckpointOrIndexOnlyCostsTime) {
  fill(kP0, 60);
  auto before = rig_.fetch_all(kP0).value();
  auto entry = rig_.log().entry_of(kP0, Offset(17)).value();
  rig_.close();
  ASSERT_TRUE(rig_.fs->flip_bit("data/log/1/0/checkpoint", 200));
  rig_.open();
  EXPECT_EQ(rig_.fetch_all(kP0).value(), before);
  EXPECT_EQ(rig_.log().entry_of(kP0, Offset(17)), entry);
  rig_.close();
  for (const auto& file : rig_.fs->list("data/log/1/0").value()) {
    if (file.name.ends_with("index") && file.size > 0) {
      for (uint64_t bit = 3; bit < file.size * 8; bit += 5) {
        ASSERT_TRUE(rig_.fs->flip_bit("data/log/1/0/" + file.name, bit));
      }
    }
  }
  rig_.open();
  EXPECT_EQ(rig_.fetch_all(kP0, {}, 500).value(), before);
}

TEST_F(LogTest, ACheckpointAtTheEndOfASegmentClaimsNoEntryThatGoesOn) {
  const PartitionId kX{ObjectId(9), 0};
  const PartitionId kY{ObjectId(10), 0};
  rig_.close();
  rig_.log_options.checkpoint_bytes = 1;
  rig_.open();
  rig_.create(ObjectId(10), {});
  rig_.create(ObjectId(9), {.segment_bytes = 1'024});
  std::atomic<bool> hold = true;
  std::atomic<bool> held = false;
  auto listening = rig_.journal().listen([&](const std::vector<journal::Entry>&) {
    held = true;
    while (hold) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  });
  std::atomic<int> done = 0;
  auto send = [&](PartitionId id) {
    rig_.log().append(id, rig_.batch({std::string(700, 'x')}),
                      [&](Result<Appended> appended, AppendRefusal) {
                        EXPECT_TRUE(appended);
                        ++done;
                      });
  };
  send(kY);
  while (!held) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  send(kX);
  std::thread care([&] { EXPECT_TRUE(rig_.log().enforce_retention()); });
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  send(kX);
  std::thread release([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    hold = false;
  });
  care.join();
  release.join();
  while (done < 3) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  listening.reset();
  rig_.kill();
  auto opened = rig_.try_open();
  ASSERT_TRUE(opened) << opened.error().to_string();
  EXPECT_EQ(rig_.values(kX).size(), 2u);
}

TEST_F(LogTest, AnEmptySegmentThatIsMissingIsMadeAnew) {
  fill(kP0, 60);
  ASSERT_TRUE(rig_.log().alter_topic(
      ObjectId(1), {.partitions = 2, .retention_ms = 30'000, .segment_bytes = 1'024}));
  rig_.log().hold(kP0, "view", Offset(20));
  rig_.clock.advance(std::chrono::hours(1));
  ASSERT_TRUE(rig_.log().enforce_retention());
  const auto values = rig_.values(kP0, info(kP0).log_start);
  rig_.close();
  const std::string checkpoint = "data/log/1/0/checkpoint";
  const auto found = decode_checkpoint(read_file(*rig_.fs, checkpoint).value()).value();
  ASSERT_EQ(found.segment, 120) << "the last segment is empty";
  ASSERT_TRUE(rig_.fs->remove("data/log/1/0/00000000000000000120.log"));
  rig_.open();
  EXPECT_EQ(rig_.values(kP0, info(kP0).log_start), values);
  EXPECT_EQ(rig_.append(kP0, rig_.batch({"new"})).base_offset, Offset(120));
  restart(false);
  EXPECT_EQ(rig_.values(kP0, Offset(120)), (Values{"new"}));
}

/// Each is whole by itself: what a partition knows would take its records for never acknowledged.
TEST_F(LogTest, ACheckpointOfAnotherPartitionOrTimeIsRefused) {
  fill(kP0, 60);
  fill(kP1, 1);
  const auto values = rig_.values(kP0);
  rig_.close();
  const std::string path = "data/log/1/0/checkpoint";
  const Bytes own = read_file(*rig_.fs, path).value();
  auto exchange = [&](const Bytes& other) {
    ASSERT_TRUE(write_file_atomically(*rig_.fs, path, other));
  };
  auto refused = [&] {
    auto opened = rig_.try_open();
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code(), Code::corrupt);
    EXPECT_NE(opened.error().hint(), "");
    rig_.kill();
  };
  exchange(read_file(*rig_.fs, "data/log/1/1/checkpoint").value());
  refused();
  auto later = decode_checkpoint(own).value();
  later.entry = 1'000'000'000;
  exchange(encode_checkpoint(later));
  refused();
  exchange(own);
  rig_.open();
  EXPECT_EQ(rig_.values(kP0), values);
}

TEST_F(LogTest, FlippedBitsOfAcknowledgedDataAreNeverServed) {
  fill(kP0, 30);
  auto before = rig_.fetch_all(kP0).value();
  rig_.close();
  int refused_at_open = 0;
  int refused_at_fetch = 0;
  for (const auto& file : rig_.fs->list("data/log/1/0").value()) {
    if (!file.name.ends_with(".log") && !file.name.ends_with(".entries")) continue;
    for (uint64_t bit = file.name.size() % 7; bit < file.size * 8; bit += 97) {
      ASSERT_TRUE(rig_.fs->flip_bit("data/log/1/0/" + file.name, bit));
      auto opened = rig_.try_open();
      if (!opened) {
        EXPECT_EQ(opened.error().code(), Code::corrupt);
        ++refused_at_open;
      } else {
        auto bytes = rig_.fetch_all(kP0, {}, 600);
        if (bytes) EXPECT_EQ(*bytes, before) << file.name << " bit " << bit;
        if (!bytes) EXPECT_EQ(bytes.error().code(), Code::corrupt) << bytes.error().to_string();
        refused_at_fetch += bytes ? 0 : 1;
        ASSERT_TRUE(rig_.log().close());
        ASSERT_TRUE(rig_.journal().close());
      }
      rig_.kill();
      ASSERT_TRUE(rig_.fs->flip_bit("data/log/1/0/" + file.name, bit));
    }
  }
  EXPECT_GT(refused_at_open, 0);
  EXPECT_GT(refused_at_fetch, 50);
  rig_.open();
  EXPECT_EQ(rig_.fetch_all(kP0).value(), before);
}

TEST_F(LogTest, AFlippedBitBehindTheCheckpointRefusesToOpenAndChangesNothing) {
  fill(kP0, 5);
  rig_.kill();  // no checkpoint since the topic was made
  uint64_t size = rig_.fs->stat("data/log/1/0/00000000000000000000.log").value().size;
  for (uint64_t bit = 0; bit < size * 8; bit += 61) {
    ASSERT_TRUE(rig_.fs->flip_bit("data/log/1/0/00000000000000000000.log", bit));
    auto opened = rig_.try_open();
    ASSERT_FALSE(opened) << bit;
    EXPECT_EQ(opened.error().code(), Code::corrupt);
    rig_.kill();
    ASSERT_TRUE(rig_.fs->flip_bit("data/log/1/0/00000000000000000000.log", bit));
  }
  rig_.open();
  EXPECT_EQ(rig_.values(kP0).size(), 10u);
}

TEST_F(LogTest, AFullDiskRefusesAndLaterAppendsWork) {
  fill(kP0, 3);
  auto before = rig_.values(kP0);
  uint64_t used = 0;
  for (const auto* dir : {"data/journal", "data/log/1/0", "data/log/1/1"}) {
    for (const auto& file : rig_.fs->list(dir).value()) used += file.size;
  }
  rig_.fs->set_capacity(used + 400);
  int refused = 0;
  for (int i = 0; i < 10; ++i) {
    auto outcome = rig_.try_append(kP0, rig_.batch({std::string(150, 'x')}));
    if (outcome.appended) {
      before.emplace_back(150, 'x');
    } else {
      ++refused;
      EXPECT_EQ(outcome.appended.error().code(), Code::exhausted)
          << outcome.appended.error().to_string();
    }
  }
  EXPECT_GT(refused, 5);
  EXPECT_EQ(rig_.values(kP0), before);
  rig_.fs->set_capacity(0);
  rig_.append(kP0, rig_.batch({"again"}));
  before.push_back("again");
  EXPECT_EQ(rig_.values(kP0), before);
  restart(false);
  EXPECT_EQ(rig_.values(kP0), before);
}

TEST_F(LogTest, TimeFindsTheFirstRecordAtOrAfterIt) {
  TimestampMs start = rig_.clock.now();
  fill(kP0, 60);
  for (int round = 0; round < 2; ++round) {
    for (int64_t i = 0; i < 60; i += 7) {
      auto found =
          rig_.log().offset_for_time(kP0, TimestampMs(start.value + i * 1000 - 500)).value();
      ASSERT_TRUE(found);
      EXPECT_EQ(found->offset, Offset(i * 2));
      EXPECT_EQ(found->timestamp, TimestampMs(start.value + i * 1000));
    }
    EXPECT_FALSE(rig_.log().offset_for_time(kP0, rig_.clock.now()).value());
    restart(true);
  }
}

/// Lists of times as a disk may give them back; or as an earlier version left them.
TEST_F(LogTest, TimeDoesNotTrustAListThatIsDamaged) {
  TimestampMs start = rig_.clock.now();
  fill(kP0, 60);
  restart(true);
  std::vector<std::string> lists;
  for (const auto& file : rig_.fs->list("data/log/1/0").value()) {
    if (file.name.ends_with(".times") && file.size > 0)
      lists.push_back("data/log/1/0/" + file.name);
  }
  ASSERT_GT(lists.size(), 4u);
  int kind = 0;
  for (const auto& path : lists) {
    uint64_t size = rig_.fs->stat(path).value().size;
    switch (kind++ % 5) {
      case 0:  // The sign of the last time: ages ago.
        ASSERT_TRUE(rig_.fs->flip_bit(path, (size - TimePoint::kBytes) * 8 + 63));
        break;
      case 1:  // The first time is far ahead.
        ASSERT_TRUE(rig_.fs->flip_bit(path, 62));
        break;
      case 2:  // A position.
        ASSERT_TRUE(rig_.fs->flip_bit(path, 12 * 8 + 8));
        break;
      case 3:
        ASSERT_TRUE(rig_.fs->open(path, OpenMode::read_write).value()->truncate(TimePoint::kBytes));
        break;
      default: {
        std::string old = path.substr(0, path.rfind('.')) + ".timeindex";
        ASSERT_TRUE(rig_.fs->rename(path, old));
      }
    }
  }
  auto check = [&] {
    for (int64_t i = 0; i < 60; ++i) {
      auto found = rig_.log().offset_for_time(kP0, TimestampMs(start.value + i * 1000 - 500));
      ASSERT_TRUE(found) << found.error().to_string();
      ASSERT_TRUE(*found) << i;
      EXPECT_EQ((*found)->offset, Offset(i * 2));
    }
    EXPECT_FALSE(rig_.log().offset_for_time(kP0, rig_.clock.now()).value());
  };
  check();
  check();
  EXPECT_EQ(rig_.log().delete_records(kP0, Offset(120)), Offset(120));
  for (const auto& file : rig_.fs->list("data/log/1/0").value())
    EXPECT_FALSE(file.name.ends_with(".timeindex")) << "it goes with its segment";
}

TEST_F(LogTest, TimeIsNotFoundBehindADamagedHeader) {
  TimestampMs start = rig_.clock.now();
  fill(kP0, 60);
  restart(true);
  constexpr uint64_t kMaxTimestampAt = 35;
  ASSERT_TRUE(rig_.fs->flip_bit("data/log/1/0/00000000000000000000.log", kMaxTimestampAt * 8 + 7));
  auto found = rig_.log().offset_for_time(kP0, start);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code(), Code::corrupt);
  EXPECT_EQ(rig_.log().offset_for_time(kP0, TimestampMs(start.value + 50'000)).value()->offset,
            Offset(100));
}

TEST_F(LogTest, TimeStopsAtABatchThatCannotBeReadAndSaysThatItHasIt) {
  TimestampMs start = rig_.clock.now();
  fill(kP0, 2);
  rig_.append(kP0, testing::unreadable_batch(3, TimestampMs(start.value + 2'000)));
  rig_.clock.advance(std::chrono::seconds(1));
  fill(kP0, 1);
  auto time_at = [&](int64_t ms) {
    return rig_.log().offset_for_time(kP0, TimestampMs(start.value + ms)).value().value();
  };
  EXPECT_EQ(time_at(1'500).offset, Offset(4));
  EXPECT_EQ(time_at(1'500).timestamp, TimestampMs(start.value + 2'000));
  EXPECT_EQ(time_at(2'500).offset, Offset(7));
  EXPECT_EQ(rig_.log().delete_records(kP0, Offset(5)), Offset(5));
  EXPECT_EQ(time_at(0).offset, Offset(5));
}

TEST_F(LogTest, AHoldThatComesWhileRetentionReadsIsRespected) {
  fill(kP0, 60);
  ASSERT_TRUE(rig_.log().alter_topic(
      ObjectId(1), {.partitions = 2, .retention_ms = 30'000, .segment_bytes = 1'024}));
  restart(true);
  bool held = false;
  rig_.fs->on_open([&](const std::string& path) {
    if (held || !path.ends_with(".log")) return;
    held = true;
    EXPECT_EQ(rig_.log().hold(kP0, "view", Offset(0)), Offset(0));
  });
  EXPECT_EQ(rig_.log().enforce_retention().value(), 0u);
  ASSERT_TRUE(held);
  EXPECT_EQ(info(kP0).log_start, Offset(0));
  rig_.fs->on_open({});
  rig_.log().hold(kP0, "view", std::nullopt);
  EXPECT_GT(rig_.log().enforce_retention().value(), 0u);
}

TEST_F(LogTest, AHoldThatComesWhileTheStartMovesBeginsThere) {
  fill(kP0, 60);
  for (bool by_retention : {true, false}) {
    std::future<Offset> kept;
    rig_.fs->skip_syncs([&](const SyncCall& sync) {
      if (kept.valid() || sync.path.find("journal") == std::string::npos) return false;
      kept =
          std::async(std::launch::async, [&] { return rig_.log().hold(kP0, "view", Offset(0)); });
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      return false;
    });
    if (by_retention) {
      ASSERT_TRUE(rig_.log().alter_topic(
          ObjectId(1), {.partitions = 2, .retention_ms = 30'000, .segment_bytes = 1'024}));
      EXPECT_GT(rig_.log().enforce_retention().value(), 0u);
    } else {
      EXPECT_EQ(rig_.log().delete_records(kP0, Offset(110)), Offset(110));
    }
    ASSERT_TRUE(kept.valid());
    EXPECT_EQ(kept.get(), info(kP0).log_start);
    EXPECT_GT(info(kP0).log_start, Offset(0));
    EXPECT_FALSE(rig_.log().delete_records(kP0, Offset(120))) << "it holds what it got";
    rig_.fs->skip_syncs({});
    rig_.log().hold(kP0, "view", std::nullopt);
  }
}

TEST_F(LogTest, RetentionByTimeRespectsHoldsAndSurvives) {
  fill(kP0, 60);
  ASSERT_TRUE(rig_.log().alter_topic(
      ObjectId(1), {.partitions = 2, .retention_ms = 30'000, .segment_bytes = 1'024}));
  rig_.log().hold(kP0, "view", Offset(20));
  ASSERT_TRUE(rig_.log().enforce_retention());
  EXPECT_LE(info(kP0).log_start, Offset(20));
  EXPECT_GT(info(kP0).log_start, Offset(0));
  const uint64_t overdue = rig_.log().overdue_bytes(kP0, Offset(20));
  EXPECT_GT(overdue, 0u) << "the hold keeps more than retention";
  EXPECT_LT(rig_.log().overdue_bytes(kP0, Offset(40)), overdue);
  EXPECT_EQ(rig_.log().overdue_bytes(kP0, Offset(60)), 0u);
  rig_.log().hold(kP0, "view", std::nullopt);
  EXPECT_GT(rig_.log().enforce_retention().value(), 0u);
  EXPECT_EQ(rig_.log().overdue_bytes(kP0, Offset(0)), 0u);
  Offset start = info(kP0).log_start;
  EXPECT_GT(start, Offset(40));
  EXPECT_LE(start, Offset(60));
  EXPECT_EQ(fetch_error(kP0, Offset(start.value - 1)), Code::invalid_argument);
  EXPECT_FALSE(rig_.log().entry_of(kP0, Offset(start.value - 1)));
  restart(false);
  EXPECT_EQ(info(kP0).log_start, start);
  rig_.clock.advance(std::chrono::hours(1));
  ASSERT_TRUE(rig_.log().enforce_retention());
  EXPECT_EQ(info(kP0).log_start, Offset(120))
      << "the growing segment goes too once all of it is old";
  EXPECT_EQ(info(kP0).segments, 1);
  EXPECT_EQ(info(kP0).bytes, 0u);
  EXPECT_EQ(rig_.append(kP0, rig_.batch({"new"})).base_offset, Offset(120));
  restart(false);
  EXPECT_EQ(rig_.values(kP0, Offset(120)), (Values{"new"}));
}

TEST_F(LogTest, RetentionByTimeDoesNotTrustWhatHasNoChecksum) {
  fill(kP0, 60);
  ASSERT_TRUE(rig_.log().alter_topic(
      ObjectId(1), {.partitions = 2, .retention_ms = 3'600'000, .segment_bytes = 1'024}));
  restart(true);
  int damaged = 0;
  for (const auto& file : rig_.fs->list("data/log/1/0").value()) {
    if (!file.name.ends_with(".times") || file.size == 0) continue;
    std::string path = "data/log/1/0/" + file.name;
    if (++damaged % 2 == 0) {
      ASSERT_TRUE(rig_.fs->remove(path));
    } else {
      // The sign of the last time: it is ages ago.
      ASSERT_TRUE(rig_.fs->flip_bit(path, (file.size - TimePoint::kBytes) * 8 + 63));
    }
  }
  ASSERT_GT(damaged, 3);
  EXPECT_EQ(rig_.log().enforce_retention().value(), 0u);
  EXPECT_EQ(info(kP0).log_start, Offset(0));
  rig_.clock.advance(std::chrono::hours(2));
  EXPECT_GT(rig_.log().enforce_retention().value(), 0u);
  EXPECT_EQ(info(kP0).log_start, Offset(120)) << "and old records go all the same";
}

TEST_F(LogTest, TimesFarAheadDoNotKeepRecordsForEver) {
  // A file's time on the simulated disk begins where the clock does.
  ASSERT_TRUE(rig_.log().alter_topic(
      ObjectId(1), {.partitions = 2, .retention_ms = 30'000, .segment_bytes = 1'024}));
  NewRecord ahead{TimestampMs(32'503'680'000'000), std::nullopt, as_bytes("year 3000")};
  for (PartitionId id : {kP0, kP1}) rig_.append(id, encode_batch({&ahead, 1}));
  fill(kP0, 20);
  for (bool clean : {true, false}) {
    restart(clean);
    EXPECT_EQ(rig_.log().enforce_retention().value(), 0u) << "it came not long ago";
  }
  rig_.clock.advance(std::chrono::seconds(200));
  ASSERT_TRUE(rig_.log().enforce_retention());
  EXPECT_EQ(info(kP0).log_start, Offset(41));
  EXPECT_EQ(info(kP1).log_start, Offset(1)) << "also of the growing segment";
}

TEST_F(LogTest, APartitionThatRetentionCannotReadStillGetsItsCheckpoint) {
  rig_.log_options.checkpoint_bytes = 1;
  fill(kP0, 30);
  restart(true);
  ASSERT_TRUE(rig_.log().alter_topic(
      ObjectId(1), {.partitions = 2, .retention_ms = 1'000, .segment_bytes = 1'024}));
  rig_.clock.advance(std::chrono::hours(1));
  rig_.append(kP0, rig_.batch({"new"}));
  // The oldest segment cannot be opened.
  std::string oldest = "data/log/1/0/00000000000000000000.log";
  ASSERT_TRUE(rig_.fs->remove(oldest));
  auto before = rig_.fs->stat("data/log/1/0/checkpoint").value().modified_ms;
  EXPECT_FALSE(rig_.log().enforce_retention());
  EXPECT_GT(rig_.fs->stat("data/log/1/0/checkpoint").value().modified_ms, before);
}

TEST_F(LogTest, RetentionBySizeKeepsAtLeastTheBytesAskedFor) {
  fill(kP0, 60);
  uint64_t before = info(kP0).bytes;
  ASSERT_TRUE(rig_.log().alter_topic(
      ObjectId(1), {.partitions = 2, .retention_bytes = 2'000, .segment_bytes = 1'024}));
  uint64_t deleted = rig_.log().enforce_retention().value();
  EXPECT_EQ(info(kP0).bytes, before - deleted);
  EXPECT_GE(info(kP0).bytes, 2'000u);
  EXPECT_LT(info(kP0).bytes, 2'000u + 1'024u + 200u);
}

TEST_F(LogTest, DeletedRecordsStayDeletedAndHoldsRefuse) {
  fill(kP0, 60);
  rig_.log().hold(kP0, "view v", Offset(10));
  auto refused = rig_.log().delete_records(kP0, Offset(50));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::conflict);
  EXPECT_NE(refused.error().message().find("view v"), std::string::npos);
  rig_.log().hold(kP0, "view v", Offset(120));
  EXPECT_EQ(rig_.log().delete_records(kP0, Offset(51)), Offset(51));
  EXPECT_EQ(rig_.log().delete_records(kP0, Offset(20)), Offset(51)) << "it never goes back";
  EXPECT_FALSE(rig_.log().delete_records(kP0, Offset(121)));
  restart(false);
  EXPECT_EQ(info(kP0).log_start, Offset(51));
  EXPECT_EQ(rig_.log().delete_records(kP0, Offset(120)), Offset(120));
  EXPECT_EQ(info(kP0).bytes, 0u);
  restart(false);
  EXPECT_EQ(info(kP0).log_start, Offset(120));
  EXPECT_EQ(rig_.append(kP0, rig_.batch({"x"})).base_offset, Offset(120));
}

TEST_F(LogTest, DeletingTheRecordsOfAnOpenTransactionLeavesNoOffsetBelowTheStart) {
  fill(kP0, 3);
  rig_.append(kP0, rig_.batch({"open"}, 8, 0, 0, kTransactional));
  rig_.append(kP0, rig_.batch({"after"}));
  ASSERT_TRUE(rig_.log().delete_records(kP0, Offset(8)));
  for (bool again : {false, true}) {
    if (again) restart(false);
    EXPECT_EQ(info(kP0).log_start, Offset(8)) << again;
    EXPECT_EQ(info(kP0).last_stable_offset, Offset(8)) << again;
    auto nothing = rig_.log().fetch(kP0, Offset(8), 1'000, Isolation::read_committed);
    ASSERT_TRUE(nothing) << nothing.error().to_string();
    EXPECT_TRUE(nothing->batches.empty()) << again;
    rig_.append(kP0, rig_.batch({"not yet"}));
    EXPECT_EQ(info(kP0).last_stable_offset, Offset(8)) << again;
  }
  ASSERT_TRUE(rig_.end_transaction(8, 0, true, {kP0}));
  EXPECT_EQ(info(kP0).last_stable_offset, info(kP0).high_watermark);
}

TEST_F(LogTest, TopicsComeGrowAndGo) {
  fill(kP0, 3);
  rig_.create(ObjectId(1), {.partitions = 2, .segment_bytes = 1'024});
  EXPECT_EQ(info(kP0).high_watermark, Offset(6)) << "create is idempotent";
  EXPECT_FALSE(rig_.log().alter_topic(ObjectId(1), {.partitions = 1}));
  EXPECT_FALSE(rig_.log().alter_topic(ObjectId(7), {}));
  EXPECT_FALSE(rig_.log().create_topic(ObjectId(3), {.partitions = 0}));
  EXPECT_FALSE(rig_.log().create_topic(ObjectId(3), {.segment_bytes = 1}));
  ASSERT_TRUE(rig_.log().alter_topic(ObjectId(1), {.partitions = 3}));
  rig_.append({ObjectId(1), 2}, rig_.batch({"third"}));
  rig_.create(ObjectId(2), {});
  rig_.append(kOther, rig_.batch({"other"}));
  restart(false);
  EXPECT_EQ(rig_.values({ObjectId(1), 2}), (Values{"third"}));
  ASSERT_TRUE(rig_.log().drop_topic(ObjectId(1)));
  EXPECT_EQ(fetch_error(kP0, Offset(0)), Code::not_found);
  EXPECT_FALSE(rig_.fs->exists("data/log/1"));
  restart(false);
  EXPECT_EQ(fetch_error(kP0, Offset(0)), Code::not_found);
  EXPECT_EQ(rig_.values(kOther), (Values{"other"}));
  ASSERT_TRUE(rig_.log().drop_unknown([](ObjectId) { return false; }));
  EXPECT_EQ(fetch_error(kOther, Offset(0)), Code::not_found);
}

/// What the catalog still has and the folder lost is not made anew.
class LostTopic : public LogTest {
 protected:
  void expect_refused_without(const std::string& path) {
    fill(kP0, 3);
    rig_.create(ObjectId(2), {});
    ASSERT_TRUE(rig_.log().enforce_retention());
    rig_.log().keep_topic(ObjectId(1));
    rig_.close();
    ASSERT_TRUE(rig_.fs->remove_all(path));
    const bool folder = rig_.fs->exists("data/log/1/0");
    rig_.open();
    auto made = rig_.log().create_topic(ObjectId(1), {.partitions = 2});
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code(), Code::corrupt);
    EXPECT_NE(made.error().hint(), "");
    EXPECT_EQ(rig_.fs->exists("data/log/1/0"), folder) << "what is left is left alone";
    // The catalog does not have it any more: a removal that was interrupted.
    ASSERT_TRUE(rig_.log().drop_unknown([](ObjectId id) { return id != ObjectId(1); }));
    EXPECT_FALSE(rig_.fs->exists("data/log/1"));
  }
};

TEST_F(LostTopic, IsRefusedWithoutItsConfiguration) { expect_refused_without("data/log/1/topic"); }
TEST_F(LostTopic, IsRefusedWithoutItsFolder) { expect_refused_without("data/log/1"); }

TEST_F(LogTest, APartitionThatIsMissingIsRefused) {
  fill(kP1, 3);
  rig_.close();
  ASSERT_TRUE(rig_.fs->remove_all("data/log/1/1"));
  auto opened = rig_.try_open();
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code(), Code::corrupt);
  EXPECT_NE(opened.error().hint(), "");
}

TEST_F(LogTest, ADamagedListOfTopicsIsRefusedAndAMissingOneMade) {
  rig_.log().keep_topic(ObjectId(1));
  rig_.close();
  const Bytes list = read_file(*rig_.fs, "data/log/topics").value();
  for (uint64_t bit = 0; bit < list.size() * 8; ++bit) {
    ASSERT_TRUE(rig_.fs->flip_bit("data/log/topics", bit));
    auto opened = rig_.try_open();
    ASSERT_FALSE(opened) << "bit " << bit;
    EXPECT_NE(opened.error().hint().find("backup"), std::string::npos) << "bit " << bit;
    rig_.kill();
    ASSERT_TRUE(rig_.fs->flip_bit("data/log/topics", bit));
  }
  ASSERT_TRUE(rig_.fs->remove("data/log/topics"));
  rig_.open();
  ASSERT_TRUE(rig_.log().drop_unknown([](ObjectId) { return true; }));
  EXPECT_EQ(read_file(*rig_.fs, "data/log/topics").value(), list);
}

TEST_F(LogTest, AFullDiskStopsNoDrop) {
  fill(kP0, 3);
  rig_.log().keep_topic(ObjectId(1));
  rig_.fs->set_capacity(1);
  EXPECT_TRUE(rig_.log().drop_topic(ObjectId(1)));
  rig_.fs->set_capacity(0);
  EXPECT_FALSE(rig_.fs->exists("data/log/1"));
  restart(true);
  ASSERT_TRUE(rig_.log().drop_unknown([](ObjectId) { return false; }));
  EXPECT_EQ(fetch_error(kP0, Offset(0)), Code::not_found);
  restart(true);
  rig_.create(ObjectId(1), {});
}

/// As when the catalog's write fails behind it: the topic may be in the catalog after a restart.
TEST_F(LogTest, ATopicThatTheCatalogNeverHadIsMadeAnew) {
  rig_.create(ObjectId(2), {});
  rig_.fs->set_capacity(1);
  ASSERT_TRUE(rig_.log().drop_topic(ObjectId(2)));
  rig_.fs->set_capacity(0);
  restart(false);
  rig_.create(ObjectId(2), {});
}

TEST_F(LogTest, ANewerFormatIsRefusedByName) {
  rig_.close();
  ASSERT_TRUE(write_file_atomically(*rig_.fs, "data/log/format", as_bytes("ziwa log format 2\n")));
  auto opened = rig_.try_open();
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code(), Code::unsupported);
  EXPECT_NE(opened.error().message().find("format 2"), std::string::npos);
  EXPECT_NE(opened.error().hint().find("backup"), std::string::npos);
}

/// One more bit in the number of a format: what reads it cannot tell that from a newer Ziwa.
TEST_F(LogTest, ADamagedFormatMayBeDamageAndSaysWhatToDo) {
  fill(kP0, 60);
  rig_.close();
  for (const char* name : {"topic", "0/checkpoint"}) {
    const std::string path = std::string("data/log/1/") + name;
    ASSERT_TRUE(rig_.fs->flip_bit(path, 4 * 8 + 3)) << path;
    auto opened = rig_.try_open();
    ASSERT_FALSE(opened) << path;
    EXPECT_EQ(opened.error().code(), Code::unsupported);
    EXPECT_NE(opened.error().message().find("data/log/1"), std::string::npos) << path;
    EXPECT_NE(opened.error().hint().find("a later one"), std::string::npos) << path;
    EXPECT_NE(opened.error().hint().find("backup"), std::string::npos) << path;
    rig_.kill();
    ASSERT_TRUE(rig_.fs->flip_bit(path, 4 * 8 + 3));
  }
}

TEST_F(LogTest, EndsThatGoBackAreDamaged) {
  fill(kP0, 60);
  restart(true);
  ASSERT_TRUE(rig_.log().entries_between(kP0, Offset(0), Offset(8)));
  rig_.close();
  const std::string path = "data/log/1/0/00000000000000000000.entries";
  Bytes points = read_file(*rig_.fs, path).value();
  ASSERT_GT(points.size(), 3 * EndPoint::kBytes);
  auto second = points.begin() + EndPoint::kBytes;
  std::swap_ranges(second, second + EndPoint::kBytes, second + EndPoint::kBytes);
  ASSERT_TRUE(write_file_atomically(*rig_.fs, path, points));
  rig_.open();
  auto entries = rig_.log().entries_between(kP0, Offset(0), Offset(8));
  ASSERT_FALSE(entries);
  EXPECT_EQ(entries.error().code(), Code::corrupt) << entries.error().to_string();
}

TEST_F(LogTest, AJournalOfAnotherTimeIsRefused) {
  LogRig other;
  other.open();
  other.create(ObjectId(1), {.partitions = 2, .segment_bytes = 1'024});
  other.append(kP0, other.batch({"one"}));
  other.kill();
  rig_.append(kP0, rig_.batch({"one", "two"}));
  rig_.kill();
  for (const auto& info : other.fs->list("data/journal").value()) {
    auto path = join_path("data/journal", info.name);
    ASSERT_TRUE(write_file_atomically(*rig_.fs, path, read_file(*other.fs, path).value()));
  }
  auto opened = rig_.try_open();
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code(), Code::corrupt) << opened.error().to_string();
}

TEST_F(LogTest, AJournalThatIsMissingIsRefusedEachTime) {
  fill(kP0, 60);
  rig_.close();
  ASSERT_TRUE(rig_.fs->remove_all("data/journal"));
  for (int i = 0; i < 3; ++i) {
    auto opened = rig_.try_open();
    ASSERT_FALSE(opened) << i;
    EXPECT_EQ(opened.error().code(), Code::corrupt) << opened.error().to_string();
    EXPECT_NE(opened.error().hint(), "");
    rig_.kill();
  }
}

TEST(TopicConfigFile, WhatNoTopicCanHaveIsDamaged) {
  for (const TopicConfig& config :
       {TopicConfig{.partitions = 0}, TopicConfig{.retention_ms = -2}}) {
    auto decoded = decode_topic_config(encode_topic_config(config));
    ASSERT_FALSE(decoded);
    EXPECT_EQ(decoded.error().code(), Code::corrupt) << decoded.error().to_string();
  }
}

TEST_F(LogTest, AFileThatCannotBeItsFormatIsDamaged) {
  rig_.close();
  for (const std::string& text :
       {std::string("ziwa log format 0\n"), std::string("ziwa log format -1\n"),
        "ziwa log format 1" + std::string(4'096, ' ') + "\n"}) {
    ASSERT_TRUE(write_file_atomically(*rig_.fs, "data/log/format", as_bytes(text)));
    auto opened = rig_.try_open();
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code(), Code::corrupt) << opened.error().to_string();
    rig_.kill();
  }
}

TEST_F(LogTest, LongPollsWakeOnceAndCanBeCancelled) {
  std::atomic<int> woken{0};
  auto waiting = rig_.log().when_past({{kP0, Offset(0)}, {kP1, Offset(0)}}, [&] { ++woken; });
  auto cancelled = rig_.log().when_past({{kP0, Offset(0)}}, [&] { woken += 100; });
  EXPECT_EQ(woken, 0);
  cancelled.reset();
  rig_.append(kP1, rig_.batch({"a"}));
  EXPECT_EQ(woken, 1);
  rig_.append(kP0, rig_.batch({"a"}));
  EXPECT_EQ(woken, 1);
  auto at_once = rig_.log().when_past({{kP0, Offset(0)}}, [&] { ++woken; });
  EXPECT_EQ(woken, 2);
  auto gone = rig_.log().when_past({{{ObjectId(99), 0}, Offset(0)}}, [&] { ++woken; });
  EXPECT_EQ(woken, 3);
}

TEST_F(LogTest, ProducerIdsAreNeverGivenTwice) {
  int64_t last = -1;
  for (bool clean : {true, false, false}) {
    for (int i = 0; i < 3; ++i) {
      int64_t id = rig_.log().new_producer_id().value();
      EXPECT_GT(id, last);
      last = id;
    }
    restart(clean);
  }
}

TEST_F(LogTest, ClosedRefusesPolitely) {
  ASSERT_TRUE(rig_.log().close());
  auto outcome = rig_.try_append(kP0, rig_.batch({"a"}));
  ASSERT_FALSE(outcome.appended);
  EXPECT_EQ(outcome.appended.error().code(), Code::unavailable);
  EXPECT_FALSE(rig_.log().create_topic(ObjectId(5), {}));
}

TEST_F(LogTest, ManyThreadsAppendAndReadAtOnce) {
  constexpr int kBatches = 300;
  std::atomic<int> answered{0};
  auto write = [&](PartitionId id, int64_t producer) {
    for (int i = 0; i < kBatches; ++i) {
      rig_.log().append(id, rig_.batch({fmt::format("{}-{}", producer, i)}, producer, 0, i),
                        [&](auto appended, auto) {
                          EXPECT_TRUE(appended);
                          ++answered;
                        });
    }
  };
  std::atomic<bool> stop{false};
  auto read = [&](PartitionId id) {
    while (!stop) EXPECT_TRUE(rig_.fetch_all(id, {}, 2'000));
  };
  std::vector<std::jthread> threads;
  for (int64_t p = 0; p < 4; ++p) threads.emplace_back(write, p % 2 == 0 ? kP0 : kP1, p);
  std::jthread reader(read, kP0);
  std::jthread carer([&] {
    while (!stop) EXPECT_TRUE(rig_.log().enforce_retention());
  });
  threads.clear();
  while (answered < 4 * kBatches) std::this_thread::yield();
  stop = true;
  reader.join();
  carer.join();
  for (PartitionId id : {kP0, kP1}) {
    std::map<std::string, int> next;
    for (const auto& value : rig_.values(id)) {
      auto dash = value.find('-');
      EXPECT_EQ(next[value.substr(0, dash)]++, std::stoi(value.substr(dash + 1)));
    }
    for (const auto& [producer, count] : next) EXPECT_EQ(count, kBatches);
  }
}

TEST_F(LogTest, AppendingTogetherIsOneEntryOrNothing) {
  auto entry = rig_.append_together({{kP1, {rig_.batch({"b"})}},
                                     {kP0, {rig_.batch({"a1", "a2"}), rig_.batch({"a3"})}},
                                     {kP1, {rig_.batch({"c"})}}});
  ASSERT_TRUE(entry) << entry.error().to_string();
  EXPECT_EQ(rig_.values(kP0), (std::vector<std::string>{"a1", "a2", "a3"}));
  EXPECT_EQ(rig_.values(kP1), (std::vector<std::string>{"b", "c"}));
  for (int64_t offset : {0, 1, 2}) EXPECT_EQ(rig_.log().entry_of(kP0, Offset(offset)), *entry);
  for (int64_t offset : {0, 1}) EXPECT_EQ(rig_.log().entry_of(kP1, Offset(offset)), *entry);
  rig_.append(kP0, rig_.batch({"next"}));
  // One part that cannot be: none of them is.
  auto nothing_changed = [&](const Result<EntryNumber>& refused, Code code) {
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), code) << refused.error().to_string();
    EXPECT_EQ(rig_.values(kP0).size(), 4u);
    EXPECT_EQ(rig_.values(kP1).size(), 2u);
  };
  nothing_changed(
      rig_.append_together({{kP0, {rig_.batch({"x"})}}, {{ObjectId(99), 0}, {rig_.batch({"y"})}}}),
      Code::not_found);
  Bytes torn = rig_.batch({"torn"});
  torn.back() ^= std::byte{1};
  nothing_changed(
      rig_.append_together({{kP0, {rig_.batch({"x"})}}, {kP1, {rig_.batch({"y"}), torn}}}),
      Code::corrupt);
  nothing_changed(rig_.append_together({{kP0, {rig_.batch({"x"}, 7, 0, 0)}}}),
                  Code::invalid_argument);
  rig_.append(kP0, rig_.batch({"last"}));
  rig_.append(kP1, rig_.batch({"last"}));
  EXPECT_EQ(rig_.values(kP0).back(), "last");
  EXPECT_EQ(rig_.values(kP1).size(), 3u);
}

TEST_F(LogTest, AFullDiskTakesNothingOfWhatIsAppendedTogether) {
  rig_.append(kP0, rig_.batch({"before"}));
  uint64_t used = 0;
  for (const auto* dir :
       {"data/journal", "data/log", "data/log/1", "data/log/1/0", "data/log/1/1"}) {
    auto files = rig_.fs->list(dir);
    if (!files) continue;
    for (const auto& file : *files) used += file.is_directory ? 0 : file.size;
  }
  const std::string big(2'000, 'x');
  rig_.fs->set_capacity(used + 3'000);  // Room for one part of two.
  auto full = rig_.append_together({{kP0, {rig_.batch({big})}}, {kP1, {rig_.batch({big})}}});
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code(), Code::exhausted);
  EXPECT_EQ(rig_.values(kP0).size(), 1u);
  rig_.fs->set_capacity(used + 100'000);
  ASSERT_TRUE(rig_.append_together({{kP0, {rig_.batch({big})}}, {kP1, {rig_.batch({big})}}}));
  EXPECT_EQ(rig_.values(kP0).size(), 2u);
  EXPECT_EQ(rig_.values(kP1).size(), 1u);
}

}  // namespace
}  // namespace ziwa::log
