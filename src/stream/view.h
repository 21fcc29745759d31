#pragma once

#include "catalog/catalog.h"
#include "stream/dataflow.h"
#include "stream/late_rows.h"
#include "stream/row_errors.h"
#include "stream/row_table.h"

#include <array>
#include <memory>
#include <set>
#include <string>

namespace ziwa::stream {

/// Tables of the store that the engine uses.
struct StoreTables {
  explicit StoreTables(state::Store& store);
  state::TableId views;
  state::TableId state;
  state::TableId positions;
  state::TableId late;
  state::TableId errors;
  state::TableId dead_letters;
};

/// 8 bytes, big-endian: the prefix of everything that belongs to an object.
std::string id_prefix(ObjectId id);

/// A view at work: its operators, its contents, its late rows and row errors. One thread.
class View {
 public:
  enum class State : unsigned char { backfilling, running, failed };
  struct Dependencies {
    duck::Instance& instance;
    state::Store& store;
    StoreTables tables;
    Dataflow::Resolve resolve;
    std::function<const data::Schema*(ObjectId)> topic_schema;
    std::function<int64_t(ObjectId)> watermark;
  };
  /// Errors: what the plan's operators refuse.
  static Result<std::unique_ptr<View>> create(catalog::ObjectPtr object,
                                              const Dependencies& dependencies);
  View(const View&) = delete;
  View& operator=(const View&) = delete;

  ObjectId id() const { return object_->id; }
  const catalog::Object& object() const { return *object_; }
  void set_object(catalog::ObjectPtr object) { object_ = std::move(object); }
  /// None after release().
  const std::vector<Source*>& sources() const;
  bool append_only() const { return append_only_; }
  bool reads(ObjectId object) const;
  RowTable& contents() { return *contents_; }
  RowTable& late() { return *late_table_; }
  RowTable& errors() { return *error_table_; }
  /// All that it keeps.
  std::array<RowTable*, 3> tables() {
    return {contents_.get(), late_table_.get(), error_table_.get()};
  }
  /// Where watermarks come from; changes when a private pipeline joins the main one.
  void set_watermark(std::function<int64_t(ObjectId)> watermark) {
    context_->watermark = std::move(watermark);
  }

  /// Ends a step that goes up to `now`; a change of the contents counts from `changed`, the last
  /// entry that spoke of what the view reads. True when contents or late rows changed.
  Result<bool> finish(Epoch now, Epoch changed);
  /// Operators' changed state into a checkpoint.
  Status save_state(state::WriteBatch& batch);
  /// What a checkpoint says of a view besides its rows and its state.
  struct Stored {
    uint64_t rows = 0;
    Epoch changed_at;
    uint64_t late_rows = 0;
    Epoch late_changed_at;
    uint64_t row_errors = 0;
    std::optional<Epoch> errors_changed_at;  ///< Format 1 only counts the errors.
    std::optional<Epoch> epoch;  ///< That the rows belong to; a record of format 1 does not say.
    uint32_t plan = 0;           ///< plan_sum() of the plan that made them.
    std::string error;           ///< Not empty: it has failed.
  };
  static Result<Stored> read_meta(std::string_view meta);
  std::string meta() const;
  /// Tells plans apart.
  uint32_t plan_sum() const;
  /// All that a checkpoint holds of this view.
  Status load(std::shared_ptr<const state::Snapshot> snapshot, const Stored& stored);
  /// The view has failed: its operators and its rows in memory go. Nobody may push to its sources
  /// any more.
  void release();
  /// Removes everything of a view from the store.
  static void erase(ObjectId id, const StoreTables& tables, state::WriteBatch& batch);
  size_t state_bytes() const;
  /// None after release().
  std::vector<OperatorReport> operators() const;
  std::string label_of(uint32_t node) const;

  State state = State::backfilling;
  std::string error;
  Epoch epoch;

 private:
  View() = default;
  catalog::ObjectPtr object_;
  state::Store* store_ = nullptr;
  StoreTables* tables_ = nullptr;
  std::unique_ptr<StoreTables> owned_tables_;
  std::unique_ptr<StageContext> context_;
  std::unique_ptr<Dataflow> flow_;  ///< Null after release().
  std::map<uint32_t, std::string> labels_;
  bool append_only_ = false;
  std::unique_ptr<RowTable> contents_;
  std::unique_ptr<RowTable> late_table_;
  std::unique_ptr<LateRows> late_;
  std::unique_ptr<RowTable> error_table_;
  std::unique_ptr<RowErrors> errors_;
  bool stop_on_error_ = false;
  uint64_t errors_to_log_ = 1;  ///< Rows at which the log hears of them again.
};

}  // namespace ziwa::stream
