#include "log/producer_table_internal.h"
#include "log/testing/log_rig.h"

#include <gtest/gtest.h>

namespace ziwa::log {
namespace {

using testing::LogRig;
using Values = std::vector<std::string>;

const PartitionId kP0{ObjectId(1), 0};
const PartitionId kP1{ObjectId(1), 1};

class ProducerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    rig.open();
    rig.create(ObjectId(1), {.partitions = 2, .segment_bytes = 1'024});
  }
  void restart(bool clean) {
    if (clean) {
      rig.close();
    } else {
      rig.crash();
    }
    rig.open();
  }
  Bytes plain(int64_t producer, int16_t epoch, int32_t sequence, std::string value = "v") {
    return rig.batch({std::move(value)}, producer, epoch, sequence);
  }
  Bytes transactional(int64_t producer, int32_t sequence, std::string value, int16_t epoch = 0) {
    return rig.batch({std::move(value)}, producer, epoch, sequence, kTransactional);
  }
  AppendRefusal refusal(Bytes batch) {
    auto outcome = rig.try_append(kP0, batch);
    EXPECT_FALSE(outcome.appended);
    return outcome.refusal;
  }
  Values committed(PartitionId id) {
    Values values;
    auto data = rig.log().fetch(id, Offset(0), 1u << 20, Isolation::read_committed).value();
    // What a consumer does: skip the records of an aborted transaction up to its control batch.
    std::map<int64_t, std::vector<int64_t>> aborted;
    for (const auto& it : data.aborted) aborted[it.producer_id].push_back(it.first_offset.value);
    std::map<int64_t, bool> skipping;
    ByteView view(data.batches);
    for (size_t at = 0; at < view.size();) {
      auto header = parse_batch_header(view.subspan(at)).value();
      ByteView batch = view.subspan(at, header.total_bytes());
      at += batch.size();
      auto& starts = aborted[header.producer_id];
      if (!starts.empty() && starts.front() == header.base_offset) {
        skipping[header.producer_id] = true;
        starts.erase(starts.begin());
      }
      if (header.control()) {
        EXPECT_EQ(skipping[header.producer_id], !control_commits(batch).value());
        skipping[header.producer_id] = false;
        continue;
      }
      if (skipping[header.producer_id]) continue;
      std::vector<RecordView> records;
      Bytes buffer;
      EXPECT_TRUE(read_records(batch, records, buffer));
      for (const auto& record : records) values.emplace_back(as_text(record.value));
    }
    return values;
  }
  PartitionInfo info(PartitionId id) { return rig.log().info(id).value(); }

  LogRig rig;
};

TEST_F(ProducerTest, ARepeatedBatchGivesTheFirstOutcomeAlsoAfterRestarts) {
  std::vector<Appended> first;
  for (int i = 0; i < 8; ++i) first.push_back(rig.append(kP0, plain(5, 0, i)));
  for (bool clean : {true, false, true}) {
    for (int i = 3; i < 8; ++i) {
      auto again = rig.append(kP0, plain(5, 0, i));
      EXPECT_EQ(again.base_offset, first[static_cast<size_t>(i)].base_offset);
      EXPECT_EQ(again.entry, first[static_cast<size_t>(i)].entry);
    }
    EXPECT_EQ(refusal(plain(5, 0, 2)), AppendRefusal::out_of_order_sequence)
        << "older than the last five";
    EXPECT_EQ(info(kP0).high_watermark, Offset(8));
    restart(clean);
  }
}

TEST_F(ProducerTest, GapsAndOldEpochsAreRefused) {
  rig.append(kP0, plain(5, 1, 0));
  EXPECT_EQ(refusal(plain(5, 1, 2)), AppendRefusal::out_of_order_sequence);
  EXPECT_EQ(refusal(plain(5, 0, 1)), AppendRefusal::invalid_producer_epoch);
  EXPECT_EQ(refusal(plain(5, 2, 1)), AppendRefusal::out_of_order_sequence)
      << "a new epoch begins with 0";
  rig.append(kP0, plain(5, 2, 0));
  EXPECT_EQ(refusal(plain(5, 1, 1)), AppendRefusal::invalid_producer_epoch);
  rig.append(kP0, plain(6, 0, 77));  // nothing is known of this one: its state may have expired
  EXPECT_EQ(refusal(plain(6, 0, 79)), AppendRefusal::out_of_order_sequence);
}

TEST_F(ProducerTest, SequencesWrapAround) {
  constexpr int32_t kMax = std::numeric_limits<int32_t>::max();
  rig.append(kP0, plain(5, 0, kMax - 1));
  rig.append(kP0, rig.batch({"a", "b"}, 5, 0, kMax));
  EXPECT_EQ(last_sequence(kMax, 2), 0);
  rig.append(kP0, plain(5, 0, 1));
  EXPECT_EQ(rig.append(kP0, rig.batch({"a", "b"}, 5, 0, kMax)).base_offset, Offset(1));
}

TEST_F(ProducerTest, SilentProducersAreForgotten) {
  rig.append(kP0, plain(5, 0, 0));
  rig.clock.advance(std::chrono::hours(25));
  rig.append(kP0, plain(6, 0, 0));
  ASSERT_TRUE(rig.log().close());
  ASSERT_TRUE(rig.journal().close());
  rig.kill();
  rig.open();
  rig.append(kP0, plain(5, 0, 9));
  EXPECT_EQ(refusal(plain(6, 0, 9)), AppendRefusal::out_of_order_sequence);
}

TEST_F(ProducerTest, TransactionsAreSeenWhenTheyAreCommitted) {
  rig.append(kP0, rig.batch({"before"}));
  rig.append(kP0, transactional(5, 0, "t1"));
  rig.append(kP0, rig.batch({"between"}));
  EXPECT_EQ(info(kP0).high_watermark, Offset(3));
  EXPECT_EQ(info(kP0).last_stable_offset, Offset(1));
  EXPECT_EQ(committed(kP0), (Values{"before"}));
  EXPECT_EQ(rig.values(kP0), (Values{"before", "t1", "between"}));
  ASSERT_EQ(rig.log().open_transactions().size(), 1u);
  EXPECT_EQ(rig.log().open_transactions()[0].first_offset, Offset(1));
  restart(false);
  EXPECT_EQ(info(kP0).last_stable_offset, Offset(1));
  auto entry = rig.end_transaction(5, 0, true, {kP0});
  ASSERT_TRUE(entry);
  EXPECT_EQ(committed(kP0), (Values{"before", "t1", "between"}));
  EXPECT_TRUE(rig.log().open_transactions().empty());
  EXPECT_EQ(rig.log().stable_end_at(kP0, EntryNumber(entry->value - 1)), Offset(1));
  EXPECT_EQ(rig.log().stable_end_at(kP0, *entry), Offset(4));
  restart(true);
  EXPECT_EQ(rig.log().stable_end_at(kP0, EntryNumber(entry->value - 1)), Offset(1));
}

TEST_F(ProducerTest, AbortedTransactionsAreNamedInOffsetOrder) {
  for (int i = 0; i < 20; ++i) {
    int64_t producer = 5 + i % 3;
    rig.append(kP0, transactional(producer, i / 3, fmt::format("{:060}", i)));
    rig.append(kP0, rig.batch({fmt::format("plain{}", i)}));
    if (i % 3 == 2) {
      EXPECT_TRUE(rig.end_transaction(6, 0, false, {kP0}));
      EXPECT_TRUE(rig.end_transaction(5, 0, true, {kP0}));
      EXPECT_TRUE(rig.end_transaction(7, 0, false, {kP0}));
    }
  }
  EXPECT_TRUE(rig.end_transaction(5, 0, true, {kP0}));
  EXPECT_TRUE(rig.end_transaction(6, 0, false, {kP0}));
  Values expected;
  for (int i = 0; i < 20; ++i) {
    if (i % 3 == 0) expected.push_back(fmt::format("{:060}", i));
    expected.push_back(fmt::format("plain{}", i));
  }
  auto read_everything = [&] {
    rig.log_options.cache_bytes = 0;
    auto data = rig.log().fetch(kP0, Offset(0), 1u << 20, Isolation::read_committed).value();
    EXPECT_TRUE(std::ranges::is_sorted(data.aborted, {}, &AbortedTransaction::first_offset));
    return data.aborted.size();
  };
  EXPECT_EQ(committed(kP0), expected);
  size_t aborted = read_everything();
  EXPECT_EQ(aborted, 13u);
  for (bool clean : {false, true}) {
    restart(clean);
    EXPECT_EQ(read_everything(), aborted);
  }
}

TEST_F(ProducerTest, OneEntryDecidesInAllPartitions) {
  rig.append(kP0, transactional(5, 0, "a"));
  rig.append(kP1, transactional(5, 0, "b"));
  auto entry = rig.end_transaction(5, 0, true, {kP1, kP0, kP1});
  ASSERT_TRUE(entry);
  EXPECT_EQ(rig.log().entry_of(kP0, Offset(1)), *entry);
  EXPECT_EQ(rig.log().entry_of(kP1, Offset(1)), *entry);
  auto decision = rig.journal().read(EntryNumber(entry->value - 1), 1).value();
  const auto& body = std::get<journal::TransactionDecision>(decision.at(0).body);
  EXPECT_TRUE(body.commit);
  EXPECT_EQ(body.ends.size(), 2u);
  EXPECT_EQ(info(kP0).high_watermark, Offset(2)) << "one control batch each";
}

TEST_F(ProducerTest, AnEndedTransactionFencesOlderEpochs) {
  rig.append(kP0, transactional(5, 0, "a"));
  ASSERT_TRUE(rig.end_transaction(5, 1, false, {kP0}));
  EXPECT_EQ(refusal(transactional(5, 1, "late")), AppendRefusal::invalid_producer_epoch);
  auto fenced = rig.end_transaction(5, 0, true, {kP0});
  ASSERT_FALSE(fenced);
  EXPECT_EQ(fenced.error().code(), Code::conflict);
  rig.append(kP0, transactional(5, 0, "next", 1));
  EXPECT_FALSE(rig.end_transaction(5, 1, true, {{ObjectId(9), 0}}));
}

TEST_F(ProducerTest, AFullDiskEndsATransactionNowhereOrEverywhere) {
  rig.append(kP0, transactional(5, 0, "a"));
  rig.append(kP1, transactional(5, 0, "b"));
  uint64_t used = 0;
  for (const auto* dir :
       {"data/journal", "data/log", "data/log/1", "data/log/1/0", "data/log/1/1"}) {
    for (const auto& file : rig.fs->list(dir).value()) used += file.is_directory ? 0 : file.size;
  }
  rig.fs->set_capacity(used + 100);  // room for one control batch of two
  auto full = rig.end_transaction(5, 0, true, {kP0, kP1});
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code(), Code::exhausted);
  EXPECT_EQ(info(kP0).last_stable_offset, Offset(0));
  rig.fs->set_capacity(0);
  rig.append(kP0, rig.batch({"c"}));
  ASSERT_TRUE(rig.end_transaction(5, 0, true, {kP0, kP1}));
  EXPECT_EQ(committed(kP0), (Values{"a", "c"}));
  EXPECT_EQ(committed(kP1), (Values{"b"}));
}

TEST(ProducerTable, StateRoundTripsAndDamageIsRefused) {
  ProducerTable table;
  BatchHeader header;
  header.producer_id = 9;
  header.producer_epoch = 3;
  header.count = 1;
  for (int i = 0; i < 7; ++i) {
    header.base_sequence = i;
    header.base_offset = i * 10;
    table.add(header, 1000 + i);
  }
  ByteWriter writer;
  table.encode(writer);
  ProducerTable again;
  ByteReader reader(writer.view());
  ASSERT_TRUE(again.decode(reader));
  header.base_sequence = 6;
  ASSERT_TRUE(again.check(header).duplicate);
  EXPECT_EQ(again.check(header).duplicate->base_offset, 60);
  for (size_t size = 0; size < writer.size(); ++size) {
    ByteReader cut(writer.view().subspan(0, size));
    EXPECT_FALSE(again.decode(cut)) << size;
  }
}

}  // namespace
}  // namespace ziwa::log
