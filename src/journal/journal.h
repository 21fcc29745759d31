#pragma once

#include "base/clock.h"
#include "base/file.h"
#include "base/ids.h"
#include "base/metrics.h"
#include "base/result.h"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

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
/// The partition has been silent for its idle timeout: it leaves the watermark until its next
/// record.
struct IdleMark {
  PartitionId id;
  std::optional<Offset> seen;  ///< End of its records when it was found silent.
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

using Body = std::variant<LogCommit, TransactionDecision, SourceCut, DeltaVersion, CatalogChange,
                          IdleMark, ClockTick, LogStart, Opened>;

/// One step of the order.
struct Entry {
  EntryNumber number;
  TimestampMs time;  ///< Journal time: never goes back, whatever the wall clock does.
  Body body;
};

/// What an entry needs on the disk before it may be acknowledged.
struct Dirty {
  /// Files whose written bytes the entry speaks of; they stay alive until `done`.
  std::vector<std::shared_ptr<File>> files;
  /// Directories in which such files were created.
  std::vector<std::string> directories;
};

/// When an acknowledgement may be given.
enum class Flush : unsigned char {
  always,    ///< After the sync that covers it.
  interval,  ///< At once; a sync runs every `flush_interval_ms`.
  os,        ///< At once; the operating system writes back when it likes.
};

/// The one order of everything that enters. Entries are numbered, checksummed and kept in files
/// under one directory; a sync thread makes groups of them durable together with the data files
/// they speak of (group commit: several dirty files share one syncfs, so the journal and the files
/// it speaks of must be on one file system). Format and recovery: docs/formats/journal.md.
class Journal {
 public:
  struct Options {
    Flush flush = Flush::always;
    int64_t flush_interval_ms = 100;
    uint64_t segment_bytes = 64u << 20;
    /// Numbers skipped after an unclean start, so that none is ever given twice.
    uint64_t unclean_skip = 1'000'000;
    /// A group with more dirty files than this (its data files and the journal's) is made durable
    /// by one syncfs.
    size_t sync_all_above = 2;
    /// An entry that is known to have been durable: open() fails with corrupt where the journal
    /// ends before it.
    EntryNumber must_reach;
  };

  /// Asks a participant (the log) whether the data that `end` speaks of is whole; called during
  /// open() for the tail of the journal. The journal is cut before the first entry whose data is
  /// not. If that entry is known to have been acknowledged (a later entry says so) open() fails
  /// with corrupt instead: acknowledged data is never dropped in silence.
  using Verify = std::function<bool(const PartitionEnd& end)>;

  static Result<std::unique_ptr<Journal>> open(FileSystem& fs, const std::string& path,
                                               const Clock& clock, Metrics& metrics,
                                               Options options, const Verify& verify);
  virtual ~Journal() = default;

  /// Called once the entry is durable (flush=always) or ordered (interval, os), in entry order, on
  /// the sync thread; must not block. On failure the journal has stopped for good and nothing later
  /// will succeed: recover by opening again.
  using Done = std::move_only_function<void(Result<EntryNumber>)>;

  /// Adds an entry to the order. LogCommit bodies that follow each other in one group are merged
  /// into one entry, with the last end of each partition. Any thread; does not block on the disk.
  /// Submissions of one thread keep their order.
  virtual void submit(Body body, Dirty dirty, Done done) = 0;
  /// submit() and wait for done. Not from the sync thread (a callback), which would wait for
  /// itself.
  Result<EntryNumber> submit_and_wait(Body body, Dirty dirty);
  /// Whether the disk has room for more entries. Ask before writing data that an entry is to speak
  /// of: an entry that cannot be written stops the journal. Errors: exhausted (try again later), io
  /// (the journal has failed).
  virtual Status room() const = 0;
  /// Makes everything ordered so far durable, whatever `flush` says. Blocks.
  virtual Status sync() = 0;
  /// Makes the entries up to `number` durable, if they are not: before something that is made from
  /// them becomes durable. With flush=always nothing is left to do for an entry that can be read.
  virtual Status sync_through(EntryNumber number) = 0;

  /// Of each partition the last end that open() read, in the newest file: a log that ends before it
  /// is of another time. Gives them away.
  virtual std::map<PartitionId, Offset> take_recovered_ends() = 0;

  /// The last entry readers may see.
  virtual EntryNumber durable() const = 0;
  /// Journal time of the last entry.
  virtual TimestampMs last_time() const = 0;
  /// Entries with number > `after`, in order, at most `limit`, up to durable(). Any thread; older
  /// entries come from the disk. Errors: not_found when entries after `after` were already
  /// forgotten (see first()), corrupt.
  virtual Result<std::vector<Entry>> read(EntryNumber after, size_t limit) const = 0;
  /// The first entry still kept, after which read() is complete.
  virtual EntryNumber first() const = 0;
  /// Forgets entries with number < `before` (whole files only), but none that a holder still needs.
  virtual Status trim(EntryNumber before) = 0;
  /// Keeps entries with number >= `from` from being trimmed. Replaces the holder's earlier hold;
  /// nullopt lets go.
  virtual void hold(const std::string& holder, std::optional<EntryNumber> from) = 0;

  enum class When : unsigned char {
    before_visible,  ///< Before durable() moves: for the log, which must know the ends before a
                     ///< reader asks for them.
    visible,         ///< After durable() moved.
  };
  /// Called on the sync thread with each group of new entries, in order of registration; must not
  /// block. Returns a handle: destroy it to stop listening (once it is destroyed no call is
  /// running, unless the listener destroys it itself).
  virtual std::shared_ptr<void> listen(std::function<void(const std::vector<Entry>&)> on_entries,
                                       When when = When::visible) = 0;
  /// Waits until durable() >= `number`. Errors: unavailable after `timeout_ms`, io when the journal
  /// has failed.
  virtual Status wait(EntryNumber number, int64_t timeout_ms) = 0;
  /// Syncs what is pending and marks a clean end.
  /// What is submitted later fails with unavailable.
  virtual Status close() = 0;
};

}  // namespace ziwa::journal
