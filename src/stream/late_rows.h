#pragma once

#include "stream/row_table.h"
#include "stream/stage.h"

#include <string>

namespace ziwa::stream {

/// Collects the late rows of one view, with their source rows as JSON. One thread.
class LateRows final : public LateSink {
 public:
  /// Columns of the table of late rows.
  static const data::Schema& schema();

  /// `source` names the columns of each topic.
  LateRows(RowTable& table, std::function<const data::Schema*(ObjectId)> source);
  void add(uint32_t node, const TopicChunk& chunk, size_t row,
           std::optional<WindowSpan> window) override;
  /// Gives what was collected to the table. Before the table's apply().
  Status flush();

 private:
  RowTable& table_;
  std::function<const data::Schema*(ObjectId)> source_;
  duckdb::DataChunk rows_;
  Status failed_;
};

}  // namespace ziwa::stream
