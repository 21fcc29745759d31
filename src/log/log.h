#pragma once

#include "base/clock.h"
#include "base/file.h"
#include "base/ids.h"
#include "base/metrics.h"
#include "base/result.h"
#include "journal/journal.h"
#include "log/record_batch.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ziwa::log {

/// How a topic keeps its records. Limits: src/log/topics.cpp.
struct TopicConfig {
  int32_t partitions = 1;
  int64_t retention_ms = 7LL * 24 * 3600 * 1000;  ///< -1: keep for ever.
  int64_t retention_bytes = -1;                   ///< Per partition; -1: no limit.
  uint64_t segment_bytes = 128u << 20;
  uint32_t batch_bytes_max = 1u << 20;  ///< Kafka's message.max.bytes.
  friend bool operator==(const TopicConfig&, const TopicConfig&) = default;
};

/// Whether a reader sees records of transactions that are open.
enum class Isolation : unsigned char { read_uncommitted, read_committed };

/// A transaction whose records, from `first_offset` to its control batch, a read_committed reader
/// must skip.
struct AbortedTransaction {
  int64_t producer_id = 0;
  Offset first_offset;
};

/// What a fetch gives: whole batches, the first of which may begin before the asked offset.
struct FetchedData {
  Bytes batches;
  Offset log_start;
  Offset high_watermark;  ///< End of what is synced and ordered; readers never see beyond it.
  /// High watermark, or the first record of the oldest open transaction.
  Offset last_stable_offset;
  std::vector<AbortedTransaction> aborted;  ///< In offset order; read_committed only.
};

/// Outcome of an append.
struct Appended {
  Offset base_offset;
  EntryNumber entry;
  TimestampMs append_time;
  Offset log_start;
};

/// Why a producer's batch was refused, for the door's table of codes.
enum class AppendRefusal : unsigned char {
  none,
  out_of_order_sequence,
  invalid_producer_epoch,
  unknown_producer_id
};

/// A record's place and its timestamp.
struct OffsetAndTime {
  Offset offset;
  TimestampMs timestamp;
};

/// A partition at one moment.
struct PartitionInfo {
  PartitionId id;
  Offset log_start;
  /// The entry that last moved log_start since the log was opened; 0: none did.
  EntryNumber start_moved;
  Offset high_watermark;
  Offset last_stable_offset;
  uint64_t bytes = 0;
  int segments = 0;
};

/// The durable log: topics of partitions of segments. Any thread. Knows no wire format but the
/// record batch. On disk: <path>/<topic id>/<partition>/<base
/// offset>.log|.index|.times|.entries; see docs/formats/log.md.
class Log {
 public:
  struct Options {
    uint32_t index_interval_bytes = 4096;
    int64_t producer_expiry_ms = 24LL * 3600 * 1000;
    /// Recently appended batches kept in memory for readers at the tail.
    uint64_t cache_bytes = 64u << 20;
    uint64_t checkpoint_bytes = 16u << 20;  ///< Appended to a partition before its next checkpoint.
    size_t open_files_max = 256;            ///< Handles of closed segments kept open.
    /// What the records of a compressed batch may unpack to; a topic's batch_bytes_max if that is
    /// more. At most kUnpackedBytesMax, which is what readers take.
    size_t unpacked_bytes_max = 64u << 20;
    /// Whether appending unpacks compressed batches to check their records, not only their frames.
    bool unpack_to_check = false;
  };
  using AppendDone = std::move_only_function<void(Result<Appended>, AppendRefusal)>;

  /// Step one of opening: finds the partitions on disk, recovers tails (bad CRC or cut batch:
  /// truncated), but serves nothing.
  static Result<std::unique_ptr<Log>> open(FileSystem& fs, const std::string& path,
                                           const Clock& clock, Metrics& metrics, Options options);
  virtual ~Log() = default;

  /// For Journal::open: is the data up to `end` on disk and whole?
  virtual bool has_data(const journal::PartitionEnd& end) const = 0;
  /// For Journal::open: the newest entry that a checkpoint of a partition was durable with; 0:
  /// none.
  virtual EntryNumber must_reach() const = 0;
  /// Step two: replays the journal's ends, truncates what no entry covers, starts serving.
  /// `journal` must outlive the log.
  virtual Status start(journal::Journal& journal) = 0;

  /// Topics come and go with the catalog; create is idempotent. Creation is durable when it
  /// returns.
  virtual Status create_topic(ObjectId topic, const TopicConfig& config) = 0;
  virtual Status drop_topic(ObjectId topic) = 0;
  virtual Status alter_topic(ObjectId topic, const TopicConfig& config) = 0;
  /// The catalog has this topic: from now on a directory that is missing is damage, not a creation
  /// that was interrupted.
  virtual void keep_topic(ObjectId topic) = 0;
  /// Drops directories of topics that `exists` does not know (at start: catalog first), and keeps
  /// the others.
  virtual Status drop_unknown(const std::function<bool(ObjectId)>& exists) = 0;

  /// Appends one client batch (v2; CRC and records are checked here), assigns offsets, and calls
  /// `done` when it is ordered and, with flush=always, durable. A repeated (producer, epoch,
  /// sequence) gives the first outcome again. Does not block on the disk sync. `done` runs on the
  /// sync thread, or on the caller's for refusals; it must not block. Errors: not_found,
  /// invalid_argument (bad batch), corrupt (CRC), exhausted (too large, disk full), unavailable.
  virtual void append(PartitionId id, ByteView batch, AppendDone done) = 0;
  /// Appends batches to several partitions as one journal entry: after a power cut all of them are
  /// there, or none. Batches of idempotent producers are refused. `done` as for append(); an error
  /// of it is maybe_applied only when the order has failed.
  struct PartitionBatches {
    PartitionId id;
    std::vector<Bytes> batches;
  };
  virtual void append_together(std::vector<PartitionBatches> parts,
                               journal::Journal::Done done) = 0;
  /// Ends a transaction of `producer_id` on `partitions`: control batches and one
  /// TransactionDecision entry.
  virtual void end_transaction(const std::string& transactional_id, int64_t producer_id,
                               int16_t producer_epoch, bool commit,
                               std::vector<PartitionId> partitions,
                               journal::Journal::Done done) = 0;

  /// Batches from the one that holds `from`, up to the high watermark (or last stable offset), at
  /// least one batch if there is any, then at most `max_bytes`. Errors: not_found (no such
  /// partition), invalid_argument with the range in the message (offset out of range).
  virtual Result<FetchedData> fetch(PartitionId id, Offset from, size_t max_bytes,
                                    Isolation isolation) const = 0;
  virtual Result<PartitionInfo> info(PartitionId id) const = 0;
  /// First record with a timestamp >= `time`; nullopt when there is none. Of a batch that cannot be
  /// read and says that it has such a time, the first offset and that time.
  virtual Result<std::optional<OffsetAndTime>> offset_for_time(PartitionId id,
                                                               TimestampMs time) const = 0;
  /// The journal entry that made `offset` visible (offset must be below the high watermark).
  virtual Result<EntryNumber> entry_of(PartitionId id, Offset offset) const = 0;
  /// End offset of the partition at `entry`: what a reader pinned to that epoch may see.
  virtual Result<Offset> end_at(PartitionId id, EntryNumber entry) const = 0;
  /// The last stable offset at `entry`: records of transactions that were still open then lie at or
  /// above it.
  virtual Result<Offset> stable_end_at(PartitionId id, EntryNumber entry) const = 0;
  /// (end, entry) pairs that cover [from, to): records below pair i's end and at or above pair
  /// i-1's belong to pair i.
  struct EntryEnd {
    Offset end;
    EntryNumber entry;
  };
  virtual Result<std::vector<EntryEnd>> entries_between(PartitionId id, Offset from,
                                                        Offset to) const = 0;

  /// Moves the log start to `before` (at most the high watermark), durably; whole segments below it
  /// are deleted. Returns the log start. Errors: conflict when a reader holds records below
  /// `before`: let it checkpoint first.
  virtual Result<Offset> delete_records(PartitionId id, Offset before) = 0;
  /// Retention never passes the lowest hold of a partition. Replaces the holder's earlier hold;
  /// nullopt lets go. Waits for a log start that is just being moved. Returns the first record that
  /// is kept for the holder: `from`, or the log start if that has passed it.
  virtual Offset hold(PartitionId id, const std::string& holder, std::optional<Offset> from) = 0;
  /// Bytes of segments with records from `from` on that enforce_retention() would have deleted when
  /// it last looked, had nobody held them. 0 for a partition that is not there.
  virtual uint64_t overdue_bytes(PartitionId id, Offset from) const = 0;
  /// Applies retention.time and .bytes once; returns deleted bytes. Also writes the recovery
  /// checkpoints that are due and tells the journal what may be trimmed. Called by the maintenance
  /// loop, every few seconds; blocks on the disk.
  virtual Result<uint64_t> enforce_retention() = 0;

  /// Calls `wake` once when the high watermark of any of `ids` passes the paired offset, at once if
  /// it already has; the returned handle cancels. For long polls. `wake` runs on the sync thread
  /// and must not block.
  virtual std::shared_ptr<void> when_past(std::vector<std::pair<PartitionId, Offset>> ids,
                                          std::function<void()> wake) = 0;

  /// Transactions that have records and no end yet, for time-outs and recovery of the coordinator.
  struct OpenTransactionInfo {
    PartitionId id;
    int64_t producer_id = 0;
    int16_t producer_epoch = 0;
    Offset first_offset;
    TimestampMs last_append;
  };
  virtual std::vector<OpenTransactionInfo> open_transactions() const = 0;

  /// A producer id never given before (durable), for InitProducerId.
  virtual Result<int64_t> new_producer_id() = 0;
  /// Writes checkpoints, so that the next opening reads nothing. Before Journal::close(). Later
  /// calls fail with unavailable.
  virtual Status close() = 0;
};

}  // namespace ziwa::log
