#pragma once

#include "base/clock.h"
#include "base/ids.h"
#include "base/metrics.h"
#include "base/result.h"
#include "catalog/catalog.h"
#include "data/scan.h"
#include "duck/instance.h"
#include "journal/journal.h"
#include "lake/table.h"
#include "log/log.h"
#include "state/store.h"
#include "stream/plan.h"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ziwa::stream {

/// The contents of one view at one epoch. Immutable; readers on any thread.
class ViewVersion {
 public:
  virtual ~ViewVersion() = default;
  /// Equality bounds on a prefix of the view's key become a point or prefix read.
  virtual std::shared_ptr<data::Scan> scan() const = 0;
  /// Epoch of the last non-empty net change: the view's ETag.
  virtual Epoch changed_at() const = 0;
  virtual uint64_t row_count() const = 0;
};

/// Everything that readers see, swapped in by one pointer: all views of a step become visible
/// together.
struct Published {
  Epoch epoch;
  catalog::SnapshotPtr catalog;
  std::map<ObjectId, std::shared_ptr<const ViewVersion>> views;
  std::map<ObjectId, lake::TableSnapshotPtr> tables;
  /// Late rows of each view: partition, offset, entry, window_start, window_end, watermark, row
  /// (JSON).
  std::map<ObjectId, std::shared_ptr<const ViewVersion>> late_rows;
  std::map<ObjectId, std::shared_ptr<const ViewVersion>> row_errors;  ///< Of views.
  /// Why a view or table is not in here that was expected to be.
  std::map<ObjectId, Error> unreadable;
};
using PublishedPtr = std::shared_ptr<const Published>;

/// A view as ziwa.views shows it.
struct ViewStatus {
  ObjectId id;
  std::string state;  ///< backfilling, running, failed
  std::string error;
  uint64_t rows = 0;
  uint64_t state_bytes = 0;
  Epoch epoch;
  Epoch checkpoint;
  std::optional<int64_t> watermark_us;
  uint64_t late_rows = 0;
  uint64_t row_errors = 0;  ///< Rows that an operator fails on and that are left out.
  Epoch changed_at;
};
/// What holds the watermark of a topic, and windows of a view with it, back: one per partition.
struct Wait {
  ObjectId view;
  ObjectId topic;
  int32_t partition = 0;
  std::optional<int64_t> watermark_us;  ///< Of the partition; none before its first time.
  std::optional<int64_t> merged_us;     ///< Of the topic.
  bool idle = false;
  bool holds_back = false;  ///< The merged one cannot pass this partition's.
  int64_t silent_ms = 0;    ///< Since its last record, or the start.
  /// The first window that waits for the merged watermark, if one does.
  std::optional<int64_t> closes_us;
  ObjectId operator_view;      ///< The view, or one that it reads.
  std::string operator_label;  ///< As EXPLAIN STREAM names it.
};
/// A sink as ziwa.sinks shows it.
struct SinkStatus {
  ObjectId id;
  std::string state;
  std::string error;
  uint64_t rows = 0;
  int64_t version = -1;  ///< Last Delta version committed.
  Epoch epoch;           ///< Everything up to here is in the table.
};

/// The epoch of the last checkpoint in `store` (see Engine::Dependencies::store); nullopt: there
/// is none. Errors: corrupt; unsupported (a newer format).
Result<std::optional<Epoch>> checkpointed_epoch(state::Store& store);

/// Follows the journal: steps make epochs visible, checkpoints make them durable. Any thread may
/// call; one thread steps.
class Engine {
 public:
  struct Options {
    int64_t checkpoint_interval_ms = 1'000;  ///< Longer when one takes over a tenth of it.
    size_t step_rows_max = 100'000;
    /// Of unpacked records: a step or a slice of a backfill ends with the entry that reaches it,
    /// and no more are in memory at once.
    size_t step_bytes = 64u << 20;
    int64_t idle_check_ms = 1'000;
    int64_t step_interval_ms = 20;   ///< Between steps while nobody waits for one.
    int64_t step_rest_max_ms = 100;  ///< A step is followed by a rest as long as it took, at most.
    int64_t checkpoint_interval_max_ms = 10'000;  ///< However long checkpoints take.
    int64_t create_wait_ms = 30'000;  ///< on_catalog_change waits so long for a backfill.
    /// Records further ahead of their entry's time do not move the watermark. 0: no limit.
    int64_t watermark_max_ahead_ms = 24LL * 3600 * 1000;
    size_t backfill_rows = 200'000;  ///< Of a private pipeline between steps of the main one.
    size_t spill_bytes = 64u << 20;  ///< Rows of a backfilling view kept in memory.
    /// Rows that no checkpoint has, while there is no room for one: with more, views stand still.
    size_t unsaved_bytes_max = 256u << 20;
    /// What a sink that does not get on may keep: of a topic, what would be past retention without
    /// it; of a view, its rows. With more it fails. 0: no limit.
    uint64_t sink_hold_bytes_max = 0;
  };
  struct Dependencies {
    FileSystem& fs;
    const Clock& clock;
    Metrics& metrics;
    duck::Instance& duck;
    state::Store& store;  ///< Tables "views", "state", "positions", "late", "errors",
                          ///< "dead_letters".
    journal::Journal& journal;
    log::Log& log;
    catalog::Catalog& catalog;
    /// Opens (and keeps) the Delta table of a catalog object.
    std::function<Result<std::shared_ptr<lake::Table>>(const catalog::Object&)> table;
    /// Notes durably, outside of `store`, that its newest checkpoint has been there: called when
    /// that is the first one with a new view. May be empty.
    std::function<void()> witness;
  };
  /// Loads plans and state of every view and sink in the catalog; serves the last checkpoint at
  /// once, then steps.
  static Result<std::unique_ptr<Engine>> open(Dependencies dependencies, Options options);
  virtual ~Engine() = default;

  /// Starts following: views are backfilled from the first record (topics) or version (tables) and
  /// join the pipeline.
  virtual Status start() = 0;
  virtual PublishedPtr published() const = 0;
  /// Waits until published()->epoch >= `epoch`. Errors: unavailable after `timeout_ms`.
  virtual Status wait(Epoch epoch, int64_t timeout_ms) = 0;
  /// Checks that the engine can run `plan` (every operator, type and source) over the objects of
  /// `catalog`, which need not be committed, without making anything.
  virtual Status validate(const Plan& plan, const catalog::Snapshot& catalog) const = 0;
  /// Checks that a sink could run over the objects of `catalog`: what it reads only grows, and its
  /// columns fit the table's.
  virtual Status validate_sink(const catalog::Object& sink,
                               const catalog::Snapshot& catalog) const = 0;
  /// For the catalog: views and sinks come and go with it. on_create returns when the view covers
  /// `entry`.
  virtual Status on_catalog_change(const std::vector<catalog::Change>& changes,
                                   EntryNumber entry) = 0;

  /// Before a change of the catalog is entered. Errors: exhausted while a checkpoint waits for
  /// room: the change would cost what is in memory only, and views would have to come so far once
  /// more.
  virtual Status room_to_change() const = 0;
  /// Before rows are entered that all who read must then see. Errors: exhausted while views stand
  /// still for want of room.
  virtual Status room_to_write() const = 0;

  /// As validate(), and what it says of the plan's operators.
  virtual Result<std::vector<OperatorReport>> explain(const Plan& plan,
                                                      const catalog::Snapshot& catalog) const = 0;
  /// Of a view at work; empty: there is none, or it has failed.
  virtual std::vector<OperatorReport> operators(ObjectId view) const = 0;
  /// Of views that run, by the topics with a watermark that they follow.
  virtual std::vector<Wait> waits() const = 0;
  virtual std::vector<ViewStatus> view_status() const = 0;
  virtual std::vector<SinkStatus> sink_status() const = 0;
  /// Late rows of a view: _partition, _offset, _entry, window_start, window_end, watermark and the
  /// source row as JSON.
  virtual std::shared_ptr<data::Scan> late_rows(ObjectId view) const = 0;
  /// topic, partition, offset, entry, reason, value (BLOB) of all topics.
  virtual std::shared_ptr<data::Scan> dead_letters() const = 0;
  /// Forces a checkpoint that covers everything published so far and waits for it.
  virtual Status checkpoint() = 0;
  /// Commits all pending sink output and waits, so that sinks hold everything up to `epoch`.
  virtual Status flush_sinks(Epoch epoch, int64_t timeout_ms) = 0;
  /// What cleaning up must leave of each lake table; one that is not in it must not be cleaned up
  /// now. Asked after the files were listed: a file that was there then is pending here, or
  /// committed. Waits for the step that runs.
  virtual Result<std::map<ObjectId, lake::Needs>> table_needs() const = 0;
  virtual Status stop() = 0;
};

}  // namespace ziwa::stream
