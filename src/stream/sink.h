#pragma once

#include "base/clock.h"
#include "catalog/catalog.h"
#include "lake/table.h"
#include "stream/stage.h"
#include "stream/topic_feed.h"
#include "stream/view.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ziwa::stream {

/// Files that are finished but perhaps not committed: part of a checkpoint until the table has
/// them.
struct PendingFiles {
  Epoch epoch;  ///< Everything up to here is in these files or committed before.
  std::vector<lake::DataFile> files;
  uint64_t rows = 0;
  std::string offsets;  ///< ziwa.offsets: JSON of topic -> partition -> offset.

  void save(ByteWriter& out) const;
  static Result<PendingFiles> load(ByteReader& in);
};

/// Writes rows of a topic or an append-only view into a lake table, each once. Rows go into files;
/// a finished file becomes part of a checkpoint, then of the table with `txn` (sink, epoch). One
/// thread, but commit().
class Sink final : public Stage {
 public:
  struct Dependencies {
    duck::Instance& instance;
    const Clock& clock;
    state::Store& store;
    StoreTables tables;
    const data::Schema& source;  ///< Columns of the topic or view.
    catalog::ObjectPtr into;     ///< The table.
    /// Opens the table. None: the sink is only to be checked.
    std::function<Result<std::shared_ptr<lake::Table>>()> table;
  };
  /// Errors: invalid_argument when the columns do not fit.
  static Result<std::unique_ptr<Sink>> create(catalog::ObjectPtr object,
                                              const Dependencies& dependencies);

  ObjectId id() const { return object_->id; }
  ObjectId from() const { return object_->sink().from; }
  ObjectId into() const { return object_->sink().into; }
  const catalog::Object& object() const { return *object_; }
  void set_object(catalog::ObjectPtr object) { object_ = std::move(object); }
  std::string app_id() const { return "ziwa." + std::to_string(id().value); }

  /// Opens the table, once. Errors: unavailable, as long as it cannot be opened.
  Status open_table();
  Status write(const TopicChunk& chunk);
  /// Changes of a view: they are kept until they are in finished files. An error is the sink's, not
  /// of the view: take_failure() has it, and the sink is behind(). Errors: unsupported when a row
  /// is taken back.
  Status consume(size_t input, Delta& delta) override;
  /// The first error of consume() since the last call.
  Status take_failure() { return std::exchange(failure_, Status()); }
  /// Forgets rows that are in no finished file: they will be given again, from `feed_position` on
  /// or by write_all().
  void restart();

  /// All rows of a view, when the sink begins.
  Status write_all(data::Scan& scan);

  /// Whether rows of a view are kept that no open file has.
  bool behind() const { return behind_; }
  /// Forgets the open files: their rows, and those that come, are only kept.
  void fall_behind();
  /// Writes kept rows, at most about `rows_max`, while no checkpoint is written. True when it is
  /// behind no more. After an error: fall_behind().
  Result<bool> catch_up(size_t rows_max);
  uint64_t kept_bytes() const { return kept_bytes_; }

  bool has_rows() const { return writer_ != nullptr; }
  /// Whether the open files should be finished now.
  bool due(int64_t now_ns) const;
  int64_t due_at_ns() const;
  /// Ends the open files: they hold all rows up to `epoch`. `offsets` as in PendingFiles.
  Status finish_files(Epoch epoch, std::string offsets);
  const std::optional<PendingFiles>& pending() const { return pending_; }
  bool has_table() const { return table_ != nullptr; }
  /// Puts the pending files into the table, which is open, unless it has them. Any thread. Blocks.
  /// Returns the table's version.
  Result<int64_t> commit(const PendingFiles& pending);
  /// The table has the pending files.
  void confirm(int64_t version);

  /// Where a topic's feed begins after a restart: TopicFeed::save() when files were last finished.
  std::string feed_position;
  /// Adds this sink to a checkpoint, which holds all up to `epoch`.
  Status save_to(state::WriteBatch& batch, Epoch epoch);
  /// Takes it back. Kept rows stay in the store: then it is behind().
  Status load_from(const state::Snapshot& snapshot, std::string_view meta);
  /// Whether a row of its source may be in the table, in pending files or among the kept rows.
  bool has_begun() const {
    return rows_written > 0 || pending_ || has_rows() || committed != Epoch() ||
           next_row_ > first_row_ || !unsaved_rows_.empty();
  }
  static void erase(ObjectId id, const StoreTables& tables, state::WriteBatch& batch);

  enum class State : unsigned char { backfilling, running, retrying, failed };
  State state = State::backfilling;
  std::string error;
  uint64_t rows_written = 0;  ///< Committed ones.
  int64_t version = -1;
  Epoch committed;  ///< Everything up to here is in the table.
  /// The checkpoint that it was last part of: at a later one others went on without it. Not in
  /// records of older programs.
  std::optional<Epoch> followed;
  bool of_view = false;
  /// An error that may pass stopped it in the main pipeline: it must begin again.
  std::optional<Error> stalled;
  std::optional<int64_t> retry_at_ns;  ///< Of a view's sink that is behind.
  int tries = 0;                       ///< Since it last finished files.

 private:
  explicit Sink(const Dependencies& dependencies)
      : store_(dependencies.store), tables_(dependencies.tables), clock_(dependencies.clock) {}
  Status plan_columns(const Dependencies& dependencies);
  Status take(Delta& delta);
  void take_repeated(const Delta& delta);
  void take_rows(duckdb::DataChunk& rows);
  Status write_rows(duckdb::DataChunk& rows);
  void keep_rows(duckdb::DataChunk& rows);
  class KeptRows;

  catalog::ObjectPtr object_;
  state::Store& store_;
  StoreTables tables_;
  const Clock& clock_;
  std::function<Result<std::shared_ptr<lake::Table>>()> open_;
  std::shared_ptr<lake::Table> table_;                 ///< Null until open_table().
  std::unique_ptr<duck::ExpressionProgram> declared_;  ///< Source columns -> declared columns.
  std::unique_ptr<duck::ExpressionProgram> derived_;   ///< Declared -> derived columns; or null.
  duckdb::DataChunk declared_rows_;
  duckdb::DataChunk derived_rows_;
  duckdb::DataChunk stored_rows_;

  std::unique_ptr<lake::TableWriter> writer_;
  int64_t writer_since_ns_ = 0;
  std::optional<PendingFiles> pending_;
  Status failure_;

  // Rows of a view that are in no finished file: a view cannot be read again from the past.
  std::unique_ptr<data::RowEncoder> row_encoder_;
  duckdb::vector<duckdb::LogicalType> source_types_;
  std::vector<std::string> unsaved_rows_;
  uint64_t next_row_ = 0;   ///< Number of the next kept row.
  uint64_t first_row_ = 0;  ///< Rows before are in finished files.
  bool drop_kept_rows_ = false;
  uint64_t kept_bytes_ = 0;
  bool behind_ = false;
  uint64_t next_written_ = 0;  ///< While it is behind: the first kept row that is in no open file.
};

}  // namespace ziwa::stream
