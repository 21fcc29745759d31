#pragma once

#include "base/result.h"
#include "duck/expression.h"
#include "duck/instance.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ziwa::duck {

/// What is known of one column of a file. Nested columns have none; a column with NaN has no
/// bounds.
struct ColumnStatistics {
  std::optional<duckdb::Value> min;
  std::optional<duckdb::Value> max;
  std::optional<int64_t> null_count;
};

/// What a finished file holds.
struct WrittenFile {
  uint64_t rows = 0;
  uint64_t bytes = 0;
  std::vector<ColumnStatistics> columns;  ///< As the input columns.
};

/// Writes one Parquet file (zstd, row groups of 122,880 rows or 64 MiB) through the instance's file
/// layer, also outside the allowed directories. A file that is there is replaced. One thread.
class ParquetWriter {
 public:
  static Result<std::unique_ptr<ParquetWriter>> create(Instance& instance, const std::string& path,
                                                       const std::vector<NamedType>& columns);
  virtual ~ParquetWriter() = default;
  virtual Status write(duckdb::DataChunk& rows) = 0;
  virtual uint64_t rows() const = 0;
  /// Bytes in the file so far and a guess at what the rows in memory will take.
  virtual uint64_t estimated_bytes() const = 0;
  /// Bytes of rows held in memory.
  virtual uint64_t buffered_bytes() const = 0;
  /// Ends the row group, so that nothing is held in memory.
  virtual Status flush() = 0;
  /// Writes the footer and, if asked, syncs the file. The entry in the directory is the caller's to
  /// sync.
  virtual Result<WrittenFile> finish(bool sync = true) = 0;
};

/// Reads columns of one Parquet file, also outside the allowed directories. One thread.
class ParquetReader {
 public:
  /// `columns` are looked up by name; one that the file lacks reads as NULL of the asked type; a
  /// type that differs is cast.
  static Result<std::unique_ptr<ParquetReader>> open(Instance& instance, const std::string& path,
                                                     const std::vector<NamedType>& columns);
  virtual ~ParquetReader() = default;
  /// Overwrites `out` (types of the asked columns) with up to 2,048 rows, valid until the next
  /// call. 0 rows: the end.
  virtual Status next(duckdb::DataChunk& out) = 0;
  /// Rows in the file, from its footer.
  virtual uint64_t row_count() const = 0;
  /// The file's own columns.
  virtual const std::vector<NamedType>& file_columns() const = 0;
};

}  // namespace ziwa::duck
