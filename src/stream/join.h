#pragma once

#include "stream/closing.h"
#include "stream/key_table.h"
#include "stream/stage.h"

#include <array>
#include <optional>

namespace ziwa::stream {

/// Joins by equal keys: d(A x B) = dA x B + (A + dA) x dB. Both sides are kept, each distinct row
/// once with its weight, indexed by the join key. A step first nets its changes, then probes with
/// what is left.
///
/// Rows whose deadlines have passed go with the next checkpoint: watermarks say that neither they
/// nor a row that they could match will change again.
///
/// Outer, semi and anti joins also know which rows match something. Without a residual that is a
/// sum of weights per key: the rows of a key are looked at again only when the other side's sum
/// leaves zero or comes back to it. With a residual each row counts its own matches.
class Join final : public Stage {
 public:
  static Result<std::unique_ptr<Join>> create(StageContext& context, uint32_t node_id,
                                              const JoinNode& node,
                                              const std::vector<PlanColumn>& left,
                                              const std::vector<PlanColumn>& right,
                                              const std::vector<PlanColumn>& output,
                                              std::array<Deadlines, 2> deadlines);
  Status consume(size_t input, Delta& delta) override;
  Status finish() override;
  Status save(StateWriter& writer) override;
  Status load(char tag, std::string_view key, std::string_view value) override;
  size_t state_bytes() const override;

 private:
  using Slot = KeyTable::Slot;
  struct Row;      ///< Payload of a row: weight, this step's change, its neighbours under one key.
  struct Matches;  ///< Behind it where rows count their matches.
  struct Keys;     ///< Payload of a key: first row, sum of weights.
  /// What a row that counts its matches was when the step began.
  struct Before {
    Slot slot;
    Weight weight;
    Weight matches;
  };
  /// A pair that has equal keys, and what it is worth if the residual is true.
  struct Candidate {
    Slot left;
    Slot right;
    Weight to_left;   ///< Matches of the left row.
    Weight to_right;  ///< Matches of the right row.
  };
  struct Side {
    Side(data::RowKeyEncoder key, data::RowEncoder row, bool counts, Deadlines given);
    std::unique_ptr<Evaluator> evaluator;
    data::RowKeyEncoder key_encoder;
    data::RowEncoder row_encoder;
    std::vector<size_t> key_columns;
    std::vector<size_t> row_columns;
    std::vector<data::ColumnTarget> targets;  ///< Columns of a pair.
    bool shown_alone = false;                 ///< Rows of this side come out by themselves.
    bool counts_matches = false;              ///< Each row its own; for a residual.
    KeyTable keys;
    KeyTable rows;  ///< Key bytes and row bytes.
    std::vector<Slot> touched;
    std::vector<Slot> touched_keys;
    std::vector<Slot> unsaved;
    std::vector<Before> before;
    std::unique_ptr<DeltaSlice> slice;
    Deadlines deadlines;
    std::vector<ClosingQueue<Slot>>
        waiting;  ///< Per deadline: rows that have passed those before it.

    Row& row(Slot slot);
    Keys& key(Slot slot);
    Matches& matches(Slot slot);
    int64_t* times(Slot slot);  ///< One per deadline; kNeverCloses.
    std::string_view key_of(Slot slot);
    std::string_view row_bytes(Slot slot);
    Slot first_of(std::string_view bytes);  ///< Slot plus one of the key's first row; 0: none.
    Slot find_or_insert(std::string_view key, std::string_view row, std::string& scratch);
    void change(Slot slot, Weight weight);
    void mark_unsaved(Slot slot);
    void remember(Slot slot);
    void erase(Slot slot);
    void end_step();
  };

  Join(StageContext& context, const JoinNode& node, Side left, Side right)
      : context_(context), node_(node), sides_{std::move(left), std::move(right)} {}
  static Result<Side> make_side(StageContext& context, uint32_t node_id,
                                const std::vector<Expression>& keys,
                                const std::vector<PlanColumn>& columns, size_t first_output,
                                bool counts_matches, Deadlines deadlines);
  bool has_unmatchable_null(const std::vector<duckdb::UnifiedVectorFormat>& formats,
                            size_t row) const;
  /// How often a row of weight 1 comes out by itself.
  Weight alone(bool matched) const;
  Status show_unmatchable(size_t side, Delta& delta, const duckdb::SelectionVector& selection,
                          size_t count);
  Status probe(size_t changed);
  Status add_pair(const Candidate& candidate, Weight weight);
  Status flush_pairs();
  Status show_by_keys(size_t index);
  Status show_by_matches(size_t index);
  Status show(size_t index, Slot slot, Weight weight);
  void let_go(size_t index, StateWriter& writer);
  void remove_stored(size_t index, Slot slot, StateWriter& writer);

  StageContext& context_;
  JoinNode node_;
  std::array<Side, 2> sides_;
  std::unique_ptr<Evaluator> residual_;
  std::unique_ptr<DeltaSlice> slice_;
  data::ByteBlock key_bytes_;
  data::ByteBlock row_bytes_;
  std::string scratch_;
  duckdb::DataChunk pairs_;  ///< Columns of both sides.
  std::vector<Weight> pair_weights_;
  std::vector<Candidate> candidates_;  ///< As pairs_; with a residual.
  duckdb::DataChunk alone_;            ///< Columns of the output.
  std::vector<Weight> alone_weights_;
};

}  // namespace ziwa::stream
