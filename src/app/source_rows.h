#pragma once

#include "base/result.h"
#include "data/record_codec.h"
#include "duck/instance.h"
#include "duck/values.h"
#include "protocol/rows/columns.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ziwa::app {

/// What `ziwa produce` reads and how it becomes records.
struct SourceOptions {
  std::string file;             ///< .parquet, .csv, .json, .jsonl or .ndjson
  std::string format = "json";  ///< json or avro
  std::string key;              ///< Column whose text is the record key; empty: none.
  std::string order_by;         ///< A time column; empty: the file's order.
  std::string sequence;  ///< Name of an added first column that numbers rows in the file's order,
                         ///< from 0; empty: none.
  std::vector<std::pair<std::string, std::string>> rename;
  uint64_t limit = 0;  ///< The first rows in sending order; 0: all.
};

/// One row as a record.
struct SourceRecord {
  std::optional<std::string> key;
  std::string value;
  uint64_t sequence = 0;  ///< Place in the file.
  int64_t time_us = 0;    ///< Of the order column; 0 without one or when NULL.
};

/// Rows of a file as records, read by DuckDB in chunks. One thread.
class SourceRows {
 public:
  /// Errors: not_found (file, column), invalid_argument, unsupported (a type the format cannot
  /// carry).
  static Result<std::unique_ptr<SourceRows>> open(const SourceOptions& options);
  ~SourceRows();
  uint64_t total() const { return total_; }
  /// Loads the next rows; false at the end.
  Result<bool> next_chunk();
  size_t rows() const { return columns_.rows(); }
  /// Writes row `row` of the chunk into `record`, whose buffers are used again.
  void read(size_t row, SourceRecord& record);
  /// Writes the CSV file `csv` again as the Parquet file `parquet`.
  static Status csv_to_parquet(const std::string& csv, const std::string& parquet);

 private:
  SourceRows() = default;
  Status prepare(const SourceOptions& options);
  Status find_columns(const SourceOptions& options);

  std::unique_ptr<duck::Instance> instance_;
  std::unique_ptr<duckdb::Connection> connection_;
  duckdb::unique_ptr<duckdb::QueryResult> result_;
  duckdb::unique_ptr<duckdb::DataChunk> chunk_;
  protocol::Columns columns_;
  std::unique_ptr<data::RecordCodec> codec_;
  std::vector<Bytes> encoded_;  ///< Values of the chunk.
  uint64_t read_ = 0;           ///< Rows of the chunks before the next.
  size_t shown_ = 0;  ///< Columns that go into the value; the place in the file comes after them.
  std::optional<size_t> key_;
  std::optional<size_t> time_;
  uint64_t total_ = 0;
};

}  // namespace ziwa::app
