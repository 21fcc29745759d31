#pragma once

#include "log/log.h"
#include "log/partition_internal.h"
#include "log/topic_list_internal.h"

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

namespace ziwa::log {

/// The log on a file system: the map of topics, and the way from the journal to the partitions.
class FileLog final : public Log {
 public:
  FileLog(FileSystem& fs, std::string path, const Clock& clock, Metrics& metrics, Options options);
  ~FileLog() override;
  Status recover();

  bool has_data(const journal::PartitionEnd& end) const override;
  EntryNumber must_reach() const override;
  Status start(journal::Journal& journal) override;
  Status create_topic(ObjectId topic, const TopicConfig& config) override;
  Status drop_topic(ObjectId id) override;
  Status alter_topic(ObjectId topic, const TopicConfig& config) override;
  void keep_topic(ObjectId id) override;
  Status drop_unknown(const std::function<bool(ObjectId)>& exists) override;
  void append(PartitionId id, ByteView batch, AppendDone done) override;
  void append_together(std::vector<PartitionBatches> parts, journal::Journal::Done done) override;
  void end_transaction(const std::string& transactional_id, int64_t producer_id,
                       int16_t producer_epoch, bool commit, std::vector<PartitionId> ids,
                       journal::Journal::Done done) override;
  Result<FetchedData> fetch(PartitionId id, Offset from, size_t max_bytes,
                            Isolation isolation) const override;
  Result<PartitionInfo> info(PartitionId id) const override;
  Result<std::optional<OffsetAndTime>> offset_for_time(PartitionId id,
                                                       TimestampMs time) const override;
  Result<EntryNumber> entry_of(PartitionId id, Offset offset) const override;
  Result<Offset> end_at(PartitionId id, EntryNumber entry) const override;
  Result<Offset> stable_end_at(PartitionId id, EntryNumber entry) const override;
  Result<std::vector<EntryEnd>> entries_between(PartitionId id, Offset from,
                                                Offset to) const override;
  Result<Offset> delete_records(PartitionId id, Offset before) override;
  Offset hold(PartitionId id, const std::string& holder, std::optional<Offset> from) override;
  uint64_t overdue_bytes(PartitionId id, Offset from) const override;
  Result<uint64_t> enforce_retention() override;
  std::shared_ptr<void> when_past(std::vector<std::pair<PartitionId, Offset>> ids,
                                  std::function<void()> wake) override;
  std::vector<OpenTransactionInfo> open_transactions() const override;
  Result<int64_t> new_producer_id() override;
  Status close() override;

 private:
  using PartitionPtr = std::shared_ptr<Partition>;
  struct Topic {
    TopicConfig config;
    std::vector<PartitionPtr> partitions;
  };

  /// Batches that are written to several partitions under their append locks.
  struct Writes {
    std::vector<PartitionPtr> partitions;
    std::vector<std::unique_lock<std::mutex>> locks;
    std::vector<std::vector<Partition::Written>> written;  ///< Per partition.
    /// Makes them the ends of their partitions, which it returns.
    std::vector<journal::PartitionEnd> adopt(journal::Dirty& dirty);
  };
  Result<Writes> write_all(
      std::vector<PartitionId> ids,
      const std::function<Result<std::vector<Partition::Written>>(Partition&, PartitionId)>& write);
  void submit(Writes writes, journal::Body body, journal::Dirty dirty, journal::Journal::Done done);

  Status check_format();
  Status recover_topic(ObjectId id);
  std::string topic_path(ObjectId id) const;
  Status write_config(ObjectId id, const TopicConfig& config);
  Status check_started() const;
  Status check_new(ObjectId id) const;
  Status set_topic(ObjectId id, const TopicConfig& config, bool must_exist);
  PartitionPtr find(PartitionId id) const;
  Result<PartitionPtr> get(PartitionId id) const;
  std::vector<std::pair<PartitionId, PartitionPtr>> all() const;
  Result<std::map<PartitionId, Partition::Replay>> read_journal(EntryNumber after);
  void on_entries(const std::vector<journal::Entry>& entries);
  Status move_start(PartitionId id, Partition& partition, int64_t start);
  Result<uint64_t> retain(PartitionId id, Partition& partition);
  Result<uint64_t> care_for(PartitionId id, Partition& partition);
  void hold_journal();

  const std::string path_;
  mutable Shared shared_;
  mutable std::shared_mutex topics_mutex_;  ///< Guards topics_; partitions have their own locks.
  std::map<ObjectId, Topic> topics_;
  std::map<ObjectId, Offset>
      missing_;              ///< Topics that the journal speaks of and the disk does not have.
  std::mutex change_mutex_;  ///< One creation, change or removal of a topic at a time.
  TopicList list_;           ///< Guarded by change_mutex_.
  std::mutex producer_mutex_;
  int64_t next_producer_id_ = 0;
  int64_t producer_id_limit_ = 0;
  std::shared_ptr<void> listening_;
  std::atomic<bool> started_{false};
  std::atomic<bool> closed_{false};
};

}  // namespace ziwa::log
