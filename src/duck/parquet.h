#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "duck/expression.h"
#include "duck/instance.h"

namespace ziwa::duck {

struct ColumnStatistics {
  std::optional<duckdb::Value> min;
  std::optional<duckdb::Value> max;
  int64_t null_count = 0;
};

struct WrittenFile {
  uint64_t rows = 0;
  uint64_t bytes = 0;
  std::vector<ColumnStatistics> columns;  ///< As the input columns.
};

/// Writes one Parquet file (zstd, row groups of 122,880 rows) through the instance's file layer. One thread.
class ParquetWriter {
 public:
  static Result<std::unique_ptr<ParquetWriter>> create(Instance& instance, const std::string& path,
                                                       const std::vector<NamedType>& columns);
  virtual ~ParquetWriter() = default;
  virtual Status write(duckdb::DataChunk& rows) = 0;
  virtual uint64_t rows() const = 0;
  virtual uint64_t estimated_bytes() const = 0;
  /// Writes the footer and syncs the file. The entry in the directory is the caller's to sync.
  virtual Result<WrittenFile> finish() = 0;
};

/// Reads columns of one Parquet file. One thread.
class ParquetReader {
 public:
  /// `columns` are looked up by name; one that the file lacks reads as NULL of the asked type; a type that differs is cast.
  static Result<std::unique_ptr<ParquetReader>> open(Instance& instance, const std::string& path,
                                                     const std::vector<NamedType>& columns);
  virtual ~ParquetReader() = default;
  /// 0 rows: the end.
  virtual Status next(duckdb::DataChunk& out) = 0;
};

}  // namespace ziwa::duck
