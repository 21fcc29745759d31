#pragma once

#include "stream/stage.h"

namespace ziwa::stream {

/// Gives each row once per window that holds its time, with window_start and window_end. A window
/// that had closed before the row's journal entry (Flink's rule, window by window) does not get it:
/// the row goes to the late rows with the span of those windows. A row without a time has no window
/// and is never late.
class Window final : public Stage {
 public:
  static Result<std::unique_ptr<Window>> create(StageContext& context, uint32_t node_id,
                                                const WindowNode& node,
                                                const std::vector<PlanColumn>& input,
                                                const std::vector<PlanColumn>& output);
  Status consume(size_t input, Delta& delta) override;

 private:
  Window(StageContext& context, uint32_t node_id, const WindowNode& node)
      : context_(context), node_id_(node_id), shape_(node.shape), lateness_us_(node.lateness_us) {}
  Status assign(const Delta& rows, size_t row, int64_t time_us);
  bool has_closed(int64_t end_us, int64_t watermark) const;
  /// Adds a row to the output; null: it has no window.
  Status add(const Delta& rows, size_t row, const std::pair<int64_t, int64_t>* window);
  Status flush(const Delta& rows);

  StageContext& context_;
  uint32_t node_id_;
  WindowShape shape_;
  int64_t lateness_us_;
  std::unique_ptr<Evaluator> time_;
  // One chunk of output: the input row of each, and its window.
  size_t count_ = 0;
  duckdb::SelectionVector from_{STANDARD_VECTOR_SIZE};
  std::vector<Weight> weights_;
  std::vector<uint32_t> origin_rows_;
  duckdb::DataChunk windows_;
  duckdb::DataChunk output_;
};

}  // namespace ziwa::stream
