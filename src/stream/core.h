#pragma once

#include "stream/engine.h"
#include "stream/pipeline.h"
#include "stream/positions.h"

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace ziwa::stream {

/// A lake table at the version that the main pipeline has seen.
struct LakeTable {
  catalog::ObjectPtr object;
  std::shared_ptr<lake::Table> table;
  lake::TableSnapshotPtr snapshot;
};

/// What a private pipeline holds of the log.
struct BackfillHolds {
  uint64_t number = 0;  ///< Names the holder. Never given twice.
  std::set<PartitionId> partitions;
  std::set<ObjectId> readers;  ///< Views and sinks that have joined.
};

/// A private pipeline: new views and sinks on their way to the main one.
struct Backfill {
  BackfillHolds holds;
  Pipeline pipeline;
  std::map<ObjectId, int64_t> tables;  ///< Versions that were read.
  /// Begins again then, after errors that may pass. Its holds stay.
  std::optional<int64_t> retry_at_ns;
  int tries = 0;
};

/// What one checkpoint writes. Built by the engine's thread, written by any, ended by the engine's.
struct Checkpoint {
  struct Frozen {
    std::shared_ptr<View> view;  ///< Keeps the table alive; null for dead letters.
    RowTable* table = nullptr;
    RowTableVersion::Parts base;
    RowBatchPtr batch;
  };
  struct Commit {
    std::shared_ptr<Sink> sink;
    PendingFiles pending;
    std::optional<Result<int64_t>> outcome;
  };
  Epoch epoch;
  state::WriteBatch batch;
  std::vector<Frozen> frozen;
  std::vector<Commit> commits;
  std::vector<std::pair<PartitionId, Offset>> positions;  ///< Of the main feeds, for holds.
  std::map<ObjectId, int64_t> tables;                     ///< Versions that it refers to.
  bool whole = false;  ///< The rows of `frozen` are in `batch`: it only needs to be written.
  bool found_no_room = false;  ///< It can be written again as it is.
  Status outcome;
  int64_t begun_ns = 0;
  bool has_new_views = false;  ///< The first one with some view or sink.
};

/// The engine without its thread: everything here is called by one thread at a time, but
/// write_checkpoint(). Tests drive it step by step.
class Core {
 public:
  static constexpr int64_t kBrokenTableRetryNs = 10'000'000'000;
  ~Core();
  /// `patient`: errors that may pass are given back, so that all is tried again. Else who meets one
  /// is left out of this life, and what is stored of it stays as it is. Errors: what the store
  /// gives; unsupported for a newer format.
  static Result<std::unique_ptr<Core>> open(Engine::Dependencies dependencies,
                                            Engine::Options options, bool patient = true);

  Epoch epoch() const { return epoch_; }
  PublishedPtr published() const { return published_; }
  /// Called with each new state that readers may see.
  void set_on_publish(std::function<void(PublishedPtr)> on_publish) {
    on_publish_ = std::move(on_publish);
  }

  /// Processes the next entries of the journal, at most about `rows_max` rows. False: there are
  /// none.
  Result<bool> step(size_t rows_max);
  /// Whether an error that may pass ends a step, so that it is done again by a new core (the
  /// default); else it fails the views that meet it.
  void set_patient(bool patient) { main_.patient = patient; }
  /// Whether the last step took as much as one may: there is probably more.
  bool last_step_full() const { return last_step_full_; }
  /// Moves private pipelines on, and sinks that are behind. False: there are none, or they cannot
  /// go on.
  Result<bool> advance_backfills();
  /// When a backfill begins again, a sink writes again, or a table is opened again.
  std::optional<int64_t> next_retry_ns() const;
  bool backfilling() const { return !backfills_.empty(); }
  /// Views and sinks come and go. Ids of the new ones.
  Result<std::vector<ObjectId>> change(const std::vector<catalog::Change>& changes);
  /// Shows readers what there is now, and the catalog as it is.
  void publish();
  /// Whether a view with this plan could run. Errors: what an operator refuses.
  Status validate(const Plan& plan, const catalog::Snapshot& catalog) const;
  Result<std::vector<OperatorReport>> explain(const Plan& plan,
                                              const catalog::Snapshot& catalog) const;
  std::vector<OperatorReport> operators(ObjectId view) const;
  std::vector<Wait> waits() const;
  /// Whether a sink could run. Errors: columns that do not fit, a view that changes its rows.
  Status validate_sink(const catalog::Object& sink, const catalog::Snapshot& catalog) const;
  bool still_backfilling(const std::vector<ObjectId>& ids) const;

  /// Ends open files of sinks that are due (or of all). True: a checkpoint should follow at once.
  Result<bool> finish_sinks(bool all);
  std::optional<int64_t> next_sink_due_ns() const;
  bool has_pending_files() const;
  /// Everything that entered up to `wanted` is in the tables (or its sink has failed), and readers
  /// get those versions.
  bool sinks_hold(Epoch wanted) const;

  /// Of rows that are in memory because no checkpoint has them.
  size_t unsaved_bytes() const;
  /// Whether there is something that a checkpoint would save.
  bool dirty() const { return epoch_ != checkpoint_epoch_ || dirty_; }
  Result<std::unique_ptr<Checkpoint>> begin_checkpoint();
  /// Writes it durably, then puts pending files into their tables. Blocks. Any thread. One that
  /// found no room can be written again.
  void write_checkpoint(Checkpoint& checkpoint);
  /// Errors: the checkpoint was not written; this engine cannot go on.
  Status end_checkpoint(Checkpoint& checkpoint);

  /// Marks partitions idle that were silent for their time-out.
  void mark_idle();
  /// Whether some partition may still become idle.
  bool watches_idleness() const;

  /// What a clean-up must leave of each open table: what a start, a backfill and pending commits
  /// of sinks refer to. Tables that are not in it must not be cleaned up.
  std::map<ObjectId, lake::Needs> table_needs() const;
  std::vector<ViewStatus> view_status() const;
  std::vector<SinkStatus> sink_status() const;
  std::shared_ptr<data::Scan> dead_letters();
  size_t state_bytes() const;

  /// Tells the journal of table versions that it may have missed (a crash between a commit and its
  /// entry). Call once, when everything is open.
  Status announce_tables();
  /// Tries again to open tables that could not be opened, and then what reads them.
  void retry_broken();

 private:
  Core(Engine::Dependencies dependencies, Engine::Options options);
  static int64_t retry_wait_ns(int tries);

  // load.cpp
  struct Loaded;
  Status load();
  void release_holds();
  Status load_main(std::string_view meta);
  Status load_feed(ObjectId topic, std::string_view meta);
  Status load_objects();
  Status load_idle_history();
  void note_broken(const catalog::ObjectPtr& object, const Error& error);
  Status open_table(const catalog::ObjectPtr& object, std::optional<int64_t> version);
  Result<std::optional<std::string>> stored_meta(std::string_view prefix, ObjectId id);
  Status leave_out(std::map<ObjectId, std::string>& broken, const catalog::Object& object,
                   Error error);
  Status load_view(const catalog::ObjectPtr& object, Loaded& loaded);
  Result<bool> restore_view(View& view, const View::Stored& stored, bool at_start);
  Result<bool> has_all_records(const View& view) const;
  Status load_sink(const catalog::ObjectPtr& object, Loaded& loaded);
  Status restore_sink(Sink& sink, std::string_view meta, bool at_start);
  void start_loaded(Loaded loaded);
  Status forget_unknown();
  Status forget_unknown_rows(const catalog::Snapshot& catalog);

  // core.cpp
  TopicFeed::Options feed_options() const {
    return {.max_ahead_ms = options_.watermark_max_ahead_ms, .read_bytes = options_.step_bytes};
  }
  View::Dependencies view_dependencies();
  StageContext still_context() const;
  static std::set<ObjectId> topics_behind(const catalog::Object& view,
                                          const catalog::Snapshot& catalog);
  void find_open_window(const View& view, Wait& wait) const;
  Result<std::unique_ptr<Dataflow>> compile(const Plan& plan,
                                            const catalog::Snapshot& catalog) const;
  Result<SourceObject> source_object(ObjectId id, const catalog::Snapshot& catalog) const;
  Result<bool> only_grows(const catalog::Object& view, const catalog::Snapshot& catalog) const;
  Status check_source(ObjectId id, const catalog::Snapshot& catalog) const;
  std::shared_ptr<View> make_view(const catalog::ObjectPtr& object);
  using OpenTable = std::function<Result<std::shared_ptr<lake::Table>>()>;
  Result<std::shared_ptr<Sink>> make_sink(const catalog::ObjectPtr& object,
                                          const catalog::Snapshot& catalog) const;
  Result<std::shared_ptr<Sink>> plan_sink(const catalog::ObjectPtr& object,
                                          const catalog::Snapshot& catalog, OpenTable table) const;
  std::map<ObjectId, Error> unreadable(const catalog::Snapshot& catalog) const;

  // checkpoint.cpp
  Result<Offset> needed_from(ObjectId topic, int32_t partition, Offset position) const;
  static Status add_rows(Checkpoint& checkpoint);
  Status save_views(Checkpoint& checkpoint);
  Status save_feeds(Checkpoint& checkpoint);
  Status save_sinks(Checkpoint& checkpoint);
  void save_main(state::WriteBatch& batch);
  void hold_records(PartitionId id, std::optional<Offset> from);
  /// What is stored of dropped objects goes with the next checkpoint.
  void remove_later(std::function<void(state::WriteBatch&)> removal);
  Status remove_now();

  // step.cpp
  struct StepInput;
  Status collect(const std::vector<journal::Entry>& entries, size_t rows_max, StepInput& input);
  void collect_ends(const journal::Entry& entry, const std::vector<journal::PartitionEnd>& ends,
                    bool decision, StepInput& input);
  void take_idle_mark(EntryNumber entry, const journal::IdleMark& mark, StepInput& input);
  bool is_gone(ObjectId topic, const Error& error) const;
  bool reads_gone(const Backfill& backfill, const Error& error) const;
  Status settle_transactions(StepInput& input);
  Status read_topics(StepInput& input);
  Status read_tables(const StepInput& input);

  // sink_care.cpp
  void postpone(Sink& sink, const Error& error);
  void settle(Sink& sink);
  bool advance_sinks();
  bool catch_up(Sink& sink);
  void limit_sinks();
  Status check_limit(const Sink& sink) const;
  std::string offsets_json(ObjectId topic) const;
  void restart_stalled_sinks();

  // dead_letters.cpp
  Status make_dead_letters();
  void add_dead_letter(DeadLetter letter);
  Status flush_dead_letters();
  Status forget_topic(ObjectId topic);
  Status forget_dead_letters(PartitionId id, Offset start);
  Status take_dead_letters(std::vector<data::ScanRequest::Bound> bounds);

  // retention.cpp: what goes with the records.
  Status forget_before(PartitionId id, Offset start, EntryNumber at);
  void forget_idle_marks(ObjectId topic, std::vector<IdleEvent>& history, int32_t partition,
                         EntryNumber first);

  // backfill.cpp
  void start_backfill(std::vector<std::shared_ptr<View>> views,
                      std::vector<std::shared_ptr<Sink>> sinks);
  Status open_feeds(Backfill& backfill);
  static Status open_tables(const Backfill& backfill);
  Status check_kept(const TopicFeed& feed, const std::string& name) const;
  bool ready(Backfill& backfill);
  void begin_again(Backfill& backfill);
  void postpone(Backfill& backfill, const Error& error);
  void give_up(Backfill& backfill, const Error& error);
  Result<bool> advance(Backfill& backfill);
  struct Planned;
  Result<Planned> plan_cuts(const TopicFeed& feed, size_t rows_max) const;
  Result<Planned> plan_window(const TopicFeed& feed, size_t rows_max) const;
  void time_cuts(const TopicFeed& feed, Planned& planned) const;
  Result<size_t> read_slice(Backfill& backfill, TopicFeed& feed, size_t rows_max);
  Status read_backfill_tables(Backfill& backfill);
  bool waits_for_others(const Backfill& backfill) const;
  Status join(Backfill& backfill);
  Status spill(Backfill& backfill);
  Status hold_for_sink(const TopicFeed& feed);
  void let_go(const BackfillHolds& holds);
  void sort_views();

  // change.cpp
  struct Made;
  void change_one(const catalog::Change& change, Made& made);
  void change_view(const catalog::Change& change, Made& made);
  void change_sink(const catalog::Change& change, Made& made);
  void drop(const catalog::Object& object);
  void drop_unused_feeds();

  Engine::Dependencies deps_;
  Engine::Options options_;
  StoreTables tables_;
  Epoch epoch_;
  Epoch checkpoint_epoch_;
  bool dirty_ = false;  ///< Something changed that no entry says.
  Pipeline main_;
  std::vector<std::unique_ptr<Backfill>> backfills_;
  /// Of backfills that have joined, until a checkpoint has their views: without it they would have
  /// to be made anew.
  std::vector<BackfillHolds> joined_;
  size_t joined_saved_ = 0;  ///< So many are in the checkpoint that is being written.
  std::map<ObjectId, std::shared_ptr<View>> views_;  ///< All.
  std::map<ObjectId, std::shared_ptr<Sink>> sinks_;  ///< All.
  std::map<ObjectId, LakeTable> lake_tables_;
  /// Versions that the last durable checkpoint refers to: a start reads the changes after them.
  std::map<ObjectId, int64_t> saved_tables_;
  /// Views and sinks that could not even be made, and why.
  std::map<ObjectId, std::string> broken_views_;
  std::map<ObjectId, std::string> broken_sinks_;
  struct BrokenTable {
    catalog::ObjectPtr object;
    std::string error;
  };
  std::map<ObjectId, BrokenTable> broken_tables_;
  int64_t tables_tried_ns_ = 0;
  /// Opened at another version than the one that the checkpoint's views have read.
  std::set<ObjectId> jumped_tables_;
  bool patient_ = true;             ///< While it loads: errors that may pass end the loading.
  uint64_t format_ = kStateFormat;  ///< Of the checkpoint that was read.
  int64_t sinks_measured_ns_ = 0;
  std::vector<std::function<void(state::WriteBatch&)>> removals_;
  std::shared_ptr<const state::Snapshot> snapshot_;
  PublishedPtr published_;
  std::function<void(PublishedPtr)> on_publish_;
  bool checkpoint_running_ = false;
  bool last_step_full_ = false;

  std::unique_ptr<RowTable> dead_letters_;
  duckdb::DataChunk dead_rows_;
  std::map<PartitionId, Offset> held_;        ///< By the main pipeline.
  std::map<PartitionId, Offset> dead_until_;  ///< Dead letters below are in the table already.
  std::set<PartitionId> unstable_;            ///< Has records of open transactions.
  std::map<ObjectId, std::vector<IdleEvent>> idle_history_;
  std::vector<std::pair<ObjectId, IdleEvent>> unsaved_idle_;
  std::map<PartitionId, int64_t> last_active_ns_;
  std::set<PartitionId> idle_submitted_;

  Counter& rows_counter_;
  Counter& steps_counter_;
  Counter& dead_counter_;
  Histogram& step_seconds_;
  Histogram& checkpoint_seconds_;
};

}  // namespace ziwa::stream
