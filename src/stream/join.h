#pragma once

#include "stream/key_table.h"
#include "stream/stage.h"

#include <array>
#include <optional>

namespace ziwa::stream {

/// Inner join: d(A x B) = dA x B + (A + dA) x dB. Both sides are kept, each distinct row once with
/// its weight, indexed by the join key. A step first nets its changes, then probes with what is
/// left.
class Join final : public Stage {
 public:
  static Result<std::unique_ptr<Join>> create(StageContext& context, const JoinNode& node,
                                              const std::vector<PlanColumn>& left,
                                              const std::vector<PlanColumn>& right,
                                              const std::vector<PlanColumn>& output);
  Status consume(size_t input, Delta& delta) override;
  Status finish() override;
  Status save(StateWriter& writer) override;
  Status load(char tag, std::string_view key, std::string_view value) override;
  size_t state_bytes() const override;

 private:
  struct Row;   ///< Payload of a row: weight, this step's change, its neighbours under one key.
  struct Keys;  ///< Payload of a key: first row.
  struct Side {
    Side(data::RowKeyEncoder key, data::RowEncoder row);
    std::unique_ptr<Evaluator> evaluator;
    data::RowKeyEncoder key_encoder;
    data::RowEncoder row_encoder;
    std::vector<size_t> key_columns;
    std::vector<size_t> row_columns;
    std::vector<data::ColumnTarget> targets;  ///< Columns of the output.
    KeyTable keys;
    KeyTable rows;  ///< Key bytes and row bytes.
    std::vector<KeyTable::Slot> touched;
    std::vector<KeyTable::Slot> unsaved;

    Row& row(KeyTable::Slot slot);
    std::string_view key_of(KeyTable::Slot slot);
    std::string_view row_bytes(KeyTable::Slot slot);
    KeyTable::Slot find_or_insert(std::string_view key, std::string_view row, std::string& scratch);
    void erase(KeyTable::Slot slot);
  };

  Join(StageContext& context, const JoinNode& node, Side left, Side right)
      : context_(context), node_(node), sides_{std::move(left), std::move(right)} {}
  static Result<Side> make_side(StageContext& context, const std::vector<Expression>& keys,
                                const std::vector<PlanColumn>& columns, size_t first_output);
  bool has_unmatchable_null(const std::vector<duckdb::UnifiedVectorFormat>& formats,
                            size_t row) const;
  Status probe(Side& changed, Side& other);
  Status pair(Side& a, KeyTable::Slot a_slot, Side& b, KeyTable::Slot b_slot, Weight weight);
  Status flush();

  StageContext& context_;
  JoinNode node_;
  std::array<Side, 2> sides_;
  std::unique_ptr<Evaluator> residual_;
  std::unique_ptr<DeltaSlice> slice_;
  data::ByteBlock key_bytes_;
  data::ByteBlock row_bytes_;
  std::string scratch_;
  duckdb::DataChunk output_;
  std::vector<Weight> weights_;
};

}  // namespace ziwa::stream
