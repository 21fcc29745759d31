#pragma once

#include "stream/accumulator.h"
#include "stream/closing.h"
#include "stream/index_reader.h"
#include "stream/key_table.h"
#include "stream/stage.h"

#include <map>
#include <optional>

namespace ziwa::stream {

/// GROUP BY: accumulators per group, the rows of a group in order for calls that need them, and a
/// hidden count of rows; a group dies when that is 0.
class Aggregate final : public Stage {
 public:
  struct Options {
    bool append_only = false;  ///< The input never takes rows back.
    /// The group whose bound says when nothing can join any more.
    std::optional<BoundColumn> closing;
    bool key_is_view_key = false;  ///< The groups are the key of the view that follows at once.
    bool on_close = false;         ///< A group is given once its window has ended, not before.
  };
  static Result<std::unique_ptr<Aggregate>> create(StageContext& context, uint32_t node_id,
                                                   const AggregateNode& node,
                                                   const std::vector<PlanColumn>& input,
                                                   const std::vector<PlanColumn>& output,
                                                   Options options);
  ~Aggregate() override;

  Status consume(size_t input, Delta& delta) override;
  Status finish() override;
  Status save(StateWriter& writer) override;
  Status load(char tag, std::string_view key, std::string_view value) override;
  size_t state_bytes() const override;
  std::optional<OpenWindow> open_window() const override;

 private:
  struct Group;
  struct Call {
    std::unique_ptr<Accumulator> accumulator;  ///< Or `reader`.
    std::optional<size_t> argument;            ///< Column of the evaluator's output.
    std::optional<size_t> filter;              ///< In filters_.
    size_t offset = 0;                         ///< Of the accumulator's state in the payload.
    std::unique_ptr<IndexReader> reader;
    std::optional<size_t> index;  ///< In indexes_; with an accumulator: it takes each value once.
    size_t lane = 0;
  };
  struct Index {
    CallIndex rows;
    size_t offset = 0;
  };
  /// A call of the plan over the evaluator's columns.
  struct Bound {
    const AggregateNode::Call& call;
    std::string function;  ///< One of its names.
    std::vector<size_t> arguments;
    std::vector<OrderKey::Column> order;
    std::optional<size_t> filter;
  };
  Aggregate(StageContext& context, uint32_t node_id, data::RowKeyEncoder encoder, Options options)
      : context_(context), node_id_(node_id), encoder_(std::move(encoder)), options_(options) {}

  Result<Call> plan_call(const Bound& bound, const duckdb::LogicalType& wanted);
  Result<bool> plan_accumulator(const Bound& bound, Call& planned);
  Result<bool> plan_end(const Bound& bound, Call& planned);
  Status plan_program(const Bound& bound, Call& planned);
  static std::vector<OrderKey::Column> row_order(const Bound& bound);
  /// The index and lane of a call.
  Status use_index(CallIndex::Spec spec, std::optional<size_t> filter, Call& planned);
  Status plan_calls(const std::vector<Bound>& calls, const std::vector<PlanColumn>& output);
  Group& group(KeyTable::Slot slot);
  void begin_group(KeyTable::Slot slot, int64_t close_us);
  void end_group(KeyTable::Slot slot);
  void touch(KeyTable::Slot slot, bool inserted);
  void find_passes();
  void update(const Delta& delta);
  void update_call(const Call& call, const Weight* weights, std::optional<size_t> filter);
  int64_t close_time(size_t row);
  int64_t end_of(const Group& group) const;
  int64_t reached() const;
  void touch_ended(int64_t watermark);
  Status results(KeyTable::Slot slot, duckdb::DataChunk& out, size_t row);
  Status finish_page(size_t page, size_t count);
  void report(KeyTable::Slot slot, const Error& error, Weight weight);
  char group_tag() const;
  void save_group(KeyTable::Slot slot, StateWriter& writer);
  void erase_group(KeyTable::Slot slot, StateWriter& writer);
  Status load_group(std::string_view key, std::string_view value);
  Status load_entry(std::string_view key, std::string_view value);
  void add_output(KeyTable::Slot slot, const duckdb::DataChunk& results, size_t row, Weight weight);

  StageContext& context_;
  uint32_t node_id_;
  data::RowKeyEncoder encoder_;
  Options options_;
  size_t group_count_ = 0;
  std::vector<std::string> group_names_;
  std::unique_ptr<Evaluator> evaluator_;
  std::vector<size_t> group_columns_;
  std::vector<data::ColumnTarget> key_targets_;
  std::vector<size_t> filters_;  ///< Columns of the evaluator's output.
  std::vector<Index> indexes_;
  std::vector<Call> calls_;
  duckdb::vector<duckdb::LogicalType> result_types_;
  std::unique_ptr<KeyTable> table_;

  // One chunk.
  data::ByteBlock keys_;
  std::vector<KeyTable::Slot> slots_;
  std::vector<uint8_t> inserted_;
  std::vector<std::byte*> states_;
  std::vector<std::vector<uint8_t>> passes_;  ///< Per filter.
  duckdb::UnifiedVectorFormat closing_format_;

  // One step: groups that were touched, and what they said before, 2,048 to a chunk.
  std::map<int64_t, std::vector<KeyTable::Slot>> open_;  ///< on_close: not given yet, by end.
  std::vector<KeyTable::Slot> touched_;
  std::vector<std::unique_ptr<duckdb::DataChunk>> before_;
  duckdb::DataChunk after_;
  duckdb::DataChunk output_;
  std::vector<Weight> output_weights_;
  bool upserts_ = false;              ///< In this finish().
  int64_t watermark_ = kNoWatermark;  ///< on_close: in this finish().
  bool first_step_ = true;

  // Since the last checkpoint.
  std::vector<KeyTable::Slot> unsaved_;
};

}  // namespace ziwa::stream
