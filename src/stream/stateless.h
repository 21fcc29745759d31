#pragma once

#include "stream/stage.h"

namespace ziwa::stream {

/// WHERE: rows for which the predicate is true.
class Filter final : public Stage {
 public:
  static Result<std::unique_ptr<Filter>> create(StageContext& context, const FilterNode& node,
                                                const std::vector<PlanColumn>& input);
  Status consume(size_t input, Delta& delta) override;

 private:
  Filter(StageContext& context, std::unique_ptr<Evaluator> predicate,
         const duckdb::vector<duckdb::LogicalType>& types)
      : context_(context), predicate_(std::move(predicate)), slice_(types) {}
  StageContext& context_;
  std::unique_ptr<Evaluator> predicate_;
  DeltaSlice slice_;
  duckdb::SelectionVector selection_{STANDARD_VECTOR_SIZE};
};

/// SELECT: new columns from each row.
class Project final : public Stage {
 public:
  static Result<std::unique_ptr<Project>> create(StageContext& context, const ProjectNode& node,
                                                 const std::vector<PlanColumn>& input,
                                                 const std::vector<PlanColumn>& output);
  Status consume(size_t input, Delta& delta) override;
  bool takes_upserts() const override { return evaluator_->plain() && targets_take_upserts(); }

 private:
  Project(StageContext& context, std::unique_ptr<Evaluator> evaluator)
      : context_(context), evaluator_(std::move(evaluator)) {}
  StageContext& context_;
  std::unique_ptr<Evaluator> evaluator_;
};

/// Adds window_start and window_end; rows whose window had closed before their journal entry go to
/// the late rows (Flink's per-window rule). A row without a time has no window and is never late.
class Tumble final : public Stage {
 public:
  static Result<std::unique_ptr<Tumble>> create(StageContext& context, uint32_t node_id,
                                                const TumbleNode& node,
                                                const std::vector<PlanColumn>& input,
                                                const std::vector<PlanColumn>& output);
  Status consume(size_t input, Delta& delta) override;

  /// Start of the window that holds `time_us`: floors, also before 1970.
  static int64_t window_start(int64_t time_us, int64_t size_us, int64_t offset_us);

 private:
  Tumble(StageContext& context, uint32_t node_id, const TumbleNode& node)
      : context_(context), node_id_(node_id), size_us_(node.size_us), offset_us_(node.offset_us) {}
  bool assign(const Delta& delta, size_t row, size_t index, const int64_t* times);

  StageContext& context_;
  uint32_t node_id_;
  int64_t size_us_;
  int64_t offset_us_;
  std::unique_ptr<Evaluator> time_;
  duckdb::DataChunk windows_;  ///< window_start, window_end.
  duckdb::DataChunk output_;
  std::unique_ptr<DeltaSlice> slice_;
};

/// UNNEST: a row per element of its lists.
class Unnest final : public Stage {
 public:
  static Result<std::unique_ptr<Unnest>> create(StageContext& context, const UnnestNode& node,
                                                const std::vector<PlanColumn>& input,
                                                const std::vector<PlanColumn>& output);
  Status consume(size_t input, Delta& delta) override;

 private:
  Unnest(StageContext& context, std::unique_ptr<Evaluator> lists)
      : context_(context), lists_(std::move(lists)) {}
  void add(const Delta& rows, size_t row, uint64_t element);
  Status flush(const Delta& rows);

  StageContext& context_;
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
