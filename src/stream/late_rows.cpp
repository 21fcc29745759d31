#include "stream/late_rows.h"

#include "stream/row_errors.h"

namespace ziwa::stream {

using duckdb::FlatVector;

const data::Schema& LateRows::schema() {
  static const data::Schema kSchema = {{{1, "partition", "INTEGER"},
                                        {2, "offset", "BIGINT"},
                                        {3, "entry", "BIGINT"},
                                        {4, "window_start", "TIMESTAMP"},
                                        {5, "window_end", "TIMESTAMP"},
                                        {6, "watermark", "TIMESTAMP"},
                                        {7, "row", "VARCHAR"}}};
  return kSchema;
}

LateRows::LateRows(RowTable& table, std::function<const data::Schema*(ObjectId)> source)
    : table_(table), source_(std::move(source)) {
  rows_.Initialize(duckdb::Allocator::DefaultAllocator(), table.layout()->types);
}

void LateRows::add(uint32_t, const TopicChunk& chunk, size_t row,
                   std::optional<WindowSpan> window) {
  if (rows_.size() == STANDARD_VECTOR_SIZE && failed_) failed_ = flush();
  size_t to = rows_.size();
  FlatVector::GetData<int32_t>(rows_.data[0])[to] = chunk.partitions[row];
  FlatVector::GetData<int64_t>(rows_.data[1])[to] = chunk.offsets[row];
  FlatVector::GetData<int64_t>(rows_.data[2])[to] = static_cast<int64_t>(chunk.entries[row]);
  if (window) {
    FlatVector::GetData<int64_t>(rows_.data[3])[to] = window->start_us;
    FlatVector::GetData<int64_t>(rows_.data[4])[to] = window->end_us;
  } else {
    FlatVector::SetNull(rows_.data[3], to, true);
    FlatVector::SetNull(rows_.data[4], to, true);
  }
  FlatVector::GetData<int64_t>(rows_.data[5])[to] = chunk.watermarks[row];
  const auto* source = source_(chunk.topic);
  auto& source_rows = const_cast<duckdb::DataChunk&>(chunk.rows.rows);  // GetValue is not const
  std::vector<std::string> names;
  if (source != nullptr) {
    for (const auto& column : source->columns) names.push_back(column.name);
  }
  auto text = row_to_json(names, source_rows, row);
  FlatVector::GetData<duckdb::string_t>(rows_.data[6])[to] =
      duckdb::StringVector::AddStringOrBlob(rows_.data[6], text.data(), text.size());
  rows_.SetCardinality(to + 1);
}

Status LateRows::flush() {
  TRY(std::exchange(failed_, Status()));
  if (rows_.size() == 0) return {};
  Delta delta{.rows = rows_};
  Status done = table_.consume(0, delta);
  reset_chunk(rows_);
  return done;
}

}  // namespace ziwa::stream
