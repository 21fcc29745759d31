#pragma once

#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/file.h"
#include "base/ids.h"
#include "base/metrics.h"
#include "base/result.h"

namespace ziwa::journal {

/// A partition now ends at `end` (exclusive): the records before it are part of the order.
struct PartitionEnd {
  PartitionId id;
  Offset end;
  friend bool operator==(const PartitionEnd&, const PartitionEnd&) = default;
};

/// What one entry of the order says. Each becomes visible to readers as a whole.
struct LogCommit {
  std::vector<PartitionEnd> ends;  ///< Sorted, each partition once.
};
struct TransactionDecision {
  std::string transactional_id;
  int64_t producer_id = 0;
  int16_t producer_epoch = 0;
  bool commit = false;
  std::vector<PartitionEnd> ends;  ///< With the control batches included.
};
struct SourceCut {
  ObjectId source;
  std::string position;
};
struct DeltaVersion {
  ObjectId table;
  int64_t version = 0;
};
struct CatalogChange {
  uint64_t catalog_version = 0;
};
/// The partition has been silent for its idle timeout: it leaves the watermark until its next record.
struct IdleMark {
  PartitionId id;
};
struct ClockTick {};
/// The log start of a partition moved up (retention, DeleteRecords).
struct LogStart {
  PartitionEnd start;
};
/// A process took over; numbers between the last entry and this one were skipped.
struct Opened {
  bool clean = false;
};

using Body = std::variant<LogCommit, TransactionDecision, SourceCut, DeltaVersion, CatalogChange, IdleMark, ClockTick,
                          LogStart, Opened>;

struct Entry {
  EntryNumber number;
  TimestampMs time;  ///< Journal time: never goes back, whatever the wall clock does.
  Body body;
};

/// When an acknowledgement may be given.
enum class Flush : unsigned char {
  always,    ///< After the sync that covers it.
  interval,  ///< At once; a sync runs every `flush_interval_ms`.
  os,        ///< At once; the operating system writes back when it likes.
};

/// The one order of everything that enters. Entries are numbered, checksummed and kept in files under one directory;
/// a sync thread makes groups of them durable together with the data files they speak of (group commit: several dirty
/// files share one syncfs). Format and recovery: docs/formats/journal.md.
class Journal {
 public:
  struct Options {
    Flush flush = Flush::always;
    int64_t flush_interval_ms = 100;
    uint64_t segment_bytes = 64u << 20;
    /// Numbers skipped after an unclean start, so that none is ever given twice.
    uint64_t unclean_skip = 1'000'000;
  };

  /// Asks a participant (the log) whether the data that `end` speaks of is whole; called during open() for the tail of the
  /// journal. The journal is cut before the first entry whose data is not. If that entry is known to have been acknowledged
  /// (a later entry says so) open() fails with corrupt instead: acknowledged data is never dropped in silence.
  using Verify = std::function<bool(const PartitionEnd& end)>;

  static Result<std::unique_ptr<Journal>> open(FileSystem& fs, const std::string& path, const Clock& clock,
                                               Metrics& metrics, Options options, const Verify& verify);
  virtual ~Journal() = default;

  /// Called once the entry is durable (flush=always) or ordered (interval, os), in entry order, on the sync thread; must not
  /// block. On failure the journal has stopped for good and nothing later will succeed: recover by opening again.
  using Done = std::move_only_function<void(Result<EntryNumber>)>;

  /// Adds an entry to the order. `dirty` are files whose written bytes the entry speaks of; they stay alive until `done`.
  /// LogCommit bodies of one group are merged into one entry. Any thread; does not block on the disk.
  virtual void submit(Body body, std::vector<std::shared_ptr<File>> dirty, Done done) = 0;
  /// submit() and wait for done.
  Result<EntryNumber> submit_and_wait(Body body, std::vector<std::shared_ptr<File>> dirty);

  /// The last entry readers may see.
  virtual EntryNumber durable() const = 0;
  /// Journal time of the last entry.
  virtual TimestampMs last_time() const = 0;
  /// Entries with number > `after`, in order, at most `limit`, up to durable(). Any thread.
  virtual Result<std::vector<Entry>> read(EntryNumber after, size_t limit) const = 0;
  /// The first entry still kept, after which read() is complete.
  virtual EntryNumber first() const = 0;
  /// Forgets entries with number < `before` (whole files only).
  virtual Status trim(EntryNumber before) = 0;

  /// Called on the sync thread after durable() moved; must not block. Returns a handle: destroy it to stop listening.
  virtual std::shared_ptr<void> listen(std::function<void(const std::vector<Entry>&)> on_entries) = 0;
  /// Waits until durable() >= `number`. Errors: unavailable after `timeout_ms`, io when the journal has failed.
  virtual Status wait(EntryNumber number, int64_t timeout_ms) = 0;
  /// Syncs what is pending and marks a clean end.
  virtual Status close() = 0;
};

}  // namespace ziwa::journal
