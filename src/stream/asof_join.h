#pragma once

#include "stream/closing.h"
#include "stream/order_key.h"
#include "stream/stage.h"

#include <array>
#include <map>

namespace ziwa::stream {

/// A row of the left side with the one row of the right side that has its key and the nearest time
/// at or before its own (or after it). Of right rows with one time the greatest counts, by the
/// bytes of its columns. Both sides are kept by key and time; a version that comes or goes changes
/// the rows between its time and the next version.
class AsofJoin final : public Stage {
 public:
  static Result<std::unique_ptr<AsofJoin>> create(StageContext& context, uint32_t node_id,
                                                  const AsofNode& node,
                                                  const std::vector<PlanColumn>& left,
                                                  const std::vector<PlanColumn>& right,
                                                  const std::vector<PlanColumn>& output,
                                                  AsofBounds bounds);
  Status consume(size_t input, Delta& delta) override;
  Status finish() override;
  Status save(StateWriter& writer) override;
  Status load(char tag, std::string_view key, std::string_view value) override;
  size_t state_bytes() const override;

 private:
  struct Entry {
    Weight weight = 0;
    Weight change = 0;        ///< In this step.
    uint32_t time_bytes = 0;  ///< The row begins behind them.
    int64_t time_us = kNeverCloses;
    bool touched = false;
    bool unsaved = false;
    bool stored = false;
  };
  /// By time (nearest first is last) and row: the row can be read back.
  using Rows = std::map<std::string, Entry, std::less<>>;
  struct Key {
    std::array<Rows, 2> rows;
    std::array<std::vector<Rows::iterator>, 2> touched;
    std::array<std::vector<Rows::iterator>, 2> unsaved;
    std::array<int64_t, 2> due_us = {kNeverCloses, kNeverCloses};  ///< When it is looked at.
    bool is_touched() const { return !touched[0].empty() || !touched[1].empty(); }
    bool is_unsaved() const { return !unsaved[0].empty() || !unsaved[1].empty(); }
  };
  using Keys = std::map<std::string, Key, std::less<>>;
  struct Side {
    std::unique_ptr<Evaluator> evaluator;  ///< Keys, then the time.
    data::RowKeyEncoder key_encoder;
    data::RowKeyEncoder row_encoder;
    OrderKey time;
    std::vector<size_t> key_columns;
    std::vector<size_t> row_columns;
    std::vector<data::ColumnTarget> targets;
    bool timed = false;  ///< The time is a TIMESTAMP.
  };

  using Bounds = std::array<std::optional<TimeBound>, 2>;
  AsofJoin(StageContext& context, const AsofNode& node, Bounds bounds, Side left, Side right)
      : context_(context),
        node_(node),
        bounds_(std::move(bounds)),
        sides_{std::move(left), std::move(right)} {}
  static Result<Side> make_side(StageContext& context, uint32_t node_id,
                                const std::vector<Expression>& keys, const Expression& time,
                                bool descending, const std::vector<PlanColumn>& columns,
                                size_t first_output);
  static std::string_view time_of(const Rows::value_type& row) {
    return std::string_view(row.first).substr(0, row.second.time_bytes);
  }
  static std::string_view row_of(const Rows::value_type& row) {
    return std::string_view(row.first).substr(row.second.time_bytes);
  }
  std::string_view behind(std::string_view time);
  Rows::const_iterator match(const Key& key, std::string_view time, bool now);
  Status settle(Key& key);
  Status rematch(const Key& key);
  Status show(const Key& key, std::string_view left, Rows::const_iterator right, Weight weight);
  Status show_alone(std::string_view left, Weight weight);
  Status add_output(Weight weight);
  void wait(size_t side, Keys::iterator key, int64_t time_us);
  void let_go(size_t side, StateWriter& writer);

  StageContext& context_;
  AsofNode node_;
  Bounds bounds_;  ///< Of left rows and of versions: see AsofBounds.
  std::array<Side, 2> sides_;
  Keys keys_;
  std::vector<Keys::iterator> touched_;
  std::vector<Keys::iterator> unsaved_;
  std::array<ClosingQueue<std::string>, 2> due_;  ///< Keys.
  size_t bytes_ = 0;

  data::ByteBlock key_bytes_;
  data::ByteBlock row_bytes_;
  std::string scratch_;
  duckdb::DataChunk output_;
  std::vector<Weight> weights_;
};

}  // namespace ziwa::stream
