#pragma once

#include "stream/closing.h"
#include "stream/order_key.h"
#include "stream/stage.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ziwa::stream {

/// What both kinds of top-n have in common: how rows are compared, shown and stored. A row's key is
/// its order key followed by its own bytes: total, and the row can be read back from it.
class TopNRows {
 public:
  static Result<std::unique_ptr<TopNRows>> create(StageContext& context, uint32_t node_id,
                                                  const TopNNode& node,
                                                  const std::vector<PlanColumn>& input,
                                                  const std::vector<PlanColumn>& output,
                                                  const std::optional<BoundColumn>& closing);

  const TopNNode& node() const { return node_; }
  const duckdb::vector<duckdb::LogicalType>& input_types() const { return input_types_; }
  /// Says when partitions are final. Once.
  ClosingKeys take_closing() { return std::move(closing_); }

  /// Evaluates a chunk; those of the result are what row numbers below mean.
  Result<Delta> evaluate(const Delta& delta);
  void encode_partitions(data::ByteBlock& out);
  /// Whole rows, of the evaluated ones or some of them.
  void encode_rows(const Delta& rows, data::ByteBlock& out) const {
    row_encoder_.encode(rows.rows, row_columns_, out);
  }
  void append_order(size_t row, std::string& out) const { order_.append(row, out); }

  /// A change of the output, of which `rank` counts from 0. `row`: the bytes behind the order key.
  Status add_output(std::string_view row, size_t rank, Weight weight);
  bool output_full() const { return output_.size() == STANDARD_VECTOR_SIZE; }
  duckdb::DataChunk& output() { return output_; }
  std::vector<Weight>& weights() { return weights_; }

  /// A row as checkpoints hold it.
  struct Stored {
    std::string_view partition;
    std::string_view key;
    Weight weight = 0;
    uint32_t order_bytes = 0;
  };
  static void put(StateWriter& writer, const Stored& row);
  static void remove(StateWriter& writer, std::string_view partition, std::string_view key);
  /// Errors: corrupt.
  static Result<Stored> read(char tag, std::string_view key, std::string_view value);

 private:
  TopNRows(const TopNNode& node, data::RowKeyEncoder partitions, data::RowKeyEncoder rows,
           OrderKey order, ClosingKeys closing)
      : node_(node),
        partition_encoder_(std::move(partitions)),
        row_encoder_(std::move(rows)),
        order_(std::move(order)),
        closing_(std::move(closing)) {}

  TopNNode node_;
  data::RowKeyEncoder partition_encoder_;
  data::RowKeyEncoder row_encoder_;
  OrderKey order_;
  ClosingKeys closing_;
  std::unique_ptr<Evaluator> evaluator_;  ///< Partition columns, then order columns.
  duckdb::vector<duckdb::LogicalType> input_types_;
  std::vector<size_t> partition_columns_;
  std::vector<size_t> row_columns_;
  std::vector<data::ColumnTarget> targets_;
  duckdb::DataChunk output_;
  std::vector<Weight> weights_;
};

}  // namespace ziwa::stream
