#pragma once

#include "sql/database.h"
#include "sql/pin.h"
#include "sql/schema_names.h"

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace ziwa::sql {

/// Names that doors and tests agree on.
inline constexpr std::string_view kDatabaseName = "db";
inline constexpr std::string_view kDefaultSchema = "public";
inline constexpr std::string_view kSystemSchema = "ziwa";

/// One running or finished statement of a session, for ziwa.statements.
struct StatementRecord {
  uint64_t session = 0;
  std::string text;  ///< At most kStatementRecordBytesMax.
  TimestampMs started;
  int64_t duration_us = -1;  ///< -1: still running.
  std::string error;         ///< Empty: it worked, or is running.
};
inline constexpr size_t kStatementRecordBytesMax = 2'000;
inline constexpr size_t kStatementRecordsMax = 200;

/// What all sessions of a database share. Any thread.
class Core {
 public:
  explicit Core(Database::Dependencies dependencies)
      : deps(std::move(dependencies)),
        pins(deps.clock, {.age_max_ms = deps.settings.integer("sql.pin.age.max")}),
        must_see_(deps.journal.durable().value) {}

  /// Waits until readers see `epoch`, giving up when `cancelled` turns true.
  /// Errors: unavailable after the read timeout, cancelled.
  Status wait_for(Epoch epoch, const std::atomic<bool>& cancelled, int64_t timeout_ms);

  /// Every statement that begins later sees `entry`, in whatever session: SQL is linearizable. At
  /// the start this is the end of the journal, so that a restart shows what was acknowledged
  /// before.
  void wrote(EntryNumber entry);
  Epoch must_see() const { return Epoch(must_see_.load(std::memory_order_acquire)); }

  /// Where the files of a table are.
  std::string directory_of(const catalog::Object& table) const {
    return catalog::table_directory(table, deps.lake_directory);
  }

  int64_t read_timeout_ms() const { return deps.settings.integer("sql.read.timeout"); }

  uint64_t statement_started(uint64_t session, std::string_view text);
  void statement_ended(uint64_t statement, int64_t duration_us, const std::string& error);
  std::vector<StatementRecord> statements() const;
  void session_opened(uint64_t session);
  void session_closed(uint64_t session);
  std::vector<std::pair<uint64_t, TimestampMs>> sessions() const;
  void set_consumer_groups(Database::ConsumerGroups source);
  Result<std::vector<ConsumerGroupOffset>> consumer_groups() const;

  Database::Dependencies deps;
  Pins pins;
  SchemaNames schema_names;
  std::atomic<uint64_t> next_session{1};

 private:
  std::atomic<uint64_t> must_see_;
  mutable std::mutex mutex_;
  uint64_t next_statement_ = 1;
  std::map<uint64_t, StatementRecord> statements_;  ///< The last kStatementRecordsMax.
  std::map<uint64_t, TimestampMs> sessions_;
  Database::ConsumerGroups consumer_groups_;
};

}  // namespace ziwa::sql
