#pragma once

#include "app/data_directory.h"
#include "app/lake_tables.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/metrics.h"
#include "base/result.h"
#include "base/settings.h"
#include "base/standing_errors.h"
#include "catalog/catalog.h"
#include "duck/instance.h"
#include "journal/journal.h"
#include "log/log.h"
#include "sql/database.h"
#include "state/store.h"
#include "stream/engine.h"

#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ziwa::app {

/// Everything below the doors, assembled on one data directory: stores, catalog, journal and log,
/// lake, streams, SQL. The doors serve it, and tests run it in their own process on a file system
/// that loses power.
class Engines {
 public:
  struct Options {
    std::string data_directory;
    /// Folder that file functions may read; empty: none.
    std::string project_directory;
  };
  struct Environment {
    FileSystem& fs;
    const Clock& clock;
    Metrics& metrics;
    const Settings& settings;
  };
  /// Recovers what the directory holds and starts everything. Blocks. Errors: those of
  /// DataDirectory::open; corrupt.
  static Result<std::unique_ptr<Engines>> open(const Environment& environment,
                                               const Options& options);
  /// Lets go of everything as a crash would: nothing is flushed.
  ~Engines();
  /// Ends cleanly: checkpoints views, flushes sinks, marks the journal's end. Blocks. Nothing may
  /// use the engines any more.
  Status stop();
  /// Brings the server to what the project says, as `ziwa apply` does.
  Status apply_project(const std::string& directory, bool allow_drop = false);
  /// One round of housekeeping: retention, checkpoints of the log, other writers' commits to the
  /// lake, cleaning it up, trimming of the journal. Blocks on the disk. One thread.
  Status maintain();

  /// Errors: internal when SQL answers nobody any more and only a new process helps. Any thread.
  Status health() const;

  const std::string& data_directory() const { return directory_.path(); }
  state::Store& meta() { return *meta_; }
  duck::Instance& duck() { return *duck_; }
  catalog::Catalog& catalog() { return *catalog_; }
  journal::Journal& journal() { return *journal_; }
  log::Log& log() { return *log_; }
  stream::Engine& stream() { return *stream_; }
  sql::Database& database() { return *database_; }

 private:
  explicit Engines(const Environment& environment, DataDirectory directory);
  Status open_stores();
  Status check_witnesses();
  /// Tells a witness what it does not know yet.
  static Status renew_witness(state::Store& store, const char* of, uint64_t number);
  void renew_catalog_witness();
  void renew_state_witness();
  /// Notes facts in the table "witness" of `store`, durably.
  static Status testify(state::Store& store,
                        std::initializer_list<std::pair<const char*, uint64_t>> facts);
  Result<EntryNumber> enter_catalog(uint64_t version);
  Status open_log();
  Status open_duck(const Options& options);
  Status open_streams();
  Status open_database();
  void clean_tables();
  /// Enters commits of other writers into the journal, for readers and views.
  void follow_tables();
  catalog::Catalog::Watcher topic_watcher();
  catalog::Catalog::Watcher stream_watcher();

  Environment environment_;
  // In the order of construction; each uses those above it.
  DataDirectory directory_;
  std::unique_ptr<state::Store> meta_;
  std::unique_ptr<state::Store> state_;
  EntryNumber journal_end_;  ///< The journal reaches at least here.
  std::unique_ptr<duck::Instance> duck_;
  std::unique_ptr<journal::Journal> journal_;
  std::unique_ptr<log::Log> log_;
  std::unique_ptr<LakeTables> tables_;
  std::optional<int64_t> tables_followed_ns_;
  StandingErrors<ObjectId> follow_errors_;
  std::unique_ptr<stream::Engine> stream_;
  std::unique_ptr<catalog::Catalog> catalog_;
  std::unique_ptr<sql::Database> database_;
};

}  // namespace ziwa::app
