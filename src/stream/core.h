#pragma once

#include "stream/engine.h"
#include "stream/pipeline.h"

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

/// A private pipeline: new views and sinks on their way to the main one.
struct Backfill {
  uint64_t number = 0;  ///< Names its holds on the log.
  Pipeline pipeline;
  std::map<ObjectId, std::vector<TopicCut>> cuts;  ///< Still to read, in the order of entries.
  std::map<ObjectId, Epoch> cuts_until;            ///< What `cuts` covers.
  std::map<ObjectId, int64_t> tables;              ///< Versions that were read.
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
  Status outcome;
  int64_t begun_ns = 0;
};

/// The engine without its thread: everything here is called by one thread at a time, but
/// write_checkpoint(). Tests drive it step by step.
class Core {
 public:
  static Result<std::unique_ptr<Core>> open(Engine::Dependencies dependencies,
                                            Engine::Options options);

  Epoch epoch() const { return epoch_; }
  PublishedPtr published() const { return published_; }
  /// Called with each new state that readers may see.
  void set_on_publish(std::function<void(PublishedPtr)> on_publish) {
    on_publish_ = std::move(on_publish);
  }

  /// Processes the next entries of the journal, at most about `rows_max` rows. False: there are
  /// none.
  Result<bool> step(size_t rows_max);
  /// Records that the last step read.
  size_t last_step_rows() const { return last_step_rows_; }
  /// Moves private pipelines on. False: there are none, or they cannot go on.
  Result<bool> advance_backfills();
  bool backfilling() const { return !backfills_.empty(); }
  /// Views and sinks come and go. Ids of the new ones.
  Result<std::vector<ObjectId>> change(const std::vector<catalog::Change>& changes);
  /// Whether a view with this plan could run. Errors: what an operator refuses.
  Status validate(const Plan& plan, const catalog::Snapshot& catalog) const;
  /// Whether a sink could run. Errors: columns that do not fit, a view that changes its rows.
  Status validate_sink(const catalog::Object& sink, const catalog::Snapshot& catalog) const;
  bool still_backfilling(const std::vector<ObjectId>& ids) const;

  /// Ends open files of sinks that are due (or of all). True: a checkpoint should follow at once.
  Result<bool> finish_sinks(bool all);
  std::optional<int64_t> next_sink_due_ns() const;
  bool has_pending_files() const;
  /// Everything that entered up to `epoch` is in the tables (or its sink has failed), and readers
  /// get those versions.
  bool sinks_hold(Epoch epoch) const;

  /// Whether there is something that a checkpoint would save.
  bool dirty() const { return epoch_ != checkpoint_epoch_ || dirty_; }
  Result<std::unique_ptr<Checkpoint>> begin_checkpoint();
  /// Writes it durably, then puts pending files into their tables. Blocks. Any thread.
  void write_checkpoint(Checkpoint& checkpoint);
  /// Errors: the store failed; this engine cannot go on.
  Status end_checkpoint(Checkpoint& checkpoint);

  /// Marks partitions idle that were silent for their time-out.
  void mark_idle();
  /// Whether some partition may still become idle.
  bool watches_idleness() const;

  std::vector<ViewStatus> view_status() const;
  std::vector<SinkStatus> sink_status() const;
  std::shared_ptr<data::Scan> dead_letters();
  size_t state_bytes() const;

  /// Tells the journal of table versions that it may have missed (a crash between a commit and its
  /// entry). Call once, when everything is open.
  Status announce_tables();

 private:
  Core(Engine::Dependencies dependencies, Engine::Options options);

  // core.cpp
  Status load();
  Status load_main(std::string_view meta);
  Status load_feed(ObjectId topic, std::string_view meta);
  Status load_objects(bool restored);
  Status forget_dropped_topics();
  static std::string idle_key(ObjectId topic, const IdleEvent& event);
  Status load_idle_history();
  Status open_table(const catalog::ObjectPtr& object, std::optional<int64_t> version);
  View::Dependencies view_dependencies();
  Result<std::unique_ptr<Dataflow>> compile(const Plan& plan,
                                            const catalog::Snapshot& catalog) const;
  Result<SourceObject> source_object(ObjectId id, const catalog::Snapshot& catalog) const;
  Result<bool> only_grows(const catalog::Object& view, const catalog::Snapshot& catalog) const;
  Result<Offset> needed_from(ObjectId topic, int32_t partition, Offset position) const;
  std::shared_ptr<View> make_view(const catalog::ObjectPtr& object);
  Result<std::shared_ptr<Sink>> make_sink(const catalog::ObjectPtr& object,
                                          const catalog::Snapshot& catalog) const;
  Result<std::shared_ptr<Sink>> plan_sink(const catalog::ObjectPtr& object,
                                          const catalog::Snapshot& catalog,
                                          std::shared_ptr<lake::Table> table) const;
  void publish();

  // step.cpp
  struct StepInput;
  Status collect(const std::vector<journal::Entry>& entries, size_t rows_max, StepInput& input);
  void collect_ends(const journal::Entry& entry, const std::vector<journal::PartitionEnd>& ends,
                    bool decision, StepInput& input);
  Status settle_transactions(StepInput& input);
  Status read_topics(StepInput& input);
  Status read_tables(const StepInput& input);
  void add_dead_letter(DeadLetter letter);
  Status flush_dead_letters();

  // retention.cpp: what goes with the records.
  Status forget_before(PartitionId id, Offset start, EntryNumber at);
  Status forget_idle_marks(ObjectId topic, std::vector<IdleEvent>& history, int32_t partition,
                           EntryNumber first);
  Status forget_topic(ObjectId topic);
  Status take_dead_letters(std::vector<data::ScanRequest::Bound> bounds);

  // backfill.cpp
  Status start_backfill(std::vector<std::shared_ptr<View>> views,
                        std::vector<std::shared_ptr<Sink>> sinks);
  Result<bool> advance(Backfill& backfill);
  Status plan_cuts(Backfill& backfill, TopicFeed& feed);
  Result<size_t> read_slice(Backfill& backfill, TopicFeed& feed, size_t rows_max);
  Status read_backfill_tables(Backfill& backfill);
  bool waits_for_others(const Backfill& backfill) const;
  Status join(Backfill& backfill);
  Status spill(Backfill& backfill);
  void let_go(const Backfill& backfill);
  void sort_views();

  Status drop(const catalog::Object& object);
  std::string offsets_json(ObjectId topic) const;

  Engine::Dependencies deps_;
  Engine::Options options_;
  StoreTables tables_;
  Epoch epoch_;
  Epoch checkpoint_epoch_;
  bool dirty_ = false;  ///< Something changed that no entry says.
  Pipeline main_;
  std::vector<std::unique_ptr<Backfill>> backfills_;
  uint64_t next_backfill_ = 1;
  std::map<ObjectId, std::shared_ptr<View>> views_;  ///< All.
  std::map<ObjectId, std::shared_ptr<Sink>> sinks_;  ///< All.
  std::map<ObjectId, LakeTable> lake_tables_;
  /// Views and sinks that could not even be made, and why.
  std::map<ObjectId, std::string> broken_views_;
  std::map<ObjectId, std::string> broken_sinks_;
  std::shared_ptr<const state::Snapshot> snapshot_;
  PublishedPtr published_;
  std::function<void(PublishedPtr)> on_publish_;
  bool checkpoint_running_ = false;
  size_t last_step_rows_ = 0;

  std::unique_ptr<RowTable> dead_letters_;
  duckdb::DataChunk dead_rows_;
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
