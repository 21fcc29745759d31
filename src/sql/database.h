#pragma once

#include "base/clock.h"
#include "base/metrics.h"
#include "base/result.h"
#include "base/settings.h"
#include "catalog/catalog.h"
#include "duck/expression.h"
#include "duck/instance.h"
#include "lake/table.h"
#include "log/log.h"
#include "stream/engine.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ziwa::sql {

/// One statement of a text that may hold several.
struct StatementText {
  std::string text;
  size_t position = 0;  ///< Byte offset in the whole text.
};

/// A statement ready to run any number of times.
class Prepared {
 public:
  virtual ~Prepared() = default;
  virtual const std::vector<duck::NamedType>& columns() const = 0;  ///< Empty: returns no rows.
  /// False when the columns follow from the types of the parameters' values: columns() is empty,
  /// ask Session::describe().
  virtual bool columns_known() const = 0;
  virtual const std::vector<duckdb::LogicalType>& parameter_types()
      const = 0;  ///< UNKNOWN where open.
};

/// The rows of one statement, pulled. One thread; must be gone before its session.
class Rows {
 public:
  virtual ~Rows() = default;
  virtual const std::vector<duck::NamedType>& columns() const = 0;
  /// The next rows, valid until the next call; null at the end. Blocks. Errors: cancelled, and what
  /// the query throws.
  virtual Result<duckdb::DataChunk*> next() = 0;
  /// "SELECT", "INSERT", "CREATE TABLE" ...: Postgres's command tag without the count.
  virtual const std::string& command() const = 0;
  /// Rows written, for INSERT and friends; known at the end.
  virtual std::optional<uint64_t> affected() const = 0;
  /// What the answer is exact for; 0 when nothing of ours was read.
  virtual Epoch epoch() const = 0;
};

/// What a session's BEGIN has come to.
enum class TransactionState : unsigned char { idle, open, failed };

/// One client's conversation: transaction, settings, prepared statements' home. One thread at a
/// time; cancel() from any.
class Session {
 public:
  virtual ~Session() = default;
  /// Cuts a text into statements at top-level semicolons (quotes, dollar quotes and comments
  /// respected); empty ones vanish.
  static std::vector<StatementText> split(std::string_view text);
  virtual Result<std::unique_ptr<Prepared>> prepare(std::string_view statement) = 0;
  virtual Result<std::unique_ptr<Rows>> execute(Prepared& prepared,
                                                const std::vector<duckdb::Value>& parameters) = 0;
  /// The columns that execute() would give for parameters of these types; runs nothing.
  virtual Result<std::vector<duck::NamedType>> describe(
      Prepared& prepared, const std::vector<duckdb::Value>& parameters) = 0;
  /// prepare() and execute() without parameters.
  virtual Result<std::unique_ptr<Rows>> query(std::string_view statement) = 0;
  virtual TransactionState transaction_state() const = 0;
  /// An open transaction can only be rolled back from now on, as after an error of a statement: for
  /// errors that a door finds itself. No effect without one.
  virtual void fail_transaction() = 0;
  /// Stops the running statement, which then fails with cancelled. Any thread.
  virtual void cancel() = 0;
};

/// What a consumer group has committed in one partition; a group without offsets has one of these
/// with no topic.
struct ConsumerGroupOffset {
  std::string group;
  std::string state;  ///< "Stable", "Empty" ...
  uint64_t members = 0;
  std::optional<PartitionId> partition;
  Offset committed;
};

/// The one SQL door behind every door: our catalog inside DuckDB, our statements, reads pinned to
/// one epoch. Any thread.
class Database {
 public:
  struct Dependencies {
    FileSystem& fs;
    const Clock& clock;
    Metrics& metrics;
    const Settings& settings;
    duck::Instance& duck;
    catalog::Catalog& catalog;
    journal::Journal& journal;
    log::Log& log;
    stream::Engine& engine;
    std::function<Result<std::shared_ptr<lake::Table>>(const catalog::Object&)> table;
    std::string lake_directory;  ///< Where new tables are made: <dir>/<object id>.
    /// What version() says; drivers look for "PostgreSQL" and a number in it.
    std::string version = "PostgreSQL 15.0 (Ziwa)";
  };
  static Result<std::unique_ptr<Database>> open(Dependencies dependencies);
  virtual ~Database() = default;
  /// `user` is what current_user says; nothing depends on it.
  virtual Result<std::unique_ptr<Session>> session(const std::string& user) = 0;
  Result<std::unique_ptr<Session>> session() { return session("ziwa"); }
  /// Who knows the rows of ziwa.consumer_groups: any thread calls it, and it may block. Empty: the
  /// table is empty.
  using ConsumerGroups = std::function<Result<std::vector<ConsumerGroupOffset>>()>;
  virtual void set_consumer_groups(ConsumerGroups source) = 0;
};

}  // namespace ziwa::sql
