#pragma once

#include "base/metrics.h"
#include "journal/callback.h"
#include "journal/journal.h"
#include "log/batch_reader_internal.h"
#include "log/checkpoint_internal.h"
#include "log/file_cache_internal.h"
#include "log/log.h"
#include "log/producer_table_internal.h"
#include "log/segment_internal.h"
#include "log/tail_cache_internal.h"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace ziwa::log {

/// What all partitions of one log share.
struct Shared {
  FileSystem& fs;
  const Clock& clock;
  Log::Options options;
  TailCache cache;
  FileCache files;
  journal::Journal* journal = nullptr;
  std::atomic<uint64_t> applied{0};  ///< All entries up to this one have reached the partitions.
  Counter& appended_bytes;
  Counter& appended_batches;
  Counter& fetched_bytes;
  Counter& cache_hits;
  Counter& cache_misses;
};

using Wake = journal::Callback<>;
using Wakes = std::vector<std::shared_ptr<Wake>>;

/// One partition: its segments, its ends in the order, its producers and transactions. Any thread;
/// one lock. Offsets: log start <= last stable offset <= high watermark (ordered end) <= next
/// offset (appended end).
class Partition {
 public:
  Partition(Shared& shared, PartitionId id, std::string directory, const TopicConfig& config);

  // Opening (partition_recovery.cpp). One thread, before anything else.

  /// Makes the directory, an empty segment and a checkpoint, all durable but for the directory's
  /// own entry.
  Status create(EntryNumber now);
  /// Finds how far the batches on disk are whole. Changes nothing.
  Status recover();
  /// End of the whole batches that recover() found.
  int64_t recovered_end() const { return recovered_end_; }
  /// Journal entries after this one must be replayed; it may be replayed, too.
  EntryNumber replay_after() const { return EntryNumber(checkpoint_entry_); }
  /// The entry that the checkpoint which recover() found was durable with; 0: none.
  EntryNumber vouches_for() const { return EntryNumber(found_ ? found_->entry : 0); }
  struct Replay {
    std::vector<Log::EntryEnd> ends;
    int64_t log_start = 0;
    int64_t end_min = 0;  ///< See Journal::take_recovered_ends().
    EntryNumber newest;   ///< Of the journal.
  };
  /// Takes the ends that the journal has since the checkpoint, cuts what is beyond, and begins to
  /// serve. Errors: corrupt, also when the checkpoint and the journal are not of one time.
  Status start(const Replay& replay);

  // Appending (partition.cpp).

  void append(ByteView batch, Log::AppendDone done);
  /// Lock of several partitions while one entry moves the ends of all of them.
  std::unique_lock<std::mutex> lock_appends() { return std::unique_lock(append_mutex_); }
  /// A batch that is written and not yet part of the log.
  struct Written {
    BatchHeader header;
    std::shared_ptr<const CachedBatch> batch;
    bool commits = false;
    int64_t time = 0;
  };
  /// Writes a control batch, or batches one behind the other; the caller holds lock_appends() until
  /// adopt_written() or take_back_write(), one of which must follow.
  Result<std::vector<Written>> write_marker(int64_t producer_id, int16_t epoch, bool commit);
  Result<std::vector<Written>> write_batches(std::span<const Bytes> batches);
  /// Makes them the end of the log, adds what must be synced to `dirty`, and returns the new end.
  journal::PartitionEnd adopt_written(std::vector<Written> written, journal::Dirty& dirty);
  void take_back_write();
  /// A submission of this partition is over: answers whom it covers.
  void submitted(const Result<EntryNumber>& result);
  /// The order now covers everything below `end`. On the sync thread.
  void commit(int64_t end, EntryNumber entry, Wakes& wakes);
  /// The log start is at least `start`.
  void raise_log_start(int64_t start, EntryNumber entry);

  // Reading (partition_read.cpp).

  Result<FetchedData> fetch(int64_t from, size_t max_bytes, Isolation isolation) const;
  PartitionInfo info() const;
  Result<std::optional<OffsetAndTime>> offset_for_time(TimestampMs time) const;
  Result<EntryNumber> entry_of(int64_t offset) const;
  Result<EndPoint> point_at(EntryNumber entry) const;
  Result<std::vector<Log::EntryEnd>> entries_between(int64_t from, int64_t to) const;
  /// True when the high watermark is already past `offset`; else `wake` is called once it is.
  bool wake_when_past(int64_t offset, const std::shared_ptr<Wake>& wake);
  std::vector<Log::OpenTransactionInfo> open_transactions() const;

  // Care (partition_care.cpp).

  void configure(const TopicConfig& config);
  /// As Log::hold().
  Offset hold(const std::string& holder, std::optional<Offset> from);
  /// A log start that moves to `to`, until this goes: holds below wait for its end.
  class Move {
   public:
    Move(Partition& partition, int64_t to) : partition_(&partition), to_(to) {}
    Move(Move&& other) noexcept
        : partition_(std::exchange(other.partition_, nullptr)), to_(other.to_) {}
    Move& operator=(Move&&) = delete;
    ~Move() {
      if (partition_ != nullptr) partition_->end_move(to_);
    }
    int64_t to() const { return to_; }

   private:
    Partition* partition_;
    int64_t to_;
  };
  /// Where retention or `before` lets the log start move; nullopt when nothing can go. Errors:
  /// conflict (held).
  Result<std::optional<Move>> start_after_delete(int64_t before);
  Result<std::optional<Move>> start_by_retention();
  uint64_t overdue_bytes(int64_t from) const;
  /// Deletes segments wholly below the log start. Returns bytes.
  Result<uint64_t> delete_below_start();
  /// Closes the growing segment if every record in it is ordered and below `offset`, so that it can
  /// be deleted.
  Status roll_if_below(int64_t offset);
  /// Writes a checkpoint if one is due (`force`: if anything changed). Waits for what is on its way
  /// to the order.
  Status checkpoint(bool force);
  /// Refuses appends from now on with `why`, and waits for what is on its way to the order.
  void stop(Error why);
  /// After stop(), when the files are about to go: wakes whoever waits and forgets handles.
  void forget();

 private:
  struct Waiting {
    int64_t end = 0;
    Appended outcome;
    Log::AppendDone done;
  };
  struct TailBatch {
    int64_t base = 0;
    int64_t last = 0;
    std::weak_ptr<const CachedBatch> batch;
  };
  struct Waiter {
    int64_t offset = 0;
    std::weak_ptr<Wake> wake;
  };
  struct Refusal {
    Error error;
    AppendRefusal refusal = AppendRefusal::none;
  };
  struct Verdict {
    std::optional<Refusal> refused;
    std::optional<ProducerTable::Batch> repeated;
  };
  struct FetchPlan;

  // partition.cpp
  Result<BatchHeader> check_batch(ByteView batch) const;
  Status check_open() const;
  Verdict judge(const BatchHeader& header, size_t bytes) const;
  void answer_repeated(const ProducerTable::Batch& first, Log::AppendDone done);
  std::optional<Refusal> append_fresh(BatchHeader header, ByteView batch, Log::AppendDone& done);
  journal::PartitionEnd adopt(const BatchHeader& header, std::shared_ptr<const CachedBatch> batch,
                              bool commits, int64_t time, journal::Dirty& dirty);
  std::shared_ptr<Segment> growing() const;
  Status roll_if_full(int64_t records, size_t bytes);
  /// Where the next batch goes.
  struct Place {
    int64_t offset = 0;
    uint64_t position = 0;
  };
  Place end_of_log() const;
  Result<std::shared_ptr<const CachedBatch>> write_batch(BatchHeader& header, ByteView batch,
                                                         Place& place);
  Status roll();
  void track_producer(const BatchHeader& header, bool commits, int64_t time, Segment& segment);
  void enqueue(Waiting waiting);
  void add_end(int64_t end, EntryNumber entry);
  int64_t stable_locked() const;
  Segment& active() const { return *segments_.back(); }

  // partition_read.cpp
  Result<bool> plan_fetch(FetchPlan& plan) const;
  Status read_planned(const FetchPlan& plan, Bytes& out) const;
  bool plan_from_cache(FetchPlan& plan) const;
  std::vector<AbortedTransaction> aborted_locked(int64_t from, int64_t upper) const;
  size_t segment_of(int64_t offset) const;
  Error damaged(int64_t offset, const Error& cause) const;
  Result<std::optional<OffsetAndTime>> find_time(const Segment& segment, IndexPoint from,
                                                 uint64_t size, int64_t time, int64_t start,
                                                 int64_t upper) const;
  Result<std::optional<OffsetAndTime>> find_time_in_batch(ByteView batch, int64_t time,
                                                          int64_t start) const;
  Result<uint64_t> find_batch(const Segment& segment, const File& file, IndexPoint hint,
                              uint64_t size, int64_t offset) const;

  // partition_recovery.cpp
  Status load_segments(std::vector<int64_t> bases);
  Status load_checkpoint();
  Status verify_from_checkpoint();
  Result<bool> verify_segment(Segment& segment, uint64_t position, int64_t& offset);
  Status restore_segment(Segment& segment);
  Error not_of_one_time(std::string_view why) const;
  Status replay_batches(int64_t journal_end);
  Status replay_segment(Segment& segment, uint64_t position, int64_t journal_end);
  void replay_ends(const std::vector<Log::EntryEnd>& ends);
  Status cut_beyond(int64_t end);

  // partition_care.cpp
  std::pair<std::string, int64_t> lowest_hold_locked() const;
  std::optional<Move> begin_move_locked(int64_t to);
  void end_move(int64_t to);
  int64_t cutoff_locked(int64_t now) const;
  Status roll_if_old(int64_t now);
  bool checkpoint_due_locked(bool force) const;
  Checkpoint snapshot_locked();
  Status checkpoint_in_care(bool force);
  Status settle_points(Checkpoint& checkpoint, uint64_t durable);

  Shared& shared_;
  const PartitionId id_;
  const std::string directory_;

  // Locks are taken in this order.
  std::mutex care_mutex_;     ///< One checkpoint, deletion or retention at a time.
  std::mutex append_mutex_;   ///< One appender at a time; held while it writes to the disk.
  mutable std::mutex mutex_;  ///< Guards what follows; not held while records are written.

  /// The high watermark or the log start moved, or nothing will any more.
  std::condition_variable moved_;
  TopicConfig config_;
  /// By base; the last one grows. Never empty once started.
  std::vector<std::shared_ptr<Segment>> segments_;
  int64_t log_start_ = 0;
  EntryNumber start_moved_;
  int64_t next_offset_ = 0;
  int64_t high_watermark_ = 0;
  uint64_t last_entry_ = 0;  ///< That moved the high watermark.
  ProducerTable producers_;
  std::map<int64_t, OpenTransaction> open_;  ///< By first offset; leave when their end is ordered.
  /// First offset, of those without a control batch.
  std::unordered_map<int64_t, int64_t> open_by_producer_;
  std::deque<TailBatch> tail_;
  std::deque<Waiting> waiting_;  ///< By end.
  std::vector<Waiting> ready_;   ///< Covered by the order; answered when their submission is over.
  size_t in_flight_ = 0;         ///< Submissions that are not over.
  std::vector<Waiter> waiters_;
  std::map<std::string, int64_t> holds_;
  std::multiset<int64_t> moves_;  ///< Where the log start is just being moved.
  int64_t overdue_end_ = 0;  ///< Where retention would begin the log without holds, when it looked.
  std::optional<Error> refusing_;  ///< Set: appends are refused with it.
  bool serving_ = false;
  bool directory_dirty_ = true;
  // Recovery and checkpoints.
  std::optional<Checkpoint> found_;
  std::vector<Log::EntryEnd> known_ends_;  ///< Without a checkpoint: what the .entries files say.
  int64_t recovered_end_ = 0;
  uint64_t checkpoint_entry_ = 0;  ///< Of the checkpoint on disk, as the next three.
  int64_t checkpoint_segment_ = 0;
  int64_t checkpoint_offset_ = 0;
  int64_t checkpoint_log_start_ = 0;
  uint64_t unchecked_bytes_ = 0;  ///< Appended since the last checkpoint.
};

}  // namespace ziwa::log
