#pragma once

#include "base/sim_file.h"
#include "journal/journal.h"
#include "log/log.h"
#include "log/record_batch.h"

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>
#include <vector>

namespace ziwa::log::testing {

/// A journal and a log over a disk that forgets, opened and killed at will.
struct LogRig {
  explicit LogRig(uint64_t seed = 1) : fs(std::make_unique<SimFileSystem>(seed)) {}
  ~LogRig() { kill(); }

  Status try_open() {
    auto opened = Log::open(*fs, "data/log", clock, metrics, log_options);
    if (!opened) return std::move(opened).error();
    log_ = std::move(*opened);
    journal_options.must_reach = log_->must_reach();
    auto journal = journal::Journal::open(*fs, "data/journal", clock, metrics, journal_options,
                                          [this](const auto& end) { return log_->has_data(end); });
    if (!journal) return std::move(journal).error();
    journal_ = std::move(*journal);
    return log_->start(*journal_);
  }
  void open() {
    auto opened = try_open();
    ASSERT_TRUE(opened) << opened.error().to_string();
  }
  /// The process ends without a word; the machine stays up.
  void kill() {
    log_.reset();
    journal_.reset();
  }
  /// The process ends and the power with it.
  void crash() {
    kill();
    fs->die_after(0);
    fs->cut_power();
  }
  void close() {
    EXPECT_TRUE(log_->close());
    EXPECT_TRUE(journal_->close());
    kill();
  }
  Log& log() { return *log_; }
  journal::Journal& journal() { return *journal_; }

  void create(ObjectId topic, const TopicConfig& config) {
    auto created = log_->create_topic(topic, config);
    ASSERT_TRUE(created) << created.error().to_string();
  }
  Bytes batch(const std::vector<std::string>& values, int64_t producer = -1, int16_t epoch = -1,
              int32_t sequence = -1, int16_t attributes = 0) {
    std::vector<NewRecord> records;
    for (const auto& value : values)
      records.push_back({clock.now(), std::nullopt, as_bytes(value)});
    return encode_batch(records, producer, epoch, sequence, attributes);
  }
  struct Outcome {
    Result<Appended> appended;
    AppendRefusal refusal;
  };
  Outcome try_append(PartitionId id, ByteView bytes) {
    std::promise<Outcome> promise;
    auto future = promise.get_future();
    log_->append(id, bytes, [&promise](Result<Appended> appended, AppendRefusal refusal) {
      promise.set_value({std::move(appended), refusal});
    });
    return future.get();
  }
  Appended append(PartitionId id, ByteView bytes) {
    auto outcome = try_append(id, bytes);
    EXPECT_TRUE(outcome.appended) << outcome.appended.error().to_string();
    return outcome.appended.value_or(Appended{});
  }
  Result<EntryNumber> append_together(std::vector<Log::PartitionBatches> parts) {
    std::promise<Result<EntryNumber>> promise;
    auto future = promise.get_future();
    log_->append_together(std::move(parts), [&promise](Result<EntryNumber> result) {
      promise.set_value(std::move(result));
    });
    return future.get();
  }
  Result<EntryNumber> end_transaction(int64_t producer, int16_t epoch, bool commit,
                                      std::vector<PartitionId> ids) {
    std::promise<Result<EntryNumber>> promise;
    auto future = promise.get_future();
    log_->end_transaction(
        "tx", producer, epoch, commit, std::move(ids),
        [&promise](Result<EntryNumber> result) { promise.set_value(std::move(result)); });
    return future.get();
  }
  /// All bytes from `from` to the end, fetched in pieces of `max_bytes`.
  Result<Bytes> fetch_all(PartitionId id, Offset from = {}, size_t max_bytes = 1u << 20,
                          Isolation isolation = Isolation::read_uncommitted) {
    Bytes all;
    while (true) {
      auto data = log_->fetch(id, from, max_bytes, isolation);
      if (!data) return std::move(data).error();
      if (data->batches.empty()) return all;
      ByteView view(data->batches);
      for (size_t at = 0; at < view.size();) {
        BatchHeader header = TRY(parse_batch_header(view.subspan(at)));
        from = Offset(header.last_offset() + 1);
        at += header.total_bytes();
      }
      all.insert(all.end(), view.begin(), view.end());
    }
  }
  std::vector<std::string> values(PartitionId id, Offset from = {}, size_t max_bytes = 1u << 20,
                                  Isolation isolation = Isolation::read_uncommitted) {
    auto bytes = fetch_all(id, from, max_bytes, isolation);
    EXPECT_TRUE(bytes) << bytes.error().to_string();
    std::vector<std::string> out;
    if (!bytes) return out;
    ByteView view(*bytes);
    for (size_t at = 0; at < view.size();) {
      auto header = parse_batch_header(view.subspan(at));
      std::vector<RecordView> records;
      Bytes buffer;
      EXPECT_TRUE(read_records(view.subspan(at, header->total_bytes()), records, buffer));
      for (const auto& record : records) {
        if (record.offset >= from && !header->control()) out.emplace_back(as_text(record.value));
      }
      at += header->total_bytes();
    }
    return out;
  }

  std::unique_ptr<SimFileSystem> fs;
  ManualClock clock;
  Metrics metrics;
  journal::Journal::Options journal_options{.unclean_skip = 1000};
  Log::Options log_options;

 private:
  // The journal must outlive the log.
  std::unique_ptr<journal::Journal> journal_;
  std::unique_ptr<Log> log_;
};

}  // namespace ziwa::log::testing
