#pragma once

#include "base/result.h"
#include "duck/expression.h"
#include "state/store.h"
#include "stream/delta.h"
#include "stream/plan.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace ziwa::stream {

/// A row on which an operator fails. The view goes on without it.
struct RowError {
  uint32_t node = 0;  ///< Of the plan.
  std::string_view message;
  std::string_view row;                ///< JSON: of the operator's input, or its group's key.
  const TopicChunk* origin = nullptr;  ///< The record, if the row is one.
  size_t origin_row = 0;
  Weight weight = 1;  ///< Negative: taken back.
};
class ErrorSink {
 public:
  virtual ~ErrorSink() = default;
  virtual void add(const RowError& error) = 0;
};

/// When a window begins and ends, in micros.
struct WindowSpan {
  int64_t start_us = 0;
  int64_t end_us = 0;
};
/// Takes rows that came after their window had closed, or later than the watermark where there is
/// none.
class LateSink {
 public:
  virtual ~LateSink() = default;
  virtual void add(uint32_t node, const TopicChunk& chunk, size_t row,
                   std::optional<WindowSpan> window) = 0;
};

/// What the operators of one view share. Outlives them.
struct StageContext {
  duck::Instance& instance;
  ErrorSink* errors = nullptr;
  LateSink* late = nullptr;
  /// The merged watermark of a topic now, or kNoWatermark.
  std::function<int64_t(ObjectId)> watermark;
};

/// Puts the changed state of one operator into a checkpoint. Keys begin with the operator's prefix.
class StateWriter {
 public:
  StateWriter(state::WriteBatch& batch, state::TableId table, std::string prefix)
      : batch_(batch), table_(table), prefix_bytes_(prefix.size()), key_(std::move(prefix)) {}
  void put(char tag, std::string_view key, std::string_view value) {
    batch_.put(table_, full(tag, key), value);
  }
  void remove(char tag, std::string_view key) { batch_.remove(table_, full(tag, key)); }

 private:
  std::string_view full(char tag, std::string_view key) {
    key_.resize(prefix_bytes_);
    key_.push_back(tag);
    key_.append(key);
    return key_;
  }
  state::WriteBatch& batch_;
  state::TableId table_;
  size_t prefix_bytes_;
  std::string key_;
};

/// One incremental operator: turns changes of its inputs into changes of its output, by DBSP's
/// rules. A step is any number of consume() calls and one finish(), inputs before their readers.
/// One thread.
class Stage {
 public:
  virtual ~Stage() = default;
  virtual Status consume(size_t input, Delta& delta) = 0;
  /// All changes of the step are in: give what is still owed.
  virtual Status finish() { return {}; }

  /// Writes state that changed since the last save, and lets go of what closed windows held.
  virtual Status save(StateWriter&) { return {}; }
  /// Takes back one entry that save() wrote. Errors: corrupt.
  virtual Status load(char, std::string_view, std::string_view) {
    return Error(Code::corrupt, "an operator without state has state on disk");
  }
  virtual size_t state_bytes() const { return 0; }
  /// The first window that it has not closed, if windows close in it.
  virtual std::optional<OpenWindow> open_window() const { return std::nullopt; }
  /// Whether changes may come as Delta::upserts, which spares the rows that are taken back.
  virtual bool takes_upserts() const { return false; }

  void add_target(Stage* target, size_t input) { targets_.push_back({target, input}); }
  void remove_target(const Stage* target) {
    std::erase_if(targets_, [&](const Target& t) { return t.to == target; });
  }

 protected:
  bool has_targets() const { return !targets_.empty(); }
  bool targets_take_upserts() const {
    for (const auto& target : targets_) {
      if (!target.to->takes_upserts()) return false;
    }
    return true;
  }
  Status emit(Delta& delta) {
    if (delta.size() == 0) return {};
    for (const auto& target : targets_) TRY(target.to->consume(target.input, delta));
    return {};
  }
  /// Gives rows that were collected, with a weight each, and empties both.
  Status emit_all(duckdb::DataChunk& rows, std::vector<Weight>& weights, bool upserts = false);

 private:
  struct Target {
    Stage* to;
    size_t input;
  };
  std::vector<Target> targets_;
};

/// Column types of a node's output. Errors: invalid_argument for a type that DuckDB does not know.
Result<duckdb::vector<duckdb::LogicalType>> parse_types(const std::vector<PlanColumn>& columns);

/// Computes expressions over an operator's input; plain columns are passed on without a copy.
class Evaluator {
 public:
  /// For the operator of `node`. Errors: what DuckDB says of the expression.
  static Result<std::unique_ptr<Evaluator>> compile(StageContext& context, uint32_t node,
                                                    const std::vector<PlanColumn>& inputs,
                                                    const std::vector<Expression>& expressions);
  const duckdb::vector<duckdb::LogicalType>& types() const { return types_; }
  /// Computes all expressions for the rows of `delta` into output(). Rows that fail are reported
  /// and taken out: the returned Delta holds the others, row by row beside output().
  Result<Delta> run(const Delta& delta);
  /// Reports a row of the input.
  void fail(const Delta& delta, size_t row, std::string_view message);
  duckdb::DataChunk& output() { return output_; }
  /// Nothing is computed: no row can fail.
  bool plain() const { return program_ == nullptr; }
  /// For input column ids that are passed on: the position of the first such expression.
  std::optional<size_t> passed(uint32_t column_id) const;

 private:
  Evaluator(StageContext& context, uint32_t node) : context_(context), node_(node) {}
  Status reference_output(duckdb::DataChunk& in, duckdb::DataChunk* computed);

  StageContext& context_;
  uint32_t node_;
  std::vector<std::string> names_;                    ///< Of the input columns.
  std::vector<std::optional<size_t>> plain_;          ///< Per expression: its input column.
  std::vector<std::optional<uint32_t>> passed_;       ///< Per expression: the id of that column.
  std::unique_ptr<duck::ExpressionProgram> program_;  ///< The others, in order; null: none.
  duckdb::vector<duckdb::LogicalType> types_;
  duckdb::DataChunk computed_;
  duckdb::DataChunk good_;  ///< `computed_` without the rows that failed.
  duckdb::DataChunk output_;
  std::vector<std::string> failed_;
  std::unique_ptr<DeltaSlice> slice_;
};

/// TIMESTAMP, with or without a time zone.
bool is_timestamp(const duckdb::LogicalType& type);
/// The column id that an expression passes on unchanged ("c7"), if it does.
std::optional<uint32_t> plain_column(std::string_view expression);
/// The column that it passes on; null: it computes something.
const PlanColumn* find_column(const std::vector<PlanColumn>& columns, std::string_view expression);

}  // namespace ziwa::stream
