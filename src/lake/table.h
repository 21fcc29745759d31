#pragma once

#include "base/clock.h"
#include "base/result.h"
#include "data/scan.h"
#include "data/schema.h"
#include "duck/instance.h"
#include "duck/parquet.h"
#include "lake/object_store.h"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace ziwa::lake {

/// A data file of a Delta table (an `add` action).
struct DataFile {
  std::string path;  ///< Relative, not URL-encoded.
  std::map<std::string, std::optional<std::string>>
      partition_values;  ///< As in the protocol's text form.
  uint64_t size = 0;
  int64_t modified_ms = 0;
  std::string stats;  ///< The protocol's JSON, or empty.
  std::optional<uint64_t> rows;
  std::string
      deletion_vector;  ///< Its unique id, or empty. Tables whose files have one are refused.
};
using DataFilePtr = std::shared_ptr<const DataFile>;

/// One file as JSON text (the protocol's `add` action) and back, for those who keep uncommitted
/// files across a restart.
std::string data_file_to_json(const DataFile& file);
/// Errors: corrupt.
Result<DataFile> data_file_from_json(std::string_view text);

/// A Delta table at one version. Immutable, shared.
class TableSnapshot {
 public:
  virtual ~TableSnapshot() = default;
  virtual int64_t version() const = 0;
  virtual const data::Schema& schema() const = 0;
  virtual const std::vector<std::string>& partition_columns() const = 0;
  virtual const std::vector<DataFilePtr>& files() const = 0;
  virtual const std::map<std::string, std::string>& properties() const = 0;
  /// Latest `txn` version of `app_id`.
  virtual std::optional<int64_t> transaction_version(const std::string& app_id) const = 0;
  /// Reads the rows; prunes files by partition values and statistics from the request's bounds.
  virtual std::shared_ptr<data::Scan> scan() const = 0;
};
using TableSnapshotPtr = std::shared_ptr<const TableSnapshot>;

/// What a commit adds and removes.
struct Commit {
  std::string operation = "WRITE";  ///< commitInfo: WRITE, CREATE TABLE, CREATE TABLE AS SELECT,
                                    ///< STREAMING UPDATE, DELETE ...
  std::vector<DataFile> add;
  std::vector<DataFile> remove;
  bool data_change = true;
  /// Exactly-once: refused with already_exists when the table already has this app id at `version`
  /// or later.
  struct Transaction {
    std::string app_id;
    int64_t version = 0;
  };
  std::optional<Transaction> transaction;
  std::map<std::string, std::string>
      info;  ///< More fields of commitInfo, e.g. ziwa.epoch, ziwa.offsets.
  /// The version that what is written depends on. If rows went since then, or rows came and we
  /// remove some, the commit fails with conflict; else it is rebased. Absent: a blind append, which
  /// is always rebased; for removals the newest version that is known.
  std::optional<int64_t> read_version;
};

/// Writes rows into new data files of a table, one open file per partition (at most 32; the least
/// recent is finished). Rows are in the table's column order and types. Rows in memory are limited
/// to 64 MiB: then the largest file ends a row group. One thread. Files that are not committed are
/// garbage for VACUUM.
class TableWriter {
 public:
  virtual ~TableWriter() = default;
  /// Errors: invalid_argument (NULL in a NOT NULL column, a value the stored type cannot hold),
  /// exhausted, io. After an error the writer only fails.
  virtual Status write(duckdb::DataChunk& rows) = 0;
  virtual uint64_t rows() const = 0;
  virtual uint64_t bytes() const = 0;  ///< Estimated, of unfinished files too.
  /// Finishes and syncs all files and their directory entries.
  virtual Result<std::vector<DataFile>> finish() = 0;
};

/// What is still needed of a table besides its newest version and what snapshots hold.
struct Needs {
  /// The lowest version that somebody will ask for by at_version(), or read the changes after.
  std::optional<int64_t> version;
  /// Data files that are written and will be committed later, known to others until then. Nothing:
  /// it is not known which; then no data file is removed.
  std::optional<std::set<std::string>> files = std::set<std::string>();

  /// Both needs at once.
  void add(const Needs& other);
};

/// How to clean a table up, see Table::clean().
struct CleanUp {
  /// Asked when the files have been listed: what is finished after that may be left out. An error
  /// ends the clean-up before anything was removed.
  std::function<Result<Needs>()> needs;
  /// Nobody else stages files here under names like ours: those of earlier runs go at once.
  bool only_us = false;
};

/// How many objects a clean-up removed.
struct Cleaned {
  size_t log = 0;     ///< Commits, checkpoints and what belongs to them.
  size_t data = 0;    ///< Data files.
  size_t staged = 0;  ///< Files that were being written.
};

/// A Delta table. We write protocol reader 1 and writer 2, or 3 and 7 with the feature timestampNtz
/// when a column is a TIMESTAMP without zone. Features that cannot be read, or not be written, are
/// refused by name: docs/formats/delta.md. Any thread.
class Table {
 public:
  struct Create {
    data::Schema schema;
    std::vector<std::string> partition_columns;
    std::map<std::string, std::string> properties;
  };
  /// Writes version 0 if there is no table yet; already_exists if there is.
  static Result<std::shared_ptr<Table>> create(std::shared_ptr<ObjectStore> store,
                                               duck::Instance& instance, const Clock& clock,
                                               const Create& create);
  /// `expected`: the columns (and partition columns) that its users know it by, in their order.
  /// They are found by name, and nullable columns that another engine has added are left out. A
  /// table that has not got them any more opens all the same: to read or write it is unsupported,
  /// with the reason, until it has. Absent: whatever the table has at each version. Errors:
  /// not_found; unsupported naming the feature; corrupt.
  static Result<std::shared_ptr<Table>> open(std::shared_ptr<ObjectStore> store,
                                             duck::Instance& instance, const Clock& clock,
                                             const std::optional<Create>& expected = std::nullopt);
  virtual ~Table() = default;
  /// The newest version that is known; refresh() looks for commits of other writers.
  virtual TableSnapshotPtr snapshot() const = 0;
  virtual Result<TableSnapshotPtr> refresh() = 0;
  /// Errors: not_found (never was, or cleaned up; the hint names the oldest that is there).
  virtual Result<TableSnapshotPtr> at_version(int64_t version) = 0;
  virtual Result<std::unique_ptr<TableWriter>> writer(uint64_t file_bytes) = 0;
  /// The newest version with `files` in place of its own: what is written, but not committed yet.
  virtual Result<TableSnapshotPtr> preview(const std::vector<DataFile>& files) = 0;
  /// Commits as the next version; writes a checkpoint every 10 versions and `_last_checkpoint`.
  /// Durable when it returns. Errors: conflict (see Commit::read_version; or a file to remove is
  /// gone), already_exists (see Commit::Transaction), maybe_applied (read before retrying),
  /// unsupported (a writer feature), exhausted.
  virtual Result<TableSnapshotPtr> commit(const Commit& commit) = 0;
  /// The text fields of the commitInfo of a version, e.g. what Commit::info held. Errors: not_found
  /// (cleaned up).
  virtual Result<std::map<std::string, std::string>> info(int64_t version) = 0;
  /// Row changes from `from` (exclusive; -1: the empty table) to `to`: rows of added files with +1,
  /// of removed ones with -1; commits with dataChange=false give nothing, files that came and went
  /// neither. Errors: not_found (cleaned up).
  struct Change {
    std::shared_ptr<data::Scan> rows;
    int weight = 1;
  };
  virtual Result<std::vector<Change>> changes(int64_t from, int64_t to) = 0;
  /// Removes what nobody needs any more; does so at the first call and then once a day (and again
  /// after a checkpoint while Needs::version holds it back), else returns at once:
  /// - commits and checkpoints before the newest checkpoint that is at or before both
  /// Needs::version
  ///   and the version of `delta.logRetentionDuration` ago (30 days, back to midnight UTC), unless
  ///   `delta.enableExpiredLogCleanup` is false;
  /// - data files with names that we give, unchanged for `delta.deletedFileRetentionDuration` (7
  ///   days), that no kept version names: of writers that died before their commit, and of versions
  ///   that are gone;
  /// - staged files of other runs, see CleanUp::only_us.
  /// Nothing of the first two of a table that we may not write to. Reads the checkpoint that stays
  /// before anything before it goes. Beside readers and commits; blocks for long. Errors: of the
  /// store, of `needs`; the next try is then ten minutes later.
  /// Source: PROTOCOL.md, "Metadata Cleanup"; VACUUM.
  virtual Result<Cleaned> clean(const CleanUp& how) = 0;
};

}  // namespace ziwa::lake
