#pragma once

#include "stream/stage.h"

namespace ziwa::stream {

/// WHERE: rows for which the predicate is true.
class Filter final : public Stage {
 public:
  static Result<std::unique_ptr<Filter>> create(StageContext& context, uint32_t node_id,
                                                const FilterNode& node,
                                                const std::vector<PlanColumn>& input);
  Status consume(size_t input, Delta& delta) override;

 private:
  Filter(std::unique_ptr<Evaluator> predicate, const duckdb::vector<duckdb::LogicalType>& types)
      : predicate_(std::move(predicate)), slice_(types) {}
  std::unique_ptr<Evaluator> predicate_;
  DeltaSlice slice_;
  duckdb::SelectionVector selection_{STANDARD_VECTOR_SIZE};
};

/// Keeps the rows of a topic that are not later than its watermark; the others are late rows.
class OnTime final : public Stage {
 public:
  static Result<std::unique_ptr<OnTime>> create(StageContext& context, uint32_t node_id,
                                                const OnTimeNode& node,
                                                const std::vector<PlanColumn>& input);
  Status consume(size_t input, Delta& delta) override;

 private:
  OnTime(StageContext& context, uint32_t node_id, int64_t lateness_us,
         std::unique_ptr<Evaluator> time, const duckdb::vector<duckdb::LogicalType>& types)
      : context_(context),
        node_id_(node_id),
        lateness_us_(lateness_us),
        time_(std::move(time)),
        slice_(types) {}
  bool is_late(int64_t time_us, int64_t watermark) const;

  StageContext& context_;
  uint32_t node_id_;
  int64_t lateness_us_;
  std::unique_ptr<Evaluator> time_;
  DeltaSlice slice_;
  duckdb::SelectionVector selection_{STANDARD_VECTOR_SIZE};
};

/// SELECT: new columns from each row.
class Project final : public Stage {
 public:
  static Result<std::unique_ptr<Project>> create(StageContext& context, uint32_t node_id,
                                                 const ProjectNode& node,
                                                 const std::vector<PlanColumn>& input,
                                                 const std::vector<PlanColumn>& output);
  Status consume(size_t input, Delta& delta) override;
  bool takes_upserts() const override { return evaluator_->plain() && targets_take_upserts(); }

 private:
  explicit Project(std::unique_ptr<Evaluator> evaluator) : evaluator_(std::move(evaluator)) {}
  std::unique_ptr<Evaluator> evaluator_;
};

/// UNNEST: a row per element of its lists.
class Unnest final : public Stage {
 public:
  static Result<std::unique_ptr<Unnest>> create(StageContext& context, uint32_t node_id,
                                                const UnnestNode& node,
                                                const std::vector<PlanColumn>& input,
                                                const std::vector<PlanColumn>& output);
  Status consume(size_t input, Delta& delta) override;

 private:
  explicit Unnest(std::unique_ptr<Evaluator> lists) : lists_(std::move(lists)) {}
  void add(const Delta& rows, size_t row, uint64_t element);
  Status flush(const Delta& rows);

  std::unique_ptr<Evaluator> lists_;
  std::vector<duckdb::list_entry_t> entries_;  ///< Of one row's lists; NULL is empty.
  // One chunk of output: the input row of each, and the elements beside it.
  duckdb::SelectionVector from_{STANDARD_VECTOR_SIZE};
  duckdb::DataChunk elements_;
  duckdb::DataChunk output_;
  std::vector<Weight> weights_;
};

/// Gives values that are equal the same bytes: 0.0 for -0.0, an INTERVAL normalised. Row keys do
/// so, and what a view keeps has to be what it told those who read it.
class Normalize final : public Stage {
 public:
  /// Null when no column of these types needs it.
  static std::unique_ptr<Normalize> create(const duckdb::vector<duckdb::LogicalType>& types);
  Status consume(size_t input, Delta& delta) override;
  bool takes_upserts() const override { return targets_take_upserts(); }

 private:
  explicit Normalize(const duckdb::vector<duckdb::LogicalType>& types) {
    output_.InitializeEmpty(types);
  }
  std::vector<size_t> columns_;
  duckdb::DataChunk copies_;  ///< Of those columns.
  duckdb::DataChunk output_;
};

/// UNION ALL: by position; weights add up by themselves.
class UnionAll final : public Stage {
 public:
  Status consume(size_t, Delta& delta) override { return emit(delta); }
};

}  // namespace ziwa::stream
