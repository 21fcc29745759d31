#pragma once

#include "stream/accumulator.h"
#include "stream/key_table.h"
#include "stream/stage.h"

#include <optional>

namespace ziwa::stream {

/// GROUP BY: accumulators per group and a hidden count of rows; a group dies when that is 0.
class Aggregate final : public Stage {
 public:
  /// A group column whose value says when nothing can join the group any more.
  struct Closing {
    size_t group = 0;    ///< Position among the groups; a TIMESTAMP.
    int64_t add_us = 0;  ///< Its value plus this is the window's end.
    ObjectId topic;      ///< Whose watermark closes it.
  };
  struct Options {
    bool append_only = false;  ///< The input never takes rows back.
    std::optional<Closing> closing;
    bool key_is_view_key = false;  ///< The groups are the key of the view that follows at once.
  };
  static Result<std::unique_ptr<Aggregate>> create(StageContext& context, const AggregateNode& node,
                                                   const std::vector<PlanColumn>& input,
                                                   const std::vector<PlanColumn>& output,
                                                   Options options);
  ~Aggregate() override;

  Status consume(size_t input, Delta& delta) override;
  Status finish() override;
  Status save(StateWriter& writer) override;
  Status load(char tag, std::string_view key, std::string_view value) override;
  size_t state_bytes() const override;

 private:
  struct Group;
  struct Call {
    std::unique_ptr<Accumulator> accumulator;
    std::optional<size_t> argument;  ///< Column of the evaluator's output.
    std::optional<size_t> filter;
    size_t offset = 0;  ///< Of its state in the payload.
    std::optional<size_t> same_filter;
  };
  Aggregate(StageContext& context, data::RowKeyEncoder encoder, Options options)
      : context_(context), encoder_(std::move(encoder)), options_(options) {}

  Status plan_calls(const AggregateNode& node, const std::vector<PlanColumn>& output);
  Group& group(KeyTable::Slot slot);
  void begin_group(KeyTable::Slot slot, int64_t close_us);
  void end_group(KeyTable::Slot slot);
  void touch(KeyTable::Slot slot, bool inserted);
  void update(const Delta& delta);
  int64_t close_time(size_t row);
  bool results(KeyTable::Slot slot, duckdb::DataChunk& out, size_t row);
  Status finish_page(size_t page, size_t count);
  Status flush_output();
  void add_output(KeyTable::Slot slot, const duckdb::DataChunk& results, size_t row, Weight weight);

  StageContext& context_;
  data::RowKeyEncoder encoder_;
  Options options_;
  size_t group_count_ = 0;
  std::unique_ptr<Evaluator> evaluator_;
  std::vector<size_t> group_columns_;
  std::vector<data::ColumnTarget> key_targets_;
  std::vector<Call> calls_;
  duckdb::vector<duckdb::LogicalType> result_types_;
  std::unique_ptr<KeyTable> table_;

  // One chunk.
  data::ByteBlock keys_;
  std::vector<KeyTable::Slot> slots_;
  std::vector<uint8_t> inserted_;
  std::vector<std::byte*> states_;
  std::vector<uint8_t> passes_;
  duckdb::UnifiedVectorFormat closing_format_;

  // One step: groups that were touched, and what they said before, 2,048 to a chunk.
  std::vector<KeyTable::Slot> touched_;
  std::vector<std::unique_ptr<duckdb::DataChunk>> before_;
  duckdb::DataChunk after_;
  duckdb::DataChunk output_;
  std::vector<Weight> output_weights_;
  bool upserts_ = false;  ///< In this finish().
  bool first_step_ = true;

  // Since the last checkpoint.
  std::vector<KeyTable::Slot> unsaved_;
  std::vector<std::string> removed_;
};

}  // namespace ziwa::stream
