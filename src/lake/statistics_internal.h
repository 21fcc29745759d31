#pragma once

#include "data/scan.h"
#include "duck/parquet.h"
#include "lake/delta_schema_internal.h"

#include <string>
#include <vector>

namespace ziwa::lake {

/// How many columns get bounds, and how many characters of a string a bound keeps. Source:
/// PROTOCOL.md, "Per-file Statistics"; the numbers are Spark's.
inline constexpr size_t kStatisticsColumnsMax = 32;
inline constexpr size_t kStatisticsCharacters = 32;

/// The protocol's statistics JSON of a written file; `columns` are the file's columns in order.
std::string statistics_to_json(const duck::WrittenFile& file,
                               const std::vector<duck::NamedType>& columns);

/// The first `kStatisticsCharacters` characters, raised so that it is not below any string that
/// starts with them; nullopt if there is no such string.
std::optional<std::string> upper_bound_of(const std::string& text);
/// The first `kStatisticsCharacters` characters.
std::string lower_bound_of(const std::string& text);

/// Decides from partition values and statistics which files cannot hold a row within all bounds.
class FilePruner {
 public:
  FilePruner(const TableColumns& columns, const std::vector<data::ScanRequest::Bound>& bounds);
  /// False only if no row of the file can match.
  bool may_match(const DataFile& file) const;

 private:
  struct Check {
    size_t column;
    data::ScanRequest::Bound::Op op;
    duckdb::Value value;
  };
  bool partition_matches(const DataFile& file, const Check& check) const;

  const TableColumns& columns_;
  std::vector<Check> checks_;
};

}  // namespace ziwa::lake
