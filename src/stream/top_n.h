#pragma once

#include "data/row_key.h"
#include "stream/closing.h"
#include "stream/order_key.h"
#include "stream/stage.h"

#include <map>
#include <set>

namespace ziwa::stream {

/// The first rows of each partition, by an order that all columns make total. All rows are kept:
/// one that is taken back lets another in. FirstRows is for inputs that take none back.
class TopN final : public Stage {
 public:
  static Result<std::unique_ptr<TopN>> create(StageContext& context, uint32_t node_id,
                                              const TopNNode& node,
                                              const std::vector<PlanColumn>& input,
                                              const std::vector<PlanColumn>& output,
                                              const std::optional<BoundColumn>& closing);
  Status consume(size_t input, Delta& delta) override;
  Status finish() override;
  Status save(StateWriter& writer) override;
  Status load(char tag, std::string_view key, std::string_view value) override;
  size_t state_bytes() const override { return bytes_ + due_.bytes(); }

 private:
  /// Order key followed by the row's own key: total, and the row can be read back from it.
  struct Entry {
    Weight weight = 0;
    uint32_t order_bytes = 0;  ///< Where the row's own key begins.
    bool stored = false;
  };
  using Rows = std::map<std::string, Entry, std::less<>>;
  struct Partition {
    Rows rows;
    bool touched = false;
    bool shown_known = false;
    bool listed = false;  ///< In unsaved_.
    /// What the output holds: row keys (after the order key) in rank order.
    std::vector<std::string> shown;
    std::set<std::string> unsaved;  ///< Keys of rows changed since the last checkpoint.
  };
  using Partitions = std::map<std::string, Partition, std::less<>>;

  TopN(const TopNNode& node, data::RowKeyEncoder partition_encoder, data::RowKeyEncoder row_encoder,
       OrderKey order_key)
      : node_(node),
        partition_encoder_(std::move(partition_encoder)),
        row_encoder_(std::move(row_encoder)),
        order_key_(std::move(order_key)) {}
  std::vector<std::string> first_rows(const Partition& partition) const;
  Partitions::iterator partition_of(std::string_view name);
  void let_go(StateWriter& writer);
  void add(Partition& partition, std::string_view key, uint32_t order_bytes, Weight weight);
  Status show(std::string_view row_key, size_t rank, Weight weight);

  TopNNode node_;
  data::RowKeyEncoder partition_encoder_;
  data::RowKeyEncoder row_encoder_;
  OrderKey order_key_;
  std::unique_ptr<Evaluator> evaluator_;  ///< Partition columns, then order columns.
  std::vector<size_t> partition_columns_;
  std::vector<size_t> row_columns_;
  std::vector<data::ColumnTarget> targets_;

  Partitions partitions_;
  std::vector<Partitions::iterator> touched_;
  std::vector<Partitions::iterator> unsaved_;
  size_t bytes_ = 0;
  std::optional<ClosingKeys> closing_;
  ClosingQueue<std::string> due_;  ///< Partitions.

  data::ByteBlock partition_keys_;
  data::ByteBlock row_keys_;
  std::string key_;
  duckdb::DataChunk output_;
  std::vector<Weight> weights_;
};

}  // namespace ziwa::stream
